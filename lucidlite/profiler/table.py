"""A profile's rows as text."""

from __future__ import annotations

from collections.abc import Sequence

from lucidlite.profiler.events import Row
from lucidlite.tables import cut, lay_out, milliseconds, size, sizes

_HEAD = ("name", "calls", "total ms", "self ms", "share", "output", "saved", "inputs")
_LEFT = ("name", "inputs")


def text(rows: Sequence[Row], name_width: int, shapes_width: int) -> str:
    """A line for each row under a head; the two columns of bytes only where some row has any."""
    if not rows:
        return "nothing was recorded"
    cells = [
        (
            cut(row.name, name_width),
            f"{row.calls:,}",
            milliseconds(row.total_seconds),
            milliseconds(row.self_seconds),
            f"{row.share:.1%}",
            size(row.output_bytes),
            size(row.saved_bytes),
            cut(", ".join(map(sizes, row.shapes)), shapes_width),
        )
        for row in rows
    ]
    return "\n".join(lay_out(_HEAD, cells, _LEFT))
