"""Comparisons and choices as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.table import Emitter, emits
from lucidlite.ops import choose, compare
from lucidlite.ops.common import result_type


def _kind(a: Call) -> Any:
    return a.out.array.dtype


def _compared(op: str, negated: bool = False) -> Emitter:
    def emit(g: Graph, a: Call) -> Any:
        kind = result_type(a["input"], a["other"]).numpy
        if kind.kind == "b" and op != "Equal":
            kind = np.dtype(np.int32)
        out = g.add(op, g.of(a["input"], kind), g.of(a["other"], kind))
        return g.add("Not", out) if negated else out

    return emit


emits(compare.eq)(_compared("Equal"))
emits(compare.ne)(_compared("Equal", True))
emits(compare.lt)(_compared("Less"))
emits(compare.le)(_compared("LessOrEqual"))
emits(compare.gt)(_compared("Greater"))
emits(compare.ge)(_compared("GreaterOrEqual"))


@emits(compare.logical_and, compare.logical_or, compare.logical_xor)
def logical(g: Graph, a: Call) -> Any:
    op = {"and": "And", "or": "Or", "xor": "Xor"}[a.op.partition("_")[2]]
    return g.add(op, g.of(a["input"], np.dtype(bool)), g.of(a["other"], np.dtype(bool)))


@emits(compare.bitwise_and, compare.bitwise_or, compare.bitwise_xor)
def bitwise(g: Graph, a: Call) -> Any:
    op = {"and": "And", "or": "Or", "xor": "Xor"}[a.op.partition("_")[2]]
    kind = _kind(a)
    op = op if kind.kind == "b" else f"Bitwise{op}"
    return g.add(op, g.of(a["input"], kind), g.of(a["other"], kind))


@emits(compare.logical_not, compare.bitwise_not, compare.invert)
def inverted(g: Graph, a: Call) -> Any:
    if _kind(a).kind != "b":
        return g.add("BitwiseNot", g.of(a["input"]))
    return g.add("Not", g.of(a["input"], np.dtype(bool)))


@emits(compare.isnan)
def isnan(g: Graph, a: Call) -> Any:
    return g.add("IsNaN", g.of(a["input"]))


@emits(compare.isinf, compare.isposinf, compare.isneginf)
def isinf(g: Graph, a: Call) -> Any:
    return g.add(
        "IsInf", g.of(a["input"]),
        detect_negative=int(a.op != "isposinf"), detect_positive=int(a.op != "isneginf"),
    )  # fmt: skip


def _given(a: dict[str, Any]) -> bool:
    return a.get("input") is not None


@emits(choose.where, fits=_given)
def where(g: Graph, a: Call) -> Any:
    condition = g.of(a["condition"], np.dtype(bool))
    return g.add("Where", condition, g.of(a["input"], _kind(a)), g.of(a["other"], _kind(a)))


@emits(choose.masked_fill)
def masked_fill(g: Graph, a: Call) -> Any:
    mask = g.of(a["mask"], np.dtype(bool))
    return g.add("Where", mask, g.of(a["value"], _kind(a)), g.of(a["input"], _kind(a)))


@emits(compare.isfinite)
def isfinite(g: Graph, a: Call) -> Any:
    x = g.of(a["input"])
    if a["input"].array.dtype.kind != "f":
        return g.add("Equal", x, x)
    return g.add("Not", g.add("Or", g.add("IsNaN", x), g.add("IsInf", x)))


@emits(choose.maximum, choose.minimum)
def larger(g: Graph, a: Call) -> Any:
    op = "Max" if a.op == "maximum" else "Min"
    return g.add(op, g.of(a["input"], _kind(a)), g.of(a["other"], _kind(a)))


@emits(choose.clamp, choose.clamp_min, choose.clamp_max)
def clamp(g: Graph, a: Call) -> Any:
    return limited(g, g.of(a["input"], _kind(a)), a.args.get("min"), a.args.get("max"), _kind(a))


def limited(g: Graph, x: str, low: Any, high: Any, kind: Any) -> Any:
    """``x`` within bounds, each a number, a tensor or None."""
    if not (hasattr(low, "array") or hasattr(high, "array")):
        ends = [None if end is None else g.constant(end, kind) for end in (low, high)]
        return g.add("Clip", x, *ends)
    if low is not None:
        x = g.add("Max", x, g.of(low, kind))
    return x if high is None else g.add("Min", x, g.of(high, kind))
