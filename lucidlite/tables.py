"""Tables as text and as HTML, and the numbers in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def lay_out(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: Sequence[str],
    total: Sequence[str] | None = None,
) -> list[str]:
    """Lines of columns under a head: those named in ``left`` flush left, the others right.

    A column that is empty, or "-", in every row is left out. ``total`` is one more row, below a
    rule.
    """
    body = [tuple(row) for row in rows]
    below = [] if total is None else [tuple(total)]
    columns = [
        column
        for column in zip(head, *body, *below, strict=True)
        if column[0] in left[:1] or any(cell not in ("", "-") for cell in column[1:])
    ]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for line in zip(*columns, strict=True):
        padded = [
            cell.ljust(width) if column[0] in left else cell.rjust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    end = len(lines) - len(below)
    return [lines[0], rule, *lines[1:end], rule, *lines[end:]]


def html_table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: Sequence[str],
    total: Sequence[str] = (),
    caption: str = "",
) -> str:
    """The same for a notebook; leading spaces of a cell are kept."""
    numbers = [name not in left for name in head]

    def line(cells: Sequence[str], tag: str) -> str:
        made = [
            f'<{tag} style="text-align:{"right" if number else "left"};white-space:pre">'
            f"{escape(cell)}</{tag}>"
            for cell, number in zip(cells, numbers, strict=True)
        ]
        return f"<tr>{''.join(made)}</tr>"

    body = "".join([line(row, "td") for row in rows])
    foot = f"<tfoot>{line(total, 'th')}</tfoot>" if total else ""
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead>{line(head, 'th')}</thead><tbody>{body}</tbody>{foot}</table>"


def milliseconds(seconds: float | None) -> str:
    """'12.345', '' where there is no time."""
    return "" if seconds is None else f"{seconds * 1e3:,.3f}"


def size(n: int) -> str:
    """'1.5 MiB', '-' for none."""
    if n < 1024:
        return f"{n} B" if n else "-"
    for unit, amount in (("KiB", 2**10), ("MiB", 2**20)):
        if n < 1000 * amount:
            return f"{n / amount:.1f} {unit}"
    return f"{n / 2**30:.2f} GiB"


def count(n: int) -> str:
    """'1,234', '-' for none."""
    return f"{n:,}" if n else "-"


def share(part: float, digits: int = 1) -> str:
    """'98.3%', and '100.0%' of all only: what is nearly all isn't rounded up to it.

    >>> share(0.98341), share(0.99996), share(1.0)
    ('98.3%', '99.9%', '100.0%')
    """
    text = f"{part:.{digits}%}"
    if part < 1 and text.startswith("100"):
        return f"{1 - 10.0 ** -(digits + 2):.{digits}%}"
    return text


def sizes(shape: Iterable[int]) -> str:
    """'2x3', '()' for a number."""
    return "x".join(map(str, shape)) or "()"


def cut(words: str, width: int) -> str:
    """``words`` in at most ``width`` characters."""
    return words if len(words) <= width else words[: width - 3] + "..."
