"""Notebooks as pages: each is run by the build, and its page shows what it printed and drew."""

from __future__ import annotations

import ast
import base64
import contextlib
import html
import io
import json
import linecache
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("MPLBACKEND", "Agg")  # figures are files, never windows


class Page(NamedTuple):
    """A notebook as Markdown; ``outputs`` stand where the Markdown has ``<div id="output-N">``."""

    title: str
    markdown: str
    outputs: list[str]


def page(path: Path) -> Page:
    """Run a notebook from top to bottom. An error in it is an error of the build."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    parts, outputs = [], []
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(math(source.replace(".ipynb)", ".md)")))
            continue
        parts.append(f"```python\n{source}\n```")
        shown = "".join(ran(source, f"cell {number + 1}", namespace))
        if shown:
            parts.append(f'<div id="output-{len(outputs)}"></div>')
            outputs.append(shown)
    title, _, rest = "\n\n".join(parts).partition("\n")
    about = f"*This page is a notebook, run by the build: [{path.name}]({path.name}).*"
    return Page(title.lstrip("# "), f"{title}\n\n{about}\n{rest}\n", outputs)


def ran(source: str, name: str, namespace: dict[str, Any]) -> Iterator[str]:
    """What a cell prints, draws and ends with, as HTML."""
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    tree, value, printed = ast.parse(source, name), None, io.StringIO()
    last = tree.body[-1] if tree.body else None
    shows = isinstance(last, ast.Expr) and not source.rstrip().endswith(";")
    final = ast.Expression(tree.body.pop().value) if shows else None  # type: ignore[attr-defined]
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), namespace)
        if final is not None:
            value = eval(compile(final, name, "eval"), namespace)
    if printed.getvalue():
        yield f"<pre>{html.escape(printed.getvalue())}</pre>"
    yield from pictures()
    if value is not None:
        rich = getattr(value, "_repr_html_", None)
        yield rich() if callable(rich) else f"<pre>{html.escape(repr(value))}</pre>"


def pictures() -> Iterator[str]:
    """Matplotlib's open figures, which are then closed."""
    import matplotlib.pyplot as plt

    for number in plt.get_fignums():
        file = io.BytesIO()
        plt.figure(number).savefig(file, format="png", dpi=110)
        text = base64.b64encode(file.getvalue()).decode()
        yield f'<img alt="what the cell drew" src="data:image/png;base64,{text}">'
    plt.close("all")


def math(text: str) -> str:
    """Inline formulas as HTML: what there is of TeX in our notebooks, without a library for it."""

    def formula(found: re.Match[str]) -> str:
        words = re.sub(r"\\sqrt\{(\w+)\}", "\u221a\\1", found[1])
        words = re.sub(r"\^\{?(\w+)\}?", r"<sup>\1</sup>", words)
        plain = words.replace("\\", "")
        return f"<em>{plain}</em>"

    return re.sub(r"(?<!\$)\$([^$`\n]+)\$(?!\$)", formula, text)


if __name__ == "__main__":
    print(json.dumps(page(Path(sys.argv[1]))))
