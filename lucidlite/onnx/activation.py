"""Activations and softmax as ONNX nodes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucidlite.onnx.choices import limited
from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.table import Emitter, Unsupported, emits
from lucidlite.ops import activation, attention, feature_dropout, gates, norm, units


def _x(g: Graph, a: Call) -> str:
    return g.of(a["input"], a.out.array.dtype)


def _number(g: Graph, a: Call, value: float) -> str:
    return g.constant(value, a.out.array.dtype)


def _plain(op: str, **settings: str | float) -> Emitter:
    """A node of this kind; a setting that is a string names the argument that it takes."""

    def emit(g: Graph, a: Call) -> Any:
        given: dict[str, Any] = {
            key: float(a[value] if isinstance(value, str) else value)
            for key, value in settings.items()
        }
        return g.add(op, _x(g, a), **given)

    return emit


emits(activation.relu)(_plain("Relu"))
emits(activation.sigmoid)(_plain("Sigmoid"))
emits(activation.tanh)(_plain("Tanh"))
emits(activation.erf)(_plain("Erf"))
emits(units.leaky_relu)(_plain("LeakyRelu", alpha="negative_slope"))
emits(units.elu)(_plain("Elu", alpha="alpha"))
emits(units.selu)(_plain("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805))
emits(units.celu)(_plain("Celu", alpha="alpha"))
emits(units.hardsigmoid)(_plain("HardSigmoid", alpha=1 / 6, beta=0.5))
emits(units.hardswish)(_plain("HardSwish"))
emits(units.mish)(_plain("Mish"))
emits(units.softsign)(_plain("Softsign"))
emits(units.hardshrink)(_plain("Shrink", lambd="lambd", bias=0.0))
emits(units.softshrink)(_plain("Shrink", lambd="lambd", bias="lambd"))


@emits(units.hardtanh)
def hardtanh(g: Graph, a: Call) -> Any:
    return limited(g, _x(g, a), a["min_val"], a["max_val"], a.out.array.dtype)


@emits(units.relu6)
def relu6(g: Graph, a: Call) -> Any:
    return limited(g, _x(g, a), 0, 6, a.out.array.dtype)


@emits(units.threshold)
def threshold(g: Graph, a: Call) -> Any:
    x = _x(g, a)
    low = g.add("LessOrEqual", x, _number(g, a, a["threshold"]))
    return g.add("Where", low, _number(g, a, a["value"]), x)


@emits(units.silu)
def silu(g: Graph, a: Call) -> Any:
    x = _x(g, a)
    return g.add("Mul", x, g.add("Sigmoid", x))


@emits(units.softplus)
def softplus(g: Graph, a: Call) -> Any:
    x, beta, limit = _x(g, a), float(a["beta"]), float(a["threshold"])
    scaled = x if beta == 1 else g.add("Mul", x, _number(g, a, beta))
    soft = g.add("Softplus", scaled)
    soft = soft if beta == 1 else g.add("Div", soft, _number(g, a, beta))
    if limit >= 20:  # further out the two differ by less than rounding
        return soft
    return g.add("Where", g.add("Greater", scaled, _number(g, a, limit)), x, soft)


@emits(units.logsigmoid)
def logsigmoid(g: Graph, a: Call) -> Any:
    return g.add("Neg", g.add("Softplus", g.add("Neg", _x(g, a))))


@emits(units.tanhshrink)
def tanhshrink(g: Graph, a: Call) -> Any:
    x = _x(g, a)
    return g.add("Sub", x, g.add("Tanh", x))


@emits(activation.gelu)
def gelu(g: Graph, a: Call) -> Any:
    x = _x(g, a)
    half, one = _number(g, a, 0.5), _number(g, a, 1)
    if a["approximate"] == "none":
        bent = g.add("Erf", g.add("Mul", x, _number(g, a, math.sqrt(0.5))))
    else:
        cube = g.add("Mul", g.add("Mul", x, x), x)
        inner = g.add("Add", x, g.add("Mul", cube, _number(g, a, 0.044715)))
        bent = g.add("Tanh", g.add("Mul", inner, _number(g, a, math.sqrt(2 / math.pi))))
    return g.add("Mul", g.add("Mul", x, half), g.add("Add", bent, one))


@emits(gates.prelu)
def prelu(g: Graph, a: Call) -> Any:
    slope, dims = a["weight"], a["input"].array.ndim
    name, count = g.of(slope), slope.array.size
    shape = [count] + [1] * (dims - 2) if dims >= 2 and count > 1 else [1] if dims else []
    return g.add("PRelu", _x(g, a), g.reshape(name, shape, slope.array.shape))


@emits(gates.glu)
def glu(g: Graph, a: Call) -> Any:
    first, second = g.add("Split", _x(g, a), n=2, axis=int(a["dim"]), num_outputs=2)
    return g.add("Mul", first, g.add("Sigmoid", second))


@emits(gates.rrelu)
def rrelu(g: Graph, a: Call) -> Any:
    if a["training"]:
        raise Unsupported("rrelu draws its slopes in training; export it in evaluation mode")
    return g.add("LeakyRelu", _x(g, a), alpha=(float(a["lower"]) + float(a["upper"])) / 2)


@emits(activation.softmax, activation.log_softmax)
def softmax(g: Graph, a: Call) -> Any:
    x = _x(g, a)
    if not a["input"].array.ndim:
        return g.squeeze(g.add(_SOFT[a.op], g.unsqueeze(x, 0), axis=0), 0)
    return g.add(_SOFT[a.op], x, axis=int(a["dim"]))


_SOFT = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}


@emits(attention.masked_softmax)
def masked_softmax(g: Graph, a: Call) -> Any:
    kind = a.out.array.dtype
    x, zero = g.of(a["scores"]), g.constant(0, kind)
    highest = g.reduce("ReduceMax", x, [-1], True)
    blind = g.add("Equal", highest, g.constant(-np.inf, kind))
    return g.add("Where", blind, zero, g.add("Softmax", g.add("Where", blind, zero, x), axis=-1))


@emits(norm.dropout)
def dropout(g: Graph, a: Call) -> Any:
    return _kept(g, a, a["training"])


@emits(
    feature_dropout.dropout1d, feature_dropout.dropout2d, feature_dropout.dropout3d,
    feature_dropout.alpha_dropout, feature_dropout.feature_alpha_dropout,
)  # fmt: skip
def feature(g: Graph, a: Call) -> Any:
    return _kept(g, a, a["training"])


def _kept(g: Graph, a: Call, training: bool) -> Any:
    if training and a["p"] > 0:
        raise Unsupported(
            "it drops elements at random whatever the mode; pass training=self.training"
        )
    return g.of(a["input"])
