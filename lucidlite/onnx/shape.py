"""Shapes, dims, and tensors joined and taken apart, as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.graph import END, Call, Graph
from lucidlite.onnx.table import Unsupported, emits
from lucidlite.ops import diagonals, join, shape


@emits(shape.view, shape.reshape, shape.flatten, shape.ravel, shape.unflatten)
def reshaped(g: Graph, a: Call) -> Any:
    return g.reshape(g.of(a["input"]), a.out.array.shape, a["input"].array.shape)


@emits(shape.transpose)
def transpose(g: Graph, a: Call) -> Any:
    order = list(range(a["input"].array.ndim))
    if order:
        i, j = a["dim0"], a["dim1"]
        order[i], order[j] = order[j], order[i]
    return g.transpose(g.of(a["input"]), order)


@emits(shape.t, shape.matrix_transpose, shape.adjoint_of_matrix)
def swapped(g: Graph, a: Call) -> Any:
    order = list(range(a["input"].array.ndim))
    if len(order) > 1:
        order[-2:] = order[-1], order[-2]
    return g.transpose(g.of(a["input"]), order)


@emits(shape.permute)
def permute(g: Graph, a: Call) -> Any:
    dims = a["dims"]
    if len(dims) == 1 and isinstance(dims[0], (tuple, list)):
        dims = dims[0]
    return g.transpose(g.of(a["input"]), [d % len(dims) for d in dims])


@emits(shape.squeeze)
def squeeze(g: Graph, a: Call) -> Any:
    before, dim = a["input"].array.shape, a["dim"]
    dims = range(len(before)) if dim is None else dim if isinstance(dim, (tuple, list)) else [dim]
    found = [d % max(len(before), 1) for d in dims]
    return g.squeeze(g.of(a["input"]), *[d for d in found if before and before[d] == 1])


@emits(shape.unsqueeze)
def unsqueeze(g: Graph, a: Call) -> Any:
    return g.unsqueeze(g.of(a["input"]), a["dim"] % (a["input"].array.ndim + 1))


@emits(shape.expand, shape.broadcast_to)
def expand(g: Graph, a: Call) -> Any:
    return expanded(g, g.of(a["input"]), a["input"].array.shape, a.out.array.shape)


def expanded(g: Graph, x: str, source: tuple[int, ...], target: tuple[int, ...]) -> str:
    """``x`` broadcast; dims that stay are 1 there, whatever they are."""
    if source == target:
        return x
    padded = (1,) * (len(target) - len(source)) + source
    sizes = [1 if n == m else m for n, m in zip(padded, target, strict=True)]
    return g.add("Expand", x, g.ints(sizes))  # type: ignore[no-any-return]


@emits(join.repeat, join.tile)
def repeat(g: Graph, a: Call) -> Any:
    before, after = a["input"].array.shape, a.out.array.shape
    x = g.unsqueeze(g.of(a["input"]), *range(len(after) - len(before)))
    padded = (1,) * (len(after) - len(before)) + before
    if 0 in padded:
        raise Unsupported("the tensor is empty")
    counts = [m // n for n, m in zip(padded, after, strict=True)]
    return x if set(counts) <= {1} else g.add("Tile", x, g.ints(counts))


@emits(join.flip)
def flip(g: Graph, a: Call) -> Any:
    dims, x = a["dims"], g.of(a["input"])
    if len(dims) == 1 and isinstance(dims[0], (tuple, list)):
        dims = dims[0]
    for dim in dims:
        x = g.slice(x, int(dim), -1, -END - 1, -1)
    return x


@emits(join.roll, fits=lambda a: a["dims"] is not None)
def roll(g: Graph, a: Call) -> Any:
    shifts, dims, x = a["shifts"], a["dims"], g.of(a["input"])
    shifts = shifts if isinstance(shifts, (tuple, list)) else [shifts]
    dims = dims if isinstance(dims, (tuple, list)) else [dims]
    for shift, dim in zip(shifts, dims, strict=True):
        size = a["input"].array.shape[dim]
        by = int(shift) % size if size else 0
        if by:
            last, rest = g.slice(x, dim, -by), g.slice(x, dim, 0, -by)
            x = g.add("Concat", last, rest, axis=int(dim))
    return x


@emits(join.cat)
def cat(g: Graph, a: Call) -> Any:
    kind = a.out.array.dtype
    parts = [t for t in a["tensors"] if t.array.shape != (0,)]
    names = [g.of(t, kind) for t in parts]
    return names[0] if len(names) == 1 else g.add("Concat", *names, axis=int(a["dim"]))


@emits(join.stack)
def stack(g: Graph, a: Call) -> Any:
    dim, kind = a["dim"] % a.out.array.ndim, a.out.array.dtype
    return g.add("Concat", *[g.unsqueeze(g.of(t, kind), dim) for t in a["tensors"]], axis=dim)


@emits(join.split, join.chunk)
def split(g: Graph, a: Call) -> Any:
    given = a.args.get("tensor", a.args.get("input"))
    return _parts(g, given, a["dim"], [part.array.shape[a["dim"]] for part in a.out])


@emits(join.unbind)
def unbind(g: Graph, a: Call) -> Any:
    parts = _parts(g, a["input"], a["dim"], [1] * len(a.out))
    return [g.squeeze(part, int(a["dim"])) for part in parts]


def _parts(g: Graph, given: Any, dim: int, sizes: list[int]) -> list[str]:
    x = g.of(given)
    if len(sizes) == 1:
        return [x]
    return g.add("Split", x, g.ints(sizes), n=len(sizes), axis=int(dim))  # type: ignore[no-any-return]


@emits(diagonals.tril, diagonals.triu)
def triangle(g: Graph, a: Call) -> Any:
    offset = g.constant(int(a["diagonal"]), np.int64)
    return g.add("Trilu", g.of(a["input"]), offset, upper=int(a.op == "triu"))
