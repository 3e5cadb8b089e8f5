"""The tape made visible: a page of one file, a Mermaid chart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lucidlite.callsite import error
from lucidlite.files import atomic_write
from lucidlite.tensor import Tensor
from lucidlite.viz.collect import collect
from lucidlite.viz.mermaid import to_mermaid
from lucidlite.viz.page import build, framed

__all__ = ["Tape", "tape", "to_mermaid"]


class Tape:
    """What ``viz.tape`` saw: ``data`` as plain dicts and lists, ``path`` where it was written.

    Shows itself as the page in a notebook; ``html()`` is that page, ``save(path)`` writes it.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.path: Path | None = None

    def html(self) -> str:
        """The page: one file with nothing to load."""
        return build(self.data)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to ``path``, all of it or nothing; returns the path."""
        if not isinstance(path, (str, os.PathLike)):
            kind = type(path).__name__
            raise error(TypeError, f"viz.tape: path must be a str or an os.PathLike, got {kind}")
        text = self.html()
        with atomic_write(path, "viz.tape") as file:
            file.write(text.encode("utf-8", "replace"))
        self.path = Path(path)
        return self.path

    def _repr_html_(self) -> str:
        return framed(self.html())

    def __repr__(self) -> str:
        totals = self.data["totals"]
        written = f", written to {str(self.path)!r}" if self.path is not None else ""
        return (
            f"<Tape: {self.data['title']}, {totals['nodes']} nodes, leaves={totals['leaves']}, "
            f"{totals['kept_bytes']:,} bytes kept for backward{written}>"
        )


def tape(
    loss: Tensor,
    path: str | os.PathLike[str] | None = None,
    *,
    profile: Any = None,
    title: str | None = None,
) -> Tape:
    """The graph that leads to ``loss``, and what backward does there, as a page of one HTML file.

    Backward is run once to be watched: no ``.grad`` is written, nothing is freed, random numbers
    go on as before, and ``loss.backward()`` afterwards gives the same bits. Hooks on tensors and
    nodes run, for they change gradients; those after accumulation don't. Call it before
    ``backward()``, which frees the graph, and for a scalar: RuntimeError otherwise.

    path: where to write the page, whole or not at all; without it the result shows itself in a
    notebook. profile: from ``lucidlite.profiler.profile()`` around the forward pass, or a mapping
    from node numbers to seconds, for forward times. title: the page's, else the model's name.
    Operations are grouped by the modules that are still there: keep a name for the model.

    >>> import lucidlite
    >>> x = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    >>> tape = lucidlite.viz.tape((x * x).sum())
    >>> [node["op"] for node in tape.data["nodes"]]
    ['sum', 'mul', 'leaf']
    >>> tape.data["nodes"][2]["gradient"]["max"], x.grad
    (4.0, None)
    """
    seen = Tape(collect(loss, profile, title))
    if path is not None:
        seen.save(path)
    return seen
