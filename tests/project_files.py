"""The repository's own files, for the tests that hold them to each other."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it there

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lucidlite"
BENCHMARKS = ROOT / "benchmarks"


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def extras() -> set[str]:
    return set(project()["project"]["optional-dependencies"])


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))


class Fence(NamedTuple):
    """A fenced block of a Markdown file, and the paragraph that leads to it."""

    language: str
    code: str
    line: int  # of its first line of code
    before: str


def fences(name: str) -> list[Fence]:
    """The fenced blocks of a file, in order."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found, start = [], 0
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start(2)) + 1
        paragraph = text[start : match.start()].rstrip().rpartition("\n\n")[2]
        found.append(Fence(match[1], match[2], line, paragraph))
        start = match.end()
    return found
