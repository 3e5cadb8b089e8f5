"""Normalization layers as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.table import emits
from lucidlite.ops import group_norm, norm, norms


def _each(g: Graph, given: Any, usual: float, shape: tuple[int, ...], kind: Any) -> str:
    return g.constant(np.full(shape, usual, kind)) if given is None else g.of(given, kind)


@emits(norm.batch_norm)
def batch_norm(g: Graph, a: Call) -> Any:
    given, kind = a["input"], a["input"].array.dtype
    channels, x = given.array.shape[1:2], g.of(given)
    scale = _each(g, a["weight"], 1, channels, kind)
    shift = _each(g, a["bias"], 0, channels, kind)
    if not a["training"]:
        mean, var = g.of(a["running_mean"], kind), g.of(a["running_var"], kind)
        return g.add("BatchNormalization", x, scale, shift, mean, var, epsilon=float(a["eps"]))
    # A layer that keeps no statistics takes each batch's.
    rest = [d for d in range(given.array.ndim) if d != 1]
    centred = g.add("Sub", x, g.reduce("ReduceMean", x, rest, True))
    square = g.reduce("ReduceMean", g.add("Mul", centred, centred), rest, True)
    out = g.add("Div", centred, g.add("Sqrt", g.add("Add", square, g.constant(a["eps"], kind))))
    column = (*channels, *(1 for _ in given.array.shape[2:]))
    if a["weight"] is not None:
        out = g.add("Mul", out, g.reshape(scale, column, channels))
    return out if a["bias"] is None else g.add("Add", out, g.reshape(shift, column, channels))


@emits(norms.instance_norm)
def instance_norm(g: Graph, a: Call) -> Any:
    given, kind = a["input"], a["input"].array.dtype
    channels, x = given.array.shape[1:2], g.of(given)
    scale = _each(g, a["weight"], 1, channels, kind)
    shift = _each(g, a["bias"], 0, channels, kind)
    eps = float(a["eps"])
    if a["use_input_stats"]:
        return g.add("InstanceNormalization", x, scale, shift, epsilon=eps)
    mean, var = g.of(a["running_mean"], kind), g.of(a["running_var"], kind)
    return g.add("BatchNormalization", x, scale, shift, mean, var, epsilon=eps)


@emits(group_norm.layer_norm)
def layer_norm(g: Graph, a: Call) -> Any:
    given, kind = a["input"], a["input"].array.dtype
    shape = a["normalized_shape"]
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (int(shape),)
    scale = _each(g, a["weight"], 1, shape, kind)
    shift = None if a["bias"] is None else g.of(a["bias"], kind)
    return g.add(
        "LayerNormalization", g.of(given), scale, shift, axis=-len(shape), epsilon=float(a["eps"])
    )


@emits(group_norm.group_norm)
def group(g: Graph, a: Call) -> Any:
    given, kind, groups = a["input"], a["input"].array.dtype, int(a["num_groups"])
    shape = tuple(given.array.shape)
    rows = (shape[0], groups, int(np.prod(shape[1:])) // groups)
    ones, zeros = (g.constant(np.full(groups, each, kind)) for each in (1, 0))
    x = g.reshape(g.of(given), rows, shape)
    x = g.add("InstanceNormalization", x, ones, zeros, epsilon=float(a["eps"]))
    x = g.reshape(x, shape, rows)
    column = (shape[1], *(1 for _ in shape[2:]))
    if a["weight"] is not None:
        x = g.add("Mul", x, g.reshape(g.of(a["weight"], kind), column, shape[1:2]))
    if a["bias"] is not None:
        x = g.add("Add", x, g.reshape(g.of(a["bias"], kind), column, shape[1:2]))
    return x
