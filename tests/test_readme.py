"""What the README and CONTRIBUTING show runs, prints what they say, and names things that exist."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import re
import shlex

import numpy as np
import pytest
from case_kinds import Table, differentiable, host, same, upstream
from project_files import PACKAGE, ROOT, extras, fences, make_targets
from test_architecture import FLOORS

import lucidlite
from lucidlite import cli
from lucidlite.autograd import backward, gradcheck, gradgradcheck
from lucidlite.backends.numpy_kernels.conv import ALGORITHMS

PAGES = ["README.md", "CONTRIBUTING.md"]
EXAMPLE_FILES = {"tour.py", "mistake.py", "net.py"}  # named there for the reader to make


def run(fence, namespace):
    """Execute a block as the file it asks to be saved as; what it prints must be as commented."""
    name = re.search(r"`(\w+\.py)`", fence.before)
    exec(compile(fence.code, name[1] if name else "<block>", "exec"), namespace)


def commented(code):
    """The results that a block writes beside its print calls."""
    return re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)


def check_output(code, printed):
    lines, expected = printed.splitlines(), commented(code)
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        if wanted.startswith("about "):
            assert float(line) == pytest.approx(float(wanted[6:]), abs=0.06)
        else:
            assert line == wanted


README = [f for f in fences("README.md") if f.language in ("python", "text")]
SCRIPTS = [
    pytest.param(
        fence,
        after.code if after is not None and after.language == "text" else None,
        id=f"README.md:{fence.line}",
    )
    for fence, after in zip(README, [*README[1:], None], strict=True)
    if fence.language == "python"
]


@pytest.mark.parametrize(("fence", "text"), SCRIPTS)
def test_readme_block_runs(fence, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(fence, {"__name__": "__main__"})
    printed = capsys.readouterr().out
    if text is not None:
        assert printed == text
    else:
        check_output(fence.code, printed)


@pytest.fixture
def contributing(capsys):
    """What CONTRIBUTING's blocks define, run one after another, and the row that they add."""
    table = Table()
    namespace = {"__name__": "contributing", "row": table.row}
    for fence in fences("CONTRIBUTING.md"):
        if fence.language == "python":
            run(fence, namespace)
            check_output(fence.code, capsys.readouterr().out)
    return namespace, table


def test_contributing_blocks_run(contributing):
    namespace, table = contributing
    assert [case.path for case in table] == ["hypot"]
    made = [v for v in namespace.values() if getattr(v, "__module__", "") == "contributing"]
    runner = doctest.DocTestRunner()
    for value in made:
        for examples in doctest.DocTestFinder().find(value, value.__name__, globs=dict(namespace)):
            runner.run(examples)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 0
    tests = [v for v in made if v.__name__.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_contributing_operation_is_right(contributing, monkeypatch):
    """The worked example's row says what is true of the worked example."""
    namespace, (case,) = contributing
    monkeypatch.setattr(lucidlite, "hypot", namespace["hypot"], raising=False)
    inputs = case.ours(case.arrays("float64"))
    out = case.run(lucidlite, inputs)
    np.testing.assert_allclose(host(out), np.hypot(*case.arrays("float64")), rtol=1e-15)
    assert gradcheck(namespace["hypot"], inputs)
    assert gradgradcheck(namespace["hypot"], inputs)


def test_contributing_operation_is_torchs(contributing, monkeypatch):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    namespace, (case,) = contributing
    monkeypatch.setattr(lucidlite, "hypot", namespace["hypot"], raising=False)
    for dtype in case.dtypes:
        arrays = case.arrays(dtype)
        ours, theirs = case.ours(arrays), case.torchs(torch, arrays)
        out, expected = case.run(lucidlite, ours), case.run(torch, theirs)
        same(out, expected, dtype)
        assert type(out.grad_fn).__name__ == type(expected.grad_fn).__name__
        (grad,) = upstream(case, differentiable(out))
        backward([out], [lucidlite.from_numpy(grad)])
        expected.backward(torch.tensor(np.array(grad)))
        same([t.grad for t in ours], [t.grad for t in theirs], dtype)


COMMANDS = [
    pytest.param(line.partition("  #")[0].strip(), id=f"{page}:{fence.line + i}")
    for page in PAGES
    for fence in fences(page)
    if fence.language == "sh"
    for i, line in enumerate(fence.code.splitlines())
    if line.strip()
]


def check_command(line):
    """Targets are in the Makefile, extras in pyproject.toml, options in the program."""
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "lucidlite"]:
        words = words[2:]
    if words[0] == "make":
        assert words[1] in make_targets()
    elif words[:2] == ["pip", "install"]:
        assert set(re.search(r"\[(.*)\]", words[-1])[1].split(",")) <= extras()
    elif words[0] == "lucidlite":
        assert words[1] in cli.COMMANDS
        shown = io.StringIO()
        with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(shown):
            cli.main([words[1], "--help"])
        assert stop.value.code == 0
        named = {word for word in words if word.startswith("--")}
        assert named <= set(re.findall(r"--[\w-]+", shown.getvalue()))
    elif words[0] == "python" and words[1] != "-m":
        assert (ROOT / words[1]).is_file()
    elif words[0] == "tensorboard":
        assert words[1] == "--logdir"
    else:
        assert words[:3] in (["python3", "-m", "venv"], ["python", "-m", "pytest"]) or (
            words in ([".", ".venv/bin/activate"], ["source", ".venv/bin/activate"])
        )


@pytest.mark.parametrize("command", COMMANDS)
def test_command_exists(command):
    check_command(command)


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_named_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z-]+)", text))
    assert named
    assert named <= make_targets()


@pytest.mark.parametrize("page", PAGES)
def test_files_named_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+(?:\.(?:py|md|toml|npz)|/))`", text))
    named |= set(re.findall(r"\]\(([\w./]+)\)", text))
    assert named
    missing = {
        name
        for name in named - EXAMPLE_FILES
        if not any((place / name).exists() for place in (ROOT, PACKAGE)) and name != "runs/"
    }
    assert not missing


def test_readme_quotes_the_results():
    """The ratios below its table, which report.py doesn't write, are those of their files."""

    def ratios(folder):
        path = ROOT / "benchmarks" / "results" / folder / "train_step.json"
        for each in json.loads(path.read_text(encoding="utf-8"))["results"]:
            ratio = each["contenders"]["torch eager"]["ratio"]
            yield (each["model"], each["batch"]), f"{ratio:.2f}"

    avx2, one = dict(ratios("avx2")), dict(ratios("one_allocator"))
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("How to read them:\n")[2]
    first, second = text.split("\n- ")[1:3]
    cnn, wide = ("CNNWithGAP", 64), ("CNNWithGAP", 256)
    assert len({avx2["LeNet", batch] for batch in (64, 128)}) == 1
    shown = [avx2[each] for each in (cnn, wide, ("LeNet", 64), ("ResNet8", 128))]
    assert re.findall(r"\d\.\d\d", first) == shown
    assert re.findall(r"\d\.\d\d", second) == [one[cnn], one[wide]]


def test_every_algorithm_is_told():
    """Each file of ``ALGORITHMS`` is in the README's table and on the page about convolutions."""
    files = {f"{type(each).__module__.rpartition('.')[2]}.py" for each in ALGORITHMS.values()}
    page = (ROOT / "docs" / "how-a-convolution-is-computed.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert files <= set(re.findall(r"numpy_kernels/(\w+\.py)` ?[|,]", readme))
    assert files <= set(re.findall(r"(\w+\.py)", page))


def test_readme_lists_every_extra():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} >= extras()


def test_readme_has_the_floors():
    """Its table has files on the floors that the architecture test gives them, and every room."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    on_floor = {}
    for floor, modules in FLOORS.items():
        for module in modules.split():
            on_floor.setdefault(module.partition(".")[0], floor[:2])
    on_floor["__init__"] = on_floor.pop("lucidlite")
    named = {
        name.removesuffix("/").removesuffix(".py"): floor
        for floor, files in re.findall(r"^\| (F\d) \| (.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`([\w.]+/?)`", files)
    }
    assert named == {name: on_floor.get(name) for name in named}
    # Small helpers of a floor may stay unnamed, folders may not.
    assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} <= named.keys()
