"""Programs with one usual mistake each: the error names the line, the op, the layer and the cause.

The head of each file in wrong_programs/ says what is expected, comments mark the lines: ``here`` is
where the error is raised, ``recorded`` the forward line of the node it is about, ``written`` what
overwrote its tensor and ``origin`` where its NaN came from.
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).with_name("wrong_programs")
PROGRAMS = sorted({*FOLDER.glob("*.py")} - {FOLDER / "conftest.py"})
LABELS = {"here": "at", "recorded": "recorded at", "origin": "recorded at"}


def expected(path: Path) -> tuple[dict[str, str], dict[str, tuple[int, str]]]:
    """The head of a program, and the number and function of each marked line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = {}
    for line in lines:
        if not line.startswith("# "):
            break
        name, _, value = line[2:].partition(": ")
        head[name] = value
    marks, function = {}, "<module>"
    for number, line in enumerate(lines, 1):
        if match := re.match(r"( *)def (\w+)", line):
            function = match[2]
        elif line and not line.startswith(" "):
            function = "<module>"
        for mark in line.partition("  # <- ")[2].split(", "):
            if mark:
                marks[mark] = number, function
    return head, marks


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As when a script is run by itself: nothing of an earlier one is left behind."""
    monkeypatch.setattr(sys, "argv", ["program"])
    yield
    from lucidlite.engine_checks import anomaly

    assert not anomaly.enabled


def failure(path: Path) -> Any:
    try:
        runpy.run_path(str(path), run_name="__main__")
    except Exception as problem:
        return problem
    return None


def test_there_are_thirty():
    assert len(PROGRAMS) >= 30


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("home")
def test_program(path, request, capsys):
    head, marks = expected(path)
    assert marks, "no line is marked"
    if head.get("needs") == "cuda":
        request.getfixturevalue("cuda")
    problem = failure(path)
    capsys.readouterr()
    text = "".join([str(problem), *(f"\n{note}" for note in getattr(problem, "__notes__", ()))])
    lines = text.splitlines()
    assert type(problem).__name__ == head["raises"], text
    assert text.startswith(head["op"]), text
    for word in ("node", "says"):
        assert head.get(word, "") in text
    for mark, (number, function) in marks.items():
        place = f"{path}:{number} in {function}"
        if mark == "written":
            assert re.search(rf"\n  written by \w+ at {re.escape(place)}\n", text), text
        else:
            assert f"  {LABELS[mark]} {place}" in lines, text
    if "module" in head:
        assert f"  in module {head['module']}" in lines, text
    else:
        assert "in module" not in text
    if head["hint"] == "-":
        assert "hint:" not in text
    else:
        assert lines[-1].startswith("  hint: "), text
        assert head["hint"] in lines[-1], text
        assert text.count("  hint: ") == 1
    # One exception: what came before it, if anything, isn't shown.
    assert (problem.__cause__ is not None) == ("cause" in head)
    assert problem.__context__ is problem.__cause__ or problem.__suppress_context__, text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_class_is_pytorchs(path, tmp_path, capsys):
    """The same script on PyTorch raises the same class of error."""
    torch = pytest.importorskip("torch")
    head, _ = expected(path)
    if head.get("needs") == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    text = path.read_text(encoding="utf-8")
    text = text.replace("import lucidlite as torch", "import torch")
    script = tmp_path / path.name
    script.write_text(text.replace("from lucidlite", "from torch"), encoding="utf-8")
    problem = failure(script)
    capsys.readouterr()
    found = "none" if problem is None else type(problem).__name__
    assert found == head.get("torch", head["raises"]), problem
