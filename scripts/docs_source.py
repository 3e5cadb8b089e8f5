"""What the documentation quotes: source by its name, sections of other pages, public objects.

Nothing is pasted into a page. A page says the name, the build looks it up, and where the name is
gone the build fails.
"""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lucidlite"


class Gone(Exception):
    """A page names what isn't there."""


class Excerpt(NamedTuple):
    """Some lines of a file of the package, without their common indentation."""

    file: str  # from the package's folder
    name: str
    first: int
    last: int
    code: str


@cache
def _parsed(file: str) -> tuple[list[str], ast.Module]:
    path = PACKAGE / file
    if not path.is_file():
        raise Gone(f"there is no lucidlite/{file}")
    text = path.read_text(encoding="utf-8")
    return text.splitlines(), ast.parse(text)


def forget() -> None:
    """Read files anew: they may have changed since the last build."""
    _parsed.cache_clear()


def _named(nodes: list[ast.stmt], name: str) -> ast.stmt | None:
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name == name:
                return node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                return node
    return None


def _find(file: str, name: str) -> ast.stmt:
    nodes = _parsed(file)[1].body
    for part in name.split("."):
        found = _named(nodes, part)
        if found is None:
            raise Gone(f"lucidlite/{file} has no {name}")
        nodes = getattr(found, "body", [])
    return found


def excerpt(file: str, name: str) -> Excerpt:
    """The source of a function, class, method or variable: 'engine.py', 'Walk.run'."""
    node = _find(file, name)
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    lines = _parsed(file)[0][first - 1 : node.end_lineno]
    code = textwrap.dedent("\n".join(lines))
    return Excerpt(file, name, first, first + len(lines) - 1, code)


def docstring(file: str) -> str:
    """What a file says of itself at its top."""
    found = ast.get_docstring(_parsed(file)[1])
    if not found:
        raise Gone(f"lucidlite/{file} has no docstring")
    return found


def section(page: str, heading: str) -> str:
    """The text under a heading of README.md or another page, up to the next of its level."""
    path = ROOT / page
    if not path.is_file():
        raise Gone(f"there is no {page}")
    level, found, fenced = 0, [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        match = None if fenced else re.match(r"(#+) (.*)", line)
        if match and level and len(match[1]) <= level:
            break
        if level:
            found.append(line)
        elif match and match[2] == heading:
            level = len(match[1])
    if not level:
        raise Gone(f"{page} has no heading {heading!r}")
    return "\n".join(found).strip() + "\n"


class Public(NamedTuple):
    """A public name and the object behind it."""

    shown: str  # 'lucidlite.abs'
    path: str  # where it is defined: 'lucidlite.ops.unary.abs'
    also: list[str]  # other names of the same object in the same module


def public(module: str, names: list[str]) -> Iterator[Public]:
    """The objects called ``names`` in a module, and where each is defined."""
    home = importlib.import_module(module)
    for name in names:
        value = getattr(home, name, None)
        path = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        if value is None or not path.startswith("lucidlite."):
            raise Gone(f"{module} has no function or class {name}")
        yield Public(f"{module}.{name}", path, sorted(_others(home, name, value)))


def _others(home: Any, name: str, value: Any) -> Iterator[str]:
    for other, each in vars(home).items():
        if each is value and other != name and not other.startswith("_"):
            yield other


def rules() -> Iterator[tuple[str, str]]:
    """What ``lucidlite.watch`` looks for: names, and the first sentence of each."""
    for name, rule in importlib.import_module("lucidlite.watching").RULES.items():
        first = (rule.__doc__ or "").partition("\n\n")[0]
        yield name, " ".join(first.split())
