"""Padding, resizing and upsampling as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.table import emits
from lucidlite.ops import interpolate, pad, resample


def _pairs(padding: Any) -> list[tuple[int, int]]:
    """(before, after) of each padded dim, the first dim first."""
    given = list(padding)
    return [(given[i], given[i + 1]) for i in range(len(given) - 2, -1, -2)]


@emits(pad.pad_with_value)
def pad_with_value(g: Graph, a: Call) -> Any:
    given = a["input"].array
    value = given.dtype.type(a["value"])
    return g.pad(g.of(a["input"]), given.ndim, _pairs(a["padding"]), value)


def _simple(a: dict[str, Any]) -> bool:
    return min(a["padding"], default=0) >= 0


@emits(pad.pad_from_inside, fits=_simple)
def pad_from_inside(g: Graph, a: Call) -> Any:
    x, pairs, mode = g.of(a["input"]), _pairs(a["padding"]), a["mode"]
    if mode != "circular":
        mode = {"reflect": "reflect", "replicate": "edge"}[mode]
        return g.pad(x, a["input"].array.ndim, pairs, mode=mode)
    for i, (before, after) in enumerate(pairs):
        dim, parts = i - len(pairs), [x]
        if before:
            parts.insert(0, g.slice(x, dim, -before))
        if after:
            parts.append(g.slice(x, dim, 0, after))
        x = parts[0] if len(parts) == 1 else g.add("Concat", *parts, axis=dim)
    return x


def _whole(a: dict[str, Any]) -> bool:
    """Whether ONNX's Resize means exactly this: whole multiples, or lines between neighbours."""
    shape, mode, size = a["input"].array.shape, a["mode"], a["size"]
    if a["input"].array.ndim > 4 or a["antialias"] or a["recompute_scale_factor"]:
        return False
    if mode in ("linear", "bilinear"):
        if size is not None:
            return True
        sizes, scales = shape[2:], _scales(a["scale_factor"], len(shape) - 2)
        return all(
            int(float(_single(v)) * n) == int(v * n) for n, v in zip(sizes, scales, strict=True)
        )
    if mode != "nearest":
        return False
    given = a["scale_factor"] if size is None else size
    values = given if isinstance(given, (tuple, list)) else [given] * len(shape[2:])
    if size is None:
        return all(float(v).is_integer() and v >= 1 for v in values)
    return all(v % n == 0 for v, n in zip(values, shape[2:], strict=True))


def _scales(given: Any, count: int) -> list[float]:
    return [float(v) for v in (given if isinstance(given, (tuple, list)) else [given] * count)]


def _single(scale: float) -> Any:
    """A scale in float32, not below what it was: sizes are rounded down."""
    near = np.float32(scale)
    return near if near >= scale else np.nextafter(near, np.float32(np.inf))


@emits(interpolate.interpolate, fits=_whole)
def resize(g: Graph, a: Call) -> Any:
    x, shape = g.of(a["input"]), a.out.array.shape
    scales = sizes = None
    # Of all dims: onnxruntime's optimizer breaks a Resize with axes that follows a Transpose.
    if a["scale_factor"] is None:
        sizes = g.ints(shape)
    else:
        values = _scales(a["scale_factor"], len(shape) - 2)
        scales = g.constant([1, 1, *map(_single, values)], np.float32)
    if a["mode"] == "nearest":
        how: dict[str, Any] = {"mode": "nearest", "nearest_mode": "floor"}
        how["coordinate_transformation_mode"] = "asymmetric"
    else:
        corners = "align_corners" if a["align_corners"] else "half_pixel"
        how = {"mode": "linear", "coordinate_transformation_mode": corners}
    return g.add("Resize", x, None, scales, sizes, **how)


@emits(resample.mix)
def mix(g: Graph, a: Call) -> Any:
    """Elements of an axis from those of another: chosen, or summed with weights."""
    table, dim, given = a["table"], a["dim"] % a["input"].array.ndim, a["input"].array
    x = g.of(a["input"])
    if table.weights == (None,):
        return g.add("Gather", x, g.constant(table.places[0], np.int64), axis=dim)
    matrix = np.zeros((len(table.places[0]), table.inputs))
    for places, weights in zip(table.places, table.weights, strict=True):
        rows = np.arange(len(places))
        np.add.at(matrix, (rows, list(places)), 1.0 if weights is None else list(weights))
    if dim == given.ndim - 2:
        return g.add("MatMul", g.constant(matrix, given.dtype), x)
    order = [d for d in range(given.ndim) if d != dim] + [dim]
    back = [order.index(d) for d in range(given.ndim)]
    out = g.add("MatMul", g.transpose(x, order), g.constant(matrix.T, given.dtype))
    return g.transpose(out, back)
