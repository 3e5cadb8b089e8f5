"""What the documentation in docs/ shows: its programs run and print what stands below them, its
commands work, and the source that it quotes is the source."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import re
import runpy
import shlex
import sys
import textwrap

import pytest
from project_files import ROOT, fences
from test_readme import check_command, run

import lucidlite
from lucidlite import cli

DOCS = ROOT / "docs"
SCRIPTS = ROOT / "scripts"
GUIDES = sorted(path.name for path in DOCS.glob("*.md") if path.name != "compatibility.md")
# Every page that is written by hand.
PAGES = [*GUIDES, *sorted(f"api/{path.name}" for path in (DOCS / "api").glob("*.md"))]
# Of these pages the commands run, one after the other; of others, their options are looked up.
FOLLOWED = {"own-images.md"}


def script(name):
    """A file of scripts/, which is no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


source = script("docs_source")
# What a guide may use and an environment may lack.
LIBRARIES = r"^(?:import|from) (torch|PIL|onnxruntime|onnx|safetensors)\b"


# -- programs and commands -------------------------------------------------------------------------


@pytest.mark.parametrize("page", GUIDES)
def test_the_guide_can_be_followed(page, tmp_path, monkeypatch, capsys):
    """The page's blocks in its order: a program, files that are saved, commands that use them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(lucidlite.backends.cpu, "_conv_algorithm", "auto")
    blocks = fences(f"docs/{page}")
    namespace = {"__name__": "__main__"}
    for block, after in zip(blocks, [*blocks[1:], None], strict=False):
        if block.language == "python":
            for library in re.findall(LIBRARIES, block.code, re.MULTILINE):
                pytest.importorskip(library, reason=f"this guide uses {library}")
            saved = re.search(r"[Ss]ave (?:it|this)\s+as `(\w+\.py)`", block.before)
            if saved:
                (tmp_path / saved[1]).write_text(block.code, encoding="utf-8")
            if saved is None:
                run(block, namespace)
            elif page not in FOLLOWED:
                run(block, {"__name__": "__main__"})  # a file stands by itself
            printed = capsys.readouterr().out
            if after is not None and after.language == "text":
                assert printed.replace(str(tmp_path) + os.sep, "") == after.code
            else:
                assert not printed
        elif block.language == "sh":
            for line in block.code.splitlines():
                follow(line.partition("  #")[0].strip(), page in FOLLOWED)
            capsys.readouterr()


def follow(line, runs):
    """Run a command line, or see that what it names is there."""
    words = shlex.split(line)
    if runs and words[0] == "lucidlite":
        assert cli.main(words[1:]) == 0
    elif runs and words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
    else:
        check_command(line)


def test_parity_finds_the_mistake(tmp_path):
    """What seeing.md says of the network that it shows."""
    pytest.importorskip("torch", reason="compares with PyTorch")
    (block,) = (b for b in fences("docs/seeing.md") if "`drifting.py`" in b.before and b.code)
    (tmp_path / "drifting.py").write_text(block.code, encoding="utf-8")
    report = lucidlite.parity.compare(f"{tmp_path / 'drifting.py'}:Net")
    assert report.verdict.startswith("first difference: step 1, forward, norm: BatchNorm2d: max ")


# -- what is quoted --------------------------------------------------------------------------------


def directives(kind):
    """(page, words) of every line of this kind, names in the lines below included."""
    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8")
        for found in re.findall(rf"^!{kind} +((?:.+\n)+)", text, re.MULTILINE):
            for line in [found] if kind == "api" else found.replace("!", "\n!").splitlines():
                words = line.removeprefix(f"!{kind}").split()
                if words:
                    yield page, words


QUOTED = [
    pytest.param(words[0], name, id=f"{page}:{words[0]}:{name}")
    for page, words in directives("source")
    for name in words[1:]
]


@pytest.mark.parametrize(("file", "name"), QUOTED)
def test_excerpt_is_the_source(file, name):
    """What the build quotes is what Python itself says of the object, or the variable's lines."""
    found = source.excerpt(file, name)
    lines = (ROOT / "lucidlite" / file).read_text(encoding="utf-8").splitlines()
    assert textwrap.dedent("\n".join(lines[found.first - 1 : found.last])) == found.code
    value = importlib.import_module("lucidlite." + file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        value = inspect.getattr_static(value, part)
    value = getattr(value, "fget", getattr(value, "__func__", value))
    value = inspect.unwrap(value)
    if inspect.isfunction(value) or inspect.isclass(value):
        assert found.code == textwrap.dedent(inspect.getsource(value)).rstrip()
    else:
        assert found.code.startswith(name)


def test_what_is_gone_fails():
    gone = [
        lambda: source.excerpt("engine.py", "Walk.fly"),
        lambda: source.excerpt("engine.py", "Walk.run.loop"),
        lambda: source.excerpt("motor.py", "Walk"),
        lambda: source.docstring("motor.py"),
        lambda: source.section("README.md", "No such heading"),
        lambda: list(source.public("lucidlite", ["no_such_name"])),
    ]
    for ask in gone:
        with pytest.raises(source.Gone):
            ask()


def test_sections_end_where_the_next_begins():
    text = source.section("CONTRIBUTING.md", "A layer")
    assert text.startswith("A layer is a class")
    assert "A kernel is" not in text
    assert source.section("README.md", "Licence").rstrip().endswith("results.")
    pages = {words[0]: " ".join(words[1:]) for _, words in directives("section")}
    assert set(pages) == {"README.md", "CONTRIBUTING.md"}


# From loss.backward() down to the product of matrices, and back up to .grad.
WAY = """
    Tensor.backward backward Walk.start Walk.deliver Walk.run Walk.step Walk.visit call_vjp
    conv2d_vjp NumPyConv.conv2d_backward Direct.backward weight_grad _Columns.fill fit Walk.arrive
    accumulate
"""


def test_the_reading_goes_only_forwards():
    """Each function on the way is quoted once, after one that names it."""
    page = "how-the-tape-works.md"
    quotes = [(w[0], name) for at, w in directives("source") if at == page for name in w[1:]]
    shown = [name for _, name in quotes]
    assert len(shown) == len(set(shown))
    places = [shown.index(name) for name in WAY.split()]
    assert places == sorted(places)
    codes = [source.excerpt(*quote).code for quote in quotes]
    lines = sum(codes[place].count("\n") + 1 for place in places)
    assert 200 < lines < 500  # "a few hundred", says the first page
    for place in places[1:]:
        called = shown[place].rpartition(".")[2]
        assert any(re.search(rf"\b{called}\b", code) for code in codes[:place]), called


# -- links, pictures, the reference ----------------------------------------------------------------


def slug(heading):
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def headings(page):
    text = re.sub(r"^```.*?^```$", "", (DOCS / page).read_text("utf-8"), flags=re.M | re.S)
    for words in re.findall(r"^!section (.*)$", text, re.MULTILINE):
        file, _, name = words.partition(" ")
        text += "\n" + source.section(file, name)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", (DOCS / page).read_text("utf-8"), flags=re.M | re.S)
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        if address.startswith("http"):
            continue
        file, _, place = address.partition("#")
        target = ((DOCS / page).parent / file).resolve() if file else DOCS / page
        if target.parent.name == "notebooks":  # the build makes its page
            target = target.with_suffix(".ipynb")
        assert target.is_file(), address
        if place:
            assert place in headings(str(target.relative_to(DOCS))), address


@pytest.mark.parametrize("page", GUIDES)
def test_files_named_exist(page):
    text = (DOCS / page).read_text("utf-8")
    named = re.findall(r"`((?:tests|examples|benchmarks|backends|scripts|ops)/[\w./]*)`", text)
    places = ROOT, ROOT / "lucidlite"
    assert not {name for name in named if not any((place / name).exists() for place in places)}


def test_pictures_are_drawn_by_the_script():
    drawn = {f"{name}.svg": make().svg() for name, make in script("docs_pictures").PICTURES.items()}
    assert drawn == {p.name: p.read_text("utf-8") for p in (DOCS / "pictures").glob("*.svg")}
    text = "".join((DOCS / page).read_text("utf-8") for page in GUIDES)
    assert set(drawn) == set(re.findall(r"\]\(pictures/(\w+\.svg)\)", text))


def own_names(module, names):
    """Functions and classes; modules, numbers and dtypes have no text of their own."""
    for name in names:
        value = getattr(module, name)
        if (inspect.isfunction(value) or inspect.isclass(value)) and not name.endswith("_"):
            yield name, value


MODULES = """
    lucidlite lucidlite.nn lucidlite.nn.functional lucidlite.optim lucidlite.optim.lr_scheduler
    lucidlite.autograd lucidlite.linalg lucidlite.utils.data lucidlite.datasets lucidlite.models
    lucidlite.datasets.transforms lucidlite.nn.utils lucidlite.amp lucidlite.viz
"""


@pytest.mark.parametrize("module", MODULES.split())
def test_the_reference_has_every_name(module):
    home = importlib.import_module(module)
    names = getattr(home, "__all__", None)
    if names is None:
        names = {n for n in home.__dir__() if not n.startswith("_")} - {"Any", "annotations"}
    texts = {}
    for _, words in directives("api"):
        listed = words[2:] if words[1] == "members" else words[1:]
        for each in source.public(words[0], listed):
            value = getattr(importlib.import_module(words[0]), each.shown.rpartition(".")[2])
            texts.setdefault(id(value), []).append(each.shown)
    missing = [name for name, value in own_names(home, names) if id(value) not in texts]
    assert not missing
    twice = {tuple(shown) for shown in texts.values() if len(shown) != len(set(shown))}
    assert not twice


# -- the build's own tools -------------------------------------------------------------------------


def test_examples_of_docstrings_become_code():
    pytest.importorskip("griffe", reason="the extra docs has it")
    text = "Twice.\n\n>>> twice(2)  # doctest: +SKIP\n4\n>>> twice(3)\n6\n\nSemantics: torch.add."
    assert script("docs_docstrings").markdown(text) == (
        "Twice.\n\n```pycon\n>>> twice(2)\n4\n>>> twice(3)\n6\n```\n\nSemantics: torch.add."
    )


def test_notebooks_become_pages(tmp_path):
    pytest.importorskip("matplotlib", reason="what notebooks draw is drawn by it")
    cells = [
        ("markdown", "# Two\n\nSee [one](one.ipynb), and $2 x^2 - \\sqrt{x}$."),
        ("code", "a = 1 + 1\nprint('<', a)\na"),
        ("code", "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"),
        ("code", "b = a"),
    ]
    content = {"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells]}
    (tmp_path / "two.ipynb").write_text(json.dumps(content), encoding="utf-8")
    made = script("docs_notebooks").page(tmp_path / "two.ipynb")
    assert made.title == "Two"
    assert "[one](one.md), and <em>2 x<sup>2</sup> - \u221ax</em>." in made.markdown
    assert "```python\nb = a\n```" in made.markdown
    assert made.outputs[0] == "<pre>&lt; 2\n</pre><pre>2</pre>"
    assert made.outputs[1].startswith('<img alt="what the cell drew" src="data:image/png;base64,')
    assert len(made.outputs) == made.markdown.count('<div id="output-') == 2
    (tmp_path / "two.ipynb").write_text(json.dumps(content).replace("b = a", "b = c"), "utf-8")
    with pytest.raises(NameError):
        script("docs_notebooks").page(tmp_path / "two.ipynb")


def test_a_site_that_is_not_whole_is_refused(tmp_path):
    site = script("docs_site")
    good = '<h1 id="top">A</h1><a href="b.html#there">b</a><img src="data:image/png;base64,AA==">'
    (tmp_path / "a.html").write_text(good, encoding="utf-8")
    other = '<p id="there"><a href="https://x.org">x</a>'
    (tmp_path / "b.html").write_text(other, encoding="utf-8")
    assert site.problems(tmp_path) == []
    (tmp_path / "b.html").write_text('<p id="here"><a href="c.html">c</a>', encoding="utf-8")
    (tmp_path / "d.html").write_text('<script src="//cdn.org/x.js"></script>', encoding="utf-8")
    (tmp_path / "e.css").write_text("@import url('https://fonts.org/f');", encoding="utf-8")
    assert site.problems(tmp_path) == [
        "a.html: b.html#there leads nowhere",
        "b.html: c.html leads nowhere",
        "d.html: fetches //cdn.org/x.js",
        "e.css: fetches https://fonts.org/f",
    ]
