"""What the README and CONTRIBUTING show runs, prints what they say, and names things that exist."""

from __future__ import annotations

import doctest
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


@pytest.mark.parametrize("command", COMMANDS)
def test_command_exists(command, capsys):
    """Targets are in the Makefile, extras in pyproject.toml, options in the program."""
    words = shlex.split(command)
    if words[:2] == ["python", "-m"] and words[2] == "lucidlite":
        words = words[2:]
    if words[0] == "make":
        assert words[1] in make_targets()
    elif words[:2] == ["pip", "install"]:
        assert set(re.search(r"\[(.*)\]", words[-1])[1].split(",")) <= extras()
    elif words[0] == "lucidlite":
        assert words[1] in cli.COMMANDS
        with pytest.raises(SystemExit) as stop:
            cli.main([words[1], "--help"])
        assert stop.value.code == 0
        shown = capsys.readouterr().out
        for option in (word for word in words if word.startswith("--")):
            assert option in shown
    else:
        assert words[:3] in (["python", "-m", "venv"], [".", ".venv/bin/activate"],
                             ["python", "-m", "pytest"])  # fmt: skip


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
