"""Writing through views: what a base is after a write to a part of it, and a view after one.

A part cut out by ints and slices is put back between what is beside it; any other view is written
to by the places of its elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.creation import arange
from lucidlite.onnx.graph import Graph
from lucidlite.onnx.index import basic_part
from lucidlite.ops.indexing import _view_of
from lucidlite.view import View, replay

Shape = tuple[int, ...]
# (start, end) of each dim that a part has some of, and the dims that it hasn't.
Part = tuple[list[tuple[int, int, int]], list[int]]


def _places(view: View) -> Any:
    """Where in its flattened base a view looks."""
    whole = arange(view.base.array.size, device="cpu").reshape(tuple(view.base.array.shape))
    return replay(whole, view.steps).array.copy()


def _key(view: View) -> tuple[Any, ...] | None:
    """The index that a view is, None where it is something else."""
    if len(view.steps) > 1 or view.steps[0][0] is not _view_of:
        return None
    key: tuple[Any, ...] = view.steps[0][1][0]
    return key


def _part(key: tuple[Any, ...], shape: Shape) -> Part | None:
    """What of a base an index takes; None for one with new dims or steps."""
    used = sum(item is not Ellipsis for item in key)
    items: list[Any] = []
    for item in key if Ellipsis in key else (*key, Ellipsis):
        items += [slice(None)] * (len(shape) - used) if item is Ellipsis else [item]
    spans, gone = [], []
    for dim, (item, size) in enumerate(zip(items, shape, strict=False)):
        if isinstance(item, int):
            gone.append(dim)
            spans.append((dim, item % size, item % size + 1))
        elif isinstance(item, slice):
            start, end, step = item.indices(size)
            if step != 1 or end <= start:
                return None
            if (start, end) != (0, size):
                spans.append((dim, start, end))
    return (spans, gone) if len(items) == len(shape) and None not in items else None


def seen(g: Graph, view: View, base: str, shape: Shape) -> str:
    """The value of a view of ``shape``, from that of its base."""
    own, key = tuple(view.base.array.shape), _key(view)
    if key is not None:
        return basic_part(g, base, own, key)[0]
    places = _places(view)
    if np.array_equal(places.reshape(-1), np.arange(view.base.array.size)):
        return g.reshape(base, shape, own)
    flat = g.reshape(base, (-1,), own)
    name: str = g.add("Gather", flat, g.constant(places), axis=0)
    return name


def written(g: Graph, view: View, base: str, name: str, shape: Shape) -> str:
    """The value of a view's base, ``base`` so far, after ``name`` was written to the view."""
    own, key = tuple(view.base.array.shape), _key(view)
    part = None if key is None else _part(key, own)
    if part is not None:
        return _put(g, base, g.unsqueeze(name, *part[1]), own, part[0])
    places = _places(view).reshape(-1)
    if np.array_equal(places, np.arange(view.base.array.size)):
        return g.reshape(name, own, shape)
    flat = g.reshape(name, (places.size,), shape)
    base = g.reshape(base, (-1,), own)
    whole = g.add("ScatterND", base, g.constant(places.reshape(-1, 1)), flat)
    return g.reshape(whole, own, (view.base.array.size,))


def _put(g: Graph, base: str, new: str, shape: Shape, spans: list[tuple[int, int, int]]) -> str:
    """``base`` with ``new`` in the place of the elements that ``spans`` cut out."""
    if not spans:
        return new
    (dim, start, end), *rest = spans
    inner = _put(g, g.slice(base, dim, start, end), new, shape, rest) if rest else new
    parts = [g.slice(base, dim, 0, start)] if start else []
    parts.append(inner)
    if end < shape[dim]:
        parts.append(g.slice(base, dim, end))
    return parts[0] if len(parts) == 1 else g.add("Concat", *parts, axis=dim)
