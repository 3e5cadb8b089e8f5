"""Indexing as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.graph import END, Call, Graph
from lucidlite.onnx.products import as_int64
from lucidlite.onnx.shape import expanded
from lucidlite.onnx.table import Unsupported, emits, writes
from lucidlite.ops import gather, indexing, inplace, scatter
from lucidlite.ops.index_key import normalize


@emits(indexing.getitem)
def getitem(g: Graph, a: Call) -> Any:
    key = a["key"] if isinstance(a["key"], tuple) else (a["key"],)
    for item in key:
        parts = (item.start, item.stop, item.step) if isinstance(item, slice) else (item,)
        if any(id(part) in a.names and not part.array.ndim for part in parts):
            raise Unsupported("an index that depends on the input; use index_select or gather")
    key, basic = normalize(a["input"], a["key"])
    x, left = basic_part(g, g.of(a["input"]), a["input"].array.shape, key)
    return x if basic else _taken(g, a, x, left)


def basic_part(
    g: Graph, x: str, shape: tuple[int, ...], key: tuple[Any, ...]
) -> tuple[str, list[Any]]:
    """``x`` after ints, slices, None and Ellipsis; index tensors are left, None stands for none.

    What is left has an entry for each dim of the result.
    """
    used = sum(
        (i.array.ndim if i.array.dtype.kind == "b" else 1) if hasattr(i, "array")
        else i is not None and i is not Ellipsis
        for i in key
    )  # fmt: skip
    items: list[Any] = []
    for item in key if any(i is Ellipsis for i in key) else (*key, Ellipsis):
        items += [slice(None)] * (len(shape) - used) if item is Ellipsis else [item]
    # Slices first, while all dims are there; then those that go and those that come.
    dim = 0
    gone: list[tuple[int, int]] = []
    left: list[Any] = []
    tensors = any(hasattr(i, "array") for i in items)
    for item in items:
        if item is None:
            left.append(None)
            continue
        if isinstance(item, slice):
            start, end = item.start or 0, END if item.stop is None else item.stop
            x = g.slice(x, dim, start, end, item.step or 1)
            left.append(slice(None))
        elif hasattr(item, "array"):
            left.append(item)
            if item.array.dtype.kind == "b":
                dim += item.array.ndim - 1
        else:
            gone.append((dim, int(item)))
            if tensors:  # an int beside tensors is one of them, for where the result goes
                left.append(int(item))
        dim += 1
    if tensors:
        return x, left
    for dim, at in reversed(gone):
        x = g.add("Gather", x, g.constant(at, np.int64), axis=dim)
    return g.unsqueeze(x, *[i for i, item in enumerate(left) if item is None]), left


def _taken(g: Graph, a: Call, x: str, left: list[Any]) -> Any:
    """Elements at index tensors."""
    new = [i for i, item in enumerate(left) if item is None]
    places = [i for i, item in enumerate(left) if hasattr(item, "array") or isinstance(item, int)]
    tensors = [left[i] for i in places]
    if any(hasattr(t, "array") and t.array.dtype.kind == "b" for t in tensors):
        if len(tensors) > 1 or new:
            raise Unsupported("a mask among other indices; use where")
        return _masked(g, a, x, tensors[0], places[0])
    x = g.unsqueeze(x, *new)
    if len(tensors) == 1:
        return g.add("Gather", x, as_int64(g, tensors[0]), axis=places[0])
    shapes = [t.array.shape if hasattr(t, "array") else () for t in tensors]
    shape = np.broadcast_shapes(*shapes)
    rows = []
    for each, own in zip(tensors, shapes, strict=True):
        name = as_int64(g, each) if hasattr(each, "array") else g.constant(each, np.int64)
        rows.append(g.unsqueeze(expanded(g, name, own, shape), len(shape)))
    rest = [d for d in range(len(left)) if d not in places]
    out = g.transpose(x, [*places, *rest])
    out = g.add("GatherND", out, g.add("Concat", *rows, axis=len(shape)))
    if places != list(range(places[0], places[-1] + 1)):
        return out  # tensors apart from each other: their dims come first
    lead, n = places[0], len(shape)
    order = [*range(n, n + lead), *range(n), *range(n + lead, n + len(rest))]
    return g.transpose(out, order)


def _masked(g: Graph, a: Call, x: str, mask: Any, dim: int) -> Any:
    if id(mask) in a.names:
        raise Unsupported(
            "a mask that depends on the input makes a result whose size does too; use where"
        )
    places = np.argwhere(mask.backend.to_numpy(mask.array))
    if dim:
        if places.shape[1] != 1:
            raise Unsupported("a mask of several dims behind others; use where")
        return g.add("Gather", x, g.constant(places[:, 0], np.int64), axis=dim)
    return g.add("GatherND", x, g.constant(places, np.int64))


@emits(indexing.select)
def select(g: Graph, a: Call) -> Any:
    return g.add("Gather", g.of(a["input"]), _int(g, a["index"]), axis=int(a["dim"]))


def _int(g: Graph, value: Any) -> str:
    return as_int64(g, value) if hasattr(value, "array") else g.constant(int(value), np.int64)


@emits(indexing.narrow)
def narrow(g: Graph, a: Call) -> Any:
    start, size = int(a["start"]), a["input"].array.shape[a["dim"]]
    start += size if start < 0 else 0
    return g.slice(g.of(a["input"]), int(a["dim"]), start, start + int(a["length"]))


@emits(indexing.index_select)
def index_select(g: Graph, a: Call) -> Any:
    index = as_int64(g, a["index"])
    if not a["index"].array.ndim:
        index = g.unsqueeze(index, 0)
    return g.add("Gather", g.of(a["input"]), index, axis=int(a["dim"]))


@emits(gather.gather, fits=lambda a: a["input"].array.ndim > 0)
def take_along(g: Graph, a: Call) -> Any:
    # ONNX's has all of the other dims: those beyond the index's are cut off.
    x, shape, index = g.of(a["input"]), a["input"].array.shape, a["index"].array.shape
    dim = a["dim"] % len(shape)
    for d, (n, m) in enumerate(zip(shape, index, strict=True)):
        if d != dim and m < n:
            x = g.slice(x, d, 0, m)
    return g.add("GatherElements", x, as_int64(g, a["index"]), axis=dim)


@emits(gather.take_along_dim, fits=lambda a: a["dim"] is not None and a["input"].array.ndim > 0)
def take_along_dim(g: Graph, a: Call) -> Any:
    shape, given = tuple(a["input"].array.shape), tuple(a["indices"].array.shape)
    dim, full = a["dim"] % len(shape), tuple(a.out.array.shape)
    wide = tuple(n if d == dim else m for d, (n, m) in enumerate(zip(shape, full, strict=True)))
    # Any index is taken modulo the size.
    index = g.add("Mod", as_int64(g, a["indices"]), g.constant(shape[dim], np.int64))
    index, x = expanded(g, index, given, full), expanded(g, g.of(a["input"]), shape, wide)
    return g.add("GatherElements", x, index, axis=dim)


@emits(scatter.scatter, gather.scatter_add, fits=lambda a: a.get("reduce") is None)
def scattered(g: Graph, a: Call) -> Any:
    kind = a.out.array.dtype
    source: Any = a.args.get("src")
    shape = a["index"].array.shape
    if not hasattr(source, "array"):
        value = a["value"] if source is None else source
        updates = expanded(g, g.of(value, kind), (), shape)
    else:
        updates = g.of(source, kind)
        for d, (n, m) in enumerate(zip(source.array.shape, shape, strict=True)):
            updates = g.slice(updates, d, 0, m) if m < n else updates
    return g.add(
        "ScatterElements", g.of(a["input"], kind), as_int64(g, a["index"]), updates,
        axis=int(a["dim"]), reduction="add" if a.op == "scatter_add" else None,
    )  # fmt: skip


_REDUCTIONS = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min"}


@emits(scatter.scatter_reduce, fits=lambda a: a["reduce"] in _REDUCTIONS and a["include_self"])
def scatter_reduced(g: Graph, a: Call) -> Any:
    kind, shape = a.out.array.dtype, a["index"].array.shape
    updates = g.of(a["src"], kind)
    for d, (n, m) in enumerate(zip(a["src"].array.shape, shape, strict=True)):
        updates = g.slice(updates, d, 0, m) if m < n else updates
    return g.add(
        "ScatterElements", g.of(a["input"], kind), as_int64(g, a["index"]), updates,
        axis=int(a["dim"]), reduction=_REDUCTIONS[a["reduce"]],
    )  # fmt: skip


@emits(gather.one_hot)
def one_hot(g: Graph, a: Call) -> Any:
    if a["num_classes"] == -1:
        raise Unsupported("as many classes as the input has; pass num_classes")
    classes = g.constant(np.arange(a.out.array.shape[-1]))
    index = g.unsqueeze(as_int64(g, a["input"]), a["input"].array.ndim)
    return g.cast(g.add("Equal", index, classes), np.dtype(np.int64))


@emits(indexing.index_put)
def index_put(g: Graph, a: Call) -> Any:
    given, key, value = a["input"], a["key"], a["value"]
    shape, kind = tuple(given.array.shape), given.array.dtype
    inputs = [i for i in key if hasattr(i, "array") and id(i) in a.names]
    if inputs:
        mask = key[0]
        if len(key) > 1 or mask.array.dtype.kind != "b" or value.array.ndim:
            raise Unsupported("places that depend on the input; use where or scatter")
        column = g.unsqueeze(g.of(mask), *range(mask.array.ndim, len(shape)))
        return g.add("Where", column, g.of(value, kind), g.of(given))
    places = np.arange(given.array.size).reshape(shape)[
        tuple(i.backend.to_numpy(i.array) if hasattr(i, "array") else i for i in key)
    ]
    new = expanded(g, g.of(value, kind), tuple(value.array.shape), places.shape)
    flat = g.reshape(g.of(given), (-1,), shape)
    new = g.reshape(new, (places.size,), places.shape)
    out = g.add("ScatterND", flat, g.constant(places.reshape(-1, 1), np.int64), new)
    return g.reshape(out, shape, (given.array.size,))


# -- writing in place --------------------------------------------------------------------------


@writes(inplace.copy_)
def copied(g: Graph, a: Call) -> Any:
    source, target = a["source"], a["target"]
    kind, shape = target.array.dtype, tuple(target.array.shape)
    own = tuple(source.array.shape) if hasattr(source, "array") else ()
    x, more = g.of(source, kind), len(own) - len(shape)
    if more > 0:  # NumPy drops leading dims of 1
        x, own = g.squeeze(x, *range(more)), own[more:]
    return expanded(g, x, own, shape)


@writes(inplace.fill_)
def filled(g: Graph, a: Call) -> Any:
    target = a["target"]
    return expanded(g, g.of(a["value"], target.array.dtype), (), tuple(target.array.shape))
