"""Arithmetic and functions of one number as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.choices import limited
from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.shape import expanded
from lucidlite.onnx.table import Emitter, Unsupported, emits
from lucidlite.ops import common, elementwise, pairs, smooth, transfer, unary
from lucidlite.ops.shape import contiguous, detach


def _kind(a: Call) -> Any:
    return a.out.array.dtype


def _is(value: Any, number: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == number


def _scaled(g: Graph, a: Call, other: str) -> str:
    """The second operand, times alpha."""
    kind = _kind(a)
    name = g.of(a[other], kind)
    return name if _is(a["alpha"], 1) else g.add("Mul", name, g.constant(a["alpha"], kind))


@emits(elementwise.add)
def add(g: Graph, a: Call) -> Any:
    if _kind(a).kind == "b":
        return g.add("Or", g.of(a["input"]), g.of(a["other"]))
    return g.add("Add", g.of(a["input"], _kind(a)), _scaled(g, a, "other"))


@emits(elementwise.sub)
def sub(g: Graph, a: Call) -> Any:
    return g.add("Sub", g.of(a["input"], _kind(a)), _scaled(g, a, "other"))


@emits(elementwise.rsub)
def rsub(g: Graph, a: Call) -> Any:
    kind, alpha = _kind(a), a["alpha"]
    taken = g.of(a["input"], kind)
    if not _is(alpha, 1):
        taken = g.add("Mul", taken, g.constant(alpha, kind))
    return g.add("Sub", g.of(a["other"], kind), taken)


@emits(elementwise.mul)
def mul(g: Graph, a: Call) -> Any:
    if _kind(a).kind == "b":
        return g.add("And", g.of(a["input"]), g.of(a["other"]))
    return g.add("Mul", g.of(a["input"], _kind(a)), g.of(a["other"], _kind(a)))


@emits(elementwise.div)
def div(g: Graph, a: Call) -> Any:
    kind, mode = _kind(a), a["rounding_mode"]
    x, y = g.of(a["input"], kind), g.of(a["other"], kind)
    if mode == "floor":
        return floored(g, x, y, kind)
    out = g.add("Div", x, y)  # of integers it is truncated already
    if mode == "trunc" and kind.kind == "f":
        out = _truncated(g, out)
    return out


@emits(elementwise.floor_divide)
def floor_divide(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    return floored(g, g.of(a["input"], kind), g.of(a["other"], kind), kind)


def floored(g: Graph, x: str, y: str, kind: Any) -> Any:
    rest = remaining(g, x, y, kind)
    out = g.add("Div", g.add("Sub", x, rest), y)
    if kind.kind != "f":
        return out
    # By zero it is what division gives, as it is for numbers too large to have a remainder.
    return g.add("Where", g.add("Equal", rest, rest), g.add("Round", out), g.add("Div", x, y))


def remaining(g: Graph, x: str, y: str, kind: Any) -> Any:
    """What is left of ``x``, with the sign of ``y``; exact, as no quotient's floor is."""
    if kind.kind != "f":
        return g.add("Mod", x, y)
    zero, rest = g.constant(0, kind), g.add("Mod", x, y, fmod=1)
    other = g.add("Less", g.add("Mul", g.add("Sign", rest), y), zero)
    return g.add("Where", other, g.add("Add", rest, y), rest)


@emits(elementwise.remainder)
def remainder(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    x, y = g.of(a["input"], kind), g.of(a["other"], kind)
    return remaining(g, x, y, kind)


@emits(pairs.fmod)
def fmod(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    return g.add("Mod", g.of(a["input"], kind), g.of(a["other"], kind), fmod=1)


@emits(elementwise.pow)
def power(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    if _is(a["exponent"], 2):
        x = g.of(a["input"], kind)
        return g.add("Mul", x, x)
    return g.add("Pow", g.of(a["input"], kind), g.of(a["exponent"], kind))


@emits(elementwise.square)
def square(g: Graph, a: Call) -> Any:
    x = g.of(a["input"], _kind(a))
    return g.add("Mul", x, x)


@emits(elementwise.lerp)
def lerp(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    x = g.of(a["input"], kind)
    step = g.add("Mul", g.of(a["weight"], kind), g.add("Sub", g.of(a["end"], kind), x))
    return g.add("Add", x, step)


@emits(pairs.addcmul, pairs.addcdiv)
def combined(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    op = "Mul" if a.op == "addcmul" else "Div"
    both = g.add(op, g.of(a["tensor1"], kind), g.of(a["tensor2"], kind))
    if not _is(a["value"], 1):
        both = g.add("Mul", both, g.constant(a["value"], kind))
    return g.add("Add", g.of(a["input"], kind), both)


# -- functions of one number -------------------------------------------------------------------


def _plain(op: str) -> Emitter:
    def emit(g: Graph, a: Call) -> Any:
        return g.add(op, g.of(a["input"], _kind(a)))

    return emit


for _function, _op in {
    unary.neg: "Neg", unary.abs: "Abs", unary.sign: "Sign", unary.reciprocal: "Reciprocal",
    unary.sqrt: "Sqrt", unary.floor: "Floor", unary.ceil: "Ceil", unary.exp: "Exp",
    unary.log: "Log", unary.sin: "Sin", unary.cos: "Cos", smooth.tan: "Tan", smooth.asin: "Asin",
    smooth.acos: "Acos", smooth.atan: "Atan", smooth.sinh: "Sinh", smooth.cosh: "Cosh",
    smooth.asinh: "Asinh", smooth.acosh: "Acosh", smooth.atanh: "Atanh",
}.items():  # fmt: skip
    emits(_function)(_plain(_op))


@emits(detach, contiguous, unary.clone, unary.positive, common.moved)
def unchanged(g: Graph, a: Call) -> Any:
    return g.of(a["input"])


@emits(common.to_dtype, transfer.to)
def converted(g: Graph, a: Call) -> Any:
    return g.of(a["input"], _kind(a))


@emits(unary.rsqrt)
def rsqrt(g: Graph, a: Call) -> Any:
    return g.add("Reciprocal", g.add("Sqrt", g.of(a["input"], _kind(a))))


@emits(unary.log2, unary.log10)
def log_of_base(g: Graph, a: Call) -> Any:
    base = np.log(2.0 if a.op == "log2" else 10.0)
    return g.add("Div", g.add("Log", g.of(a["input"], _kind(a))), g.constant(base, _kind(a)))


@emits(unary.log1p)
def log1p(g: Graph, a: Call) -> Any:
    return g.add("Log", g.add("Add", g.of(a["input"], _kind(a)), g.constant(1, _kind(a))))


@emits(unary.expm1)
def expm1(g: Graph, a: Call) -> Any:
    return g.add("Sub", g.add("Exp", g.of(a["input"], _kind(a))), g.constant(1, _kind(a)))


@emits(smooth.exp2)
def exp2(g: Graph, a: Call) -> Any:
    return g.add("Pow", g.constant(2, _kind(a)), g.of(a["input"], _kind(a)))


@emits(smooth.erfc)
def erfc(g: Graph, a: Call) -> Any:
    return g.add("Sub", g.constant(1, _kind(a)), g.add("Erf", g.of(a["input"], _kind(a))))


@emits(smooth.deg2rad, smooth.rad2deg)
def turned(g: Graph, a: Call) -> Any:
    factor = np.pi / 180 if a.op == "deg2rad" else 180 / np.pi
    return g.add("Mul", g.of(a["input"], _kind(a)), g.constant(factor, _kind(a)))


@emits(smooth.logit)
def logit(g: Graph, a: Call) -> Any:
    kind, x = _kind(a), g.of(a["input"], _kind(a))
    if a["eps"] is not None:
        x = limited(g, x, a["eps"], 1 - a["eps"], kind)
    return g.add("Log", g.add("Div", x, g.add("Sub", g.constant(1, kind), x)))


@emits(smooth.frac)
def frac(g: Graph, a: Call) -> Any:
    x = g.of(a["input"])
    return g.add("Sub", x, _truncated(g, x))


@emits(smooth.nan_to_num, fits=lambda a: a["input"].array.dtype.kind == "f")
def nan_to_num(g: Graph, a: Call) -> Any:
    kind, x = _kind(a), g.of(a["input"])
    most = np.finfo(kind).max
    high = most if a["posinf"] is None else a["posinf"]
    low = -most if a["neginf"] is None else a["neginf"]
    for name, value, way in (("IsNaN", a["nan"] or 0, {}), ("IsInf", high, {"detect_negative": 0}),
                             ("IsInf", low, {"detect_positive": 0})):  # fmt: skip
        x = g.add("Where", g.add(name, x, **way), g.constant(value, kind), x)
    return x


@emits(unary.zero)
def zero(g: Graph, a: Call) -> Any:
    return expanded(g, g.constant(0, _kind(a)), (), tuple(a["input"].array.shape))


@emits(pairs.logaddexp)
def logaddexp(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    x, y = g.of(a["input"], kind), g.of(a["other"], kind)
    gap = g.add("Sub", x, y)
    return g.add("Add", y, g.add("Softplus", gap))


@emits(pairs.xlogy)
def xlogy(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    x, y, zero = g.of(a["input"], kind), g.of(a["other"], kind), g.constant(0, kind)
    none = g.add("And", g.add("Equal", x, zero), g.add("Not", g.add("IsNaN", y)))
    return g.add("Where", none, zero, g.add("Mul", x, g.add("Log", y)))


@emits(pairs.fmax, pairs.fmin)
def beside_nan(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    x, y = g.of(a["input"], kind), g.of(a["other"], kind)
    if kind.kind != "f":
        return g.add("Max" if a.op == "fmax" else "Min", x, y)
    more = g.add("Greater" if a.op == "fmax" else "Less", x, y)
    return g.add("Where", g.add("Or", more, g.add("IsNaN", y)), x, y)


@emits(pairs.hypot)
def hypot(g: Graph, a: Call) -> Any:
    kind = _kind(a)
    squares = [g.add("Mul", x, x) for x in (g.of(a[key], kind) for key in ("input", "other"))]
    return g.add("Sqrt", g.add("Add", *squares))


@emits(unary.trunc)
def trunc(g: Graph, a: Call) -> Any:
    return _truncated(g, g.of(a["input"]))


def _truncated(g: Graph, x: str) -> Any:
    return g.add("Mul", g.add("Sign", x), g.add("Floor", g.add("Abs", x)))


@emits(unary.round)
def rounded(g: Graph, a: Call) -> Any:
    if a["decimals"]:
        raise Unsupported(f"decimals={a['decimals']}; multiply, round and divide instead")
    return g.add("Round", g.of(a["input"]))
