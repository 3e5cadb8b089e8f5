"""Sums, means, maxima, sorting and cumulation as ONNX nodes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.table import Unsupported, emits
from lucidlite.ops import extremes, linalg, reduce, sorting, statistics
from lucidlite.ops.common import wrap_dims


def _dims(a: Call) -> list[int]:
    return list(wrap_dims(a.op, a["dim"], a["input"].array.ndim))


def _reduced(g: Graph, a: Call, op: str, kind: Any) -> str:
    """One node over the dims asked for; a number stays what it is."""
    x, dims = g.of(a["input"], kind), _dims(a)
    return g.reduce(op, x, dims, bool(a["keepdim"])) if dims else x


@emits(reduce.sum, reduce.mean)
def total(g: Graph, a: Call) -> Any:
    return _reduced(g, a, "ReduceSum" if a.op == "sum" else "ReduceMean", a.out.array.dtype)


@emits(reduce.prod)
def prod(g: Graph, a: Call) -> Any:
    return _reduced(g, a, "ReduceProd", a.out.array.dtype)


@emits(reduce.cumsum)
def cumsum(g: Graph, a: Call) -> Any:
    x = g.of(a["input"], a.out.array.dtype)
    if not a["input"].array.ndim:
        return x
    return g.add("CumSum", x, g.constant(int(a["dim"]), np.int64))


@emits(reduce.any, reduce.all)
def quantified(g: Graph, a: Call) -> Any:
    whole = np.dtype(np.int32)
    x = g.cast(g.of(a["input"], np.dtype(bool)), whole)
    dims = _dims(a)
    op = "ReduceMax" if a.op == "any" else "ReduceMin"
    return g.cast(g.reduce(op, x, dims, bool(a["keepdim"])) if dims else x, a.out.array.dtype)


@emits(extremes.amax, extremes.amin)
def extreme(g: Graph, a: Call) -> Any:
    op = "ReduceMax" if a.op == "amax" else "ReduceMin"
    x, dims = g.of(a["input"]), _dims(a) or list(range(a["input"].array.ndim))
    return g.reduce(op, x, dims, bool(a["keepdim"])) if dims else x


@emits(extremes.max, extremes.min, fits=lambda a: not hasattr(a["dim"], "array")
       and a["other"] is None and a["input"].array.dtype.kind != "b")  # fmt: skip
def found(g: Graph, a: Call) -> Any:
    which, x = a.op.capitalize(), g.of(a["input"])
    ndim, keep = a["input"].array.ndim, bool(a["keepdim"])
    if a["dim"] is None:
        return g.reduce(f"Reduce{which}", x, list(range(ndim)), False) if ndim else x
    if not ndim:
        return [x, g.constant(0, np.int64)]
    dim = int(a["dim"])
    places = g.add(f"Arg{which}", x, axis=dim, keepdims=int(keep))
    return [g.reduce(f"Reduce{which}", x, [dim], keep), places]


@emits(extremes.argmax, extremes.argmin)
def place(g: Graph, a: Call) -> Any:
    op = "ArgMax" if a.op == "argmax" else "ArgMin"
    shape, x, dim, keep = a["input"].array.shape, g.of(a["input"]), a["dim"], bool(a["keepdim"])
    if dim is None:
        x, dim = g.reshape(x, (-1,), shape), 0
        if keep:
            out = g.add(op, x, axis=0, keepdims=1)
            return g.reshape(out, (1,) * len(shape), (1,))
    elif not shape:
        return g.constant(0, np.int64)
    return g.add(op, x, axis=int(dim), keepdims=int(keep))


@emits(statistics.var, statistics.std, statistics.var_mean, statistics.std_mean)
def spread(g: Graph, a: Call) -> Any:
    dim, unbiased = a["dim"], a["unbiased"]
    if isinstance(dim, bool):  # var(x, False)
        dim, unbiased = None, dim
    given, keep = a["input"].array, bool(a["keepdim"])
    dims = list(wrap_dims(a.op, dim, given.ndim))
    x, kind = g.of(a["input"]), given.dtype
    correction = a["correction"]
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    mean = g.reduce("ReduceMean", x, dims, True)
    centred = g.add("Sub", x, mean)
    square = g.add("Mul", centred, centred)
    count = math.prod(given.shape[d] for d in dims)
    if correction == 0:
        out = g.reduce("ReduceMean", square, dims, keep)
    elif count <= correction:
        raise Unsupported(f"correction={correction} for {count} elements")
    else:
        total = g.reduce("ReduceSum", square, dims, keep)
        out = g.add("Div", total, g.constant(count - correction, kind))
    out = g.add("Sqrt", out) if a.op.startswith("std") else out
    if not a.op.endswith("mean"):
        return out
    return [out, mean if keep else g.squeeze(mean, *dims)]


@emits(statistics.logsumexp)
def logsumexp(g: Graph, a: Call) -> Any:
    return _reduced(g, a, "ReduceLogSumExp", a.out.array.dtype)


@emits(statistics.norm, linalg.vector_norm)
def norm(g: Graph, a: Call) -> Any:
    p = a.args.get("p", a.args.get("ord"))
    p = 2.0 if p is None or p == "fro" else p
    given: Any = a.args.get("input", a.args.get("x"))
    kind, keep = a.out.array.dtype, bool(a["keepdim"])
    if not isinstance(p, (int, float)):
        raise Unsupported(f"p={p!r}; only numbers and 'fro'")
    dims = list(wrap_dims(a.op, a["dim"], given.array.ndim))
    x = g.of(given, kind)
    if not dims:
        return g.add("Abs", x)
    if p in (1, 2):
        return g.reduce(f"ReduceL{int(p)}", x, dims, keep)
    x = g.add("Abs", x)
    if math.isinf(p):
        return g.reduce("ReduceMax" if p > 0 else "ReduceMin", x, dims, keep)
    if p == 0:
        some = g.cast(g.add("Greater", x, g.constant(0, kind)), kind)
        return g.reduce("ReduceSum", some, dims, keep)
    total = g.reduce("ReduceSum", g.add("Pow", x, g.constant(p, kind)), dims, keep)
    return g.add("Pow", total, g.constant(1 / p, kind))


@emits(sorting.topk, fits=lambda a: a["input"].array.ndim > 0)
def topk(g: Graph, a: Call) -> Any:
    return g.add(
        "TopK", g.of(a["input"]), g.ints([int(a["k"])]), n=2, axis=int(a["dim"]),
        largest=int(bool(a["largest"])), sorted=int(bool(a["sorted"])),
    )  # fmt: skip


@emits(sorting.sort, sorting.argsort, fits=lambda a: a["input"].array.ndim > 0)
def sort(g: Graph, a: Call) -> Any:
    size = a["input"].array.shape[a["dim"]]
    both = g.add(
        "TopK", g.of(a["input"]), g.ints([size]), n=2, axis=int(a["dim"]),
        largest=int(bool(a["descending"])), sorted=1,
    )  # fmt: skip
    return both[1] if a.op == "argsort" else both
