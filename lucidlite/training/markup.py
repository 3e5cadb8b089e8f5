"""The few pieces of HTML that a report is made of. What is text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """Text that stands for itself, in an element or in a quoted attribute."""
    return html.escape(plain(value))


def plain(value: object) -> str:
    """Text without what changes its direction or can't be encoded: these are shown as codes."""
    return "".join(
        each if each.isprintable() or each in "\n " else f"\\u{ord(each):04x}"
        for each in str(value)
    )


def element(tag: str, content: str, kind: str = "") -> str:
    """An element with text in it."""
    return f"<{tag}{_of(kind)}>{text(content)}</{tag}>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names with their values."""
    each = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs)
    return f'<dl class="facts">{each}</dl>'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str,
    *,
    marked: int | None = None,
    words: int = 1,
) -> str:
    """A table of texts: its first column names the rows, the first ``words`` ones are no numbers.

    Row number ``marked`` is set in bold.
    """
    kinds = [_of("left" if i < words else "") for i in range(len(head))]
    names = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>' for kind, name in zip(kinds, head, strict=True)
    )
    lines = []
    for number, (first, *rest) in enumerate(rows):
        cells = "".join(
            f"<td{kind}>{text(cell)}</td>" for kind, cell in zip(kinds[1:], rest, strict=True)
        )
        kind = _of("best" if number == marked else "")
        lines.append(f'<tr{kind}><th scope="row">{text(first)}</th>{cells}</tr>')
    return (
        f"<table><caption>{text(caption)}</caption><thead><tr>{names}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _of(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
