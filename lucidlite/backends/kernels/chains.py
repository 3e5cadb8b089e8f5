"""Activation functions and their gradients, each a short chain of the array library's functions.

A chain takes the kernels, arrays of one shape with a dim at least, and numbers, and writes its
last step to ``out``, which may be the gradient it was given. It makes few temporary arrays, which a
backend may hold small: the NumPy kernels run a chain on a block that stays in the cache at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lucidlite.backends.kernels import Array

Chain = Callable[..., None]

# atanh(erf(z)) / z as a polynomial of z * z, fitted so that tanh gives erf to 6e-8 in [-4, 4]; its
# tanh is 1 from there on.
_ATANH_ERF = (
    1.589503457877e-07, -5.985554093628e-06, 8.97119174379e-05, -6.257181350297e-04,
    -1.843850455017e-04, 1.027654819421e-01, 1.128379705426e+00,
)  # fmt: skip


def sigmoid(k: Any, x: Array, out: Array) -> None:
    share = k.xp.negative(x)
    k.xp.exp(share, out=share)
    share += 1
    k.xp.divide(1, share, out=out)


def _sigmoid_grad(k: Any, g: Array, y: Array, out: Array) -> None:
    slope = k.xp.subtract(1, y)
    slope *= y
    k.xp.multiply(g, slope, out=out)


def _tanh_grad(k: Any, g: Array, y: Array, out: Array) -> None:
    slope = k.xp.multiply(y, y)
    k.xp.subtract(1, slope, out=slope)
    k.xp.multiply(g, slope, out=out)


def _silu(k: Any, x: Array, out: Array) -> None:
    below = k.xp.negative(x)
    k.xp.exp(below, out=below)
    below += 1
    k.xp.divide(x, below, out=out)


def _silu_grad(k: Any, g: Array, x: Array, out: Array) -> None:
    share = k.xp.empty_like(x)
    sigmoid(k, x, share)
    slope = k.xp.subtract(1, share)
    slope *= x
    slope += 1
    slope *= share
    k.xp.multiply(g, slope, out=out)


def _bend(k: Any, x: Array, alpha: float, scale: float, rate: float, out: Array) -> None:
    """elu and its kin: straight above 0, an exponential below."""
    below = k.xp.clip(x, -math.inf, 0.0)
    if rate != 1.0:
        below *= rate
    k.xp.expm1(below, out=below)
    if alpha * scale != 1.0:
        below *= alpha * scale
    above = k.xp.clip(x, 0.0, math.inf)
    if scale != 1.0:
        above *= scale
    k.xp.add(above, below, out=out)


def _bend_grad(
    k: Any, g: Array, x: Array, alpha: float, scale: float, rate: float, out: Array
) -> None:
    slope, steepest = k.xp.clip(x, -math.inf, 0.0), alpha * scale * rate
    if rate != 1.0:
        slope *= rate
    k.xp.exp(slope, out=slope)
    if steepest != 1.0:
        slope *= steepest
    if steepest != scale:  # above 0 that is what there is now
        jump = k.xp.greater(x, 0).astype(x.dtype)
        jump *= scale - steepest
        slope += jump
    k.xp.multiply(g, slope, out=out)


def _mish(k: Any, x: Array, out: Array) -> None:
    gate = k.xp.exp(x)
    k.xp.log1p(gate, out=gate)
    k.xp.tanh(gate, out=gate)
    k.xp.multiply(x, gate, out=out)


def _mish_grad(k: Any, g: Array, x: Array, out: Array) -> None:
    # With e = exp(x) and n = e (e + 2) the gate tanh(log(1 + e)) is n / (n + 2), and its slope
    # 4 e (e + 1) / (n + 2) ** 2; beyond these limits they are 1 and 0, or 0 and 0.
    near = k.xp.clip(x, -800.0, 20.0)
    e = k.xp.exp(near)
    gate = k.xp.add(e, 2)
    gate *= e
    inverse = k.xp.add(gate, 2)
    k.xp.divide(1, inverse, out=inverse)
    slope = k.xp.add(e, 1)
    for factor in (e, inverse, inverse, near):
        slope *= factor
    slope *= 4
    gate *= inverse
    slope += gate
    k.xp.multiply(g, slope, out=out)


def _soft(k: Any, x: Array, beta: float, threshold: float, out: Array) -> None:
    scaled = k.xp.multiply(x, beta)
    soft = k.xp.clip(scaled, -math.inf, threshold)
    k.xp.exp(soft, out=soft)
    k.xp.log1p(soft, out=soft)
    if beta != 1.0:
        soft /= beta
    if _reaches_one(x, threshold) and beta > 0:
        k.xp.maximum(x, soft, out=out)
    else:
        out[...] = k.xp.where(k.xp.greater(scaled, threshold), x, soft)


def _soft_grad(k: Any, g: Array, x: Array, beta: float, threshold: float, out: Array) -> None:
    scaled = k.xp.multiply(x, beta)
    share = k.xp.empty_like(scaled)
    sigmoid(k, scaled, share)
    if not _reaches_one(x, threshold):
        straight = k.xp.greater(scaled, threshold).astype(x.dtype)
        k.xp.maximum(share, straight, out=share)
    k.xp.multiply(g, share, out=out)


def _reaches_one(x: Array, threshold: float) -> bool:
    """Whether the sigmoid of what is above the threshold rounds to 1."""
    return bool(x.dtype.itemsize <= 4 and threshold >= 20.0)


def _log_sigmoid(k: Any, x: Array, out: Array) -> None:
    tail = k.xp.absolute(x)
    k.xp.negative(tail, out=tail)
    k.xp.exp(tail, out=tail)
    k.xp.log1p(tail, out=tail)
    k.xp.subtract(k.xp.clip(x, -math.inf, 0.0), tail, out=out)


def _log_sigmoid_grad(k: Any, g: Array, x: Array, out: Array) -> None:
    share = k.xp.exp(x)
    share += 1
    k.xp.divide(1, share, out=share)
    k.xp.multiply(g, share, out=out)


def _leaky(k: Any, x: Array, slope: float, out: Array) -> None:
    if slope > 1e-30:  # less may be 0 in single precision
        larger = k.xp.maximum if slope <= 1 else k.xp.minimum
        larger(x, k.xp.multiply(x, slope), out=out)
        return
    below = k.xp.clip(x, -math.inf, 0.0)
    below *= slope
    k.xp.add(k.xp.clip(x, 0.0, math.inf), below, out=out)


def _leaky_grad(k: Any, g: Array, x: Array, slope: float, out: Array) -> None:
    above = k.xp.greater(x, 0).astype(x.dtype)
    factor = k.xp.subtract(1, above)
    factor *= slope
    factor += above
    k.xp.multiply(g, factor, out=out)


def _hard_sigmoid(k: Any, x: Array, out: Array) -> None:
    share = k.xp.add(x, 3)
    k.xp.clip(share, 0.0, 6.0, out=share)
    k.xp.divide(share, 6, out=out)


def _hard_sigmoid_grad(k: Any, g: Array, x: Array, out: Array) -> None:
    k._keep(k.xp.less(k.xp.absolute(x), 3), k.xp.divide(g, 6), out)


def _hard_swish(k: Any, x: Array, out: Array) -> None:
    share = k.xp.add(x, 3)
    k.xp.clip(share, 0.0, 6.0, out=share)
    share *= x
    k.xp.divide(share, 6, out=out)


def _hard_swish_grad(k: Any, g: Array, x: Array, out: Array) -> None:
    slope = k.xp.clip(x, -3.0, 3.0)
    inside = k.xp.less(k.xp.absolute(slope), 3).astype(x.dtype)
    slope /= 3
    slope += 0.5
    slope *= inside
    slope += k.xp.greater_equal(x, 3).astype(x.dtype)
    k.xp.multiply(g, slope, out=out)


def _limit_grad(k: Any, g: Array, x: Array, low: float, high: float, out: Array) -> None:
    inside = k.xp.greater(x, low)
    inside &= k.xp.less(x, high)
    k._keep(inside, g, out)


def _threshold_grad(
    k: Any, g: Array, x: Array, least: float, value: float, out: Array  # noqa: ARG001
) -> None:  # fmt: skip
    k._keep(k.xp.logical_not(k.xp.less_equal(x, least)), g, out)


def _hard_shrink(k: Any, x: Array, lambd: float, out: Array) -> None:
    k._keep(k.xp.logical_not(k.xp.less_equal(k.xp.absolute(x), lambd)), x, out)


def _soft_shrink(k: Any, x: Array, lambd: float, out: Array) -> None:
    k.xp.subtract(x, k.xp.clip(x, -lambd, lambd), out=out)


def _shrink_grad(k: Any, g: Array, x: Array, lambd: float, out: Array) -> None:
    outside = k.xp.less(x, -lambd)
    outside |= k.xp.greater(x, lambd)
    k._keep(outside, g, out)


def normal_share(k: Any, x: Array) -> Array:
    """The normal distribution function of float32 numbers."""
    z = k.xp.multiply(x, math.sqrt(0.5))
    square = k.xp.multiply(z, z)
    share = k.xp.multiply(square, _ATANH_ERF[0])
    for c in _ATANH_ERF[1:-1]:
        share += c
        share *= square
    share += _ATANH_ERF[-1]
    share *= z
    k.xp.tanh(share, out=share)
    share *= 0.5
    share += 0.5
    return share


def gelu(k: Any, x: Array, out: Array) -> None:
    k.xp.multiply(x, k._normal_share(x), out=out)


def gelu_tanh(k: Any, x: Array, out: Array) -> None:
    share = _tanh_of_cubic(k, x)
    share *= 0.5
    share += 0.5
    k.xp.multiply(x, share, out=out)


def _tanh_of_cubic(k: Any, x: Array) -> Array:
    inner = k.xp.multiply(x, 0.044715)
    inner *= k.xp.multiply(x, x)
    inner += x
    inner *= math.sqrt(2.0 / math.pi)
    return k.xp.tanh(inner, out=inner)


def _gelu_grad(k: Any, g: Array, x: Array, out: Array) -> None:
    density = k.xp.multiply(x, x)
    density *= -0.5
    k.xp.exp(density, out=density)
    density *= 1.0 / math.sqrt(2.0 * math.pi)
    density *= x
    density += k._normal_share(x)
    k.xp.multiply(g, density, out=out)


def _gelu_tanh_grad(k: Any, g: Array, x: Array, out: Array) -> None:
    inner = _tanh_of_cubic(k, x)
    slope = k.xp.multiply(x, x)
    slope *= 3 * 0.044715
    slope += 1
    slope *= math.sqrt(2.0 / math.pi)
    slope *= x
    bend = k.xp.multiply(inner, inner)
    k.xp.subtract(1, bend, out=bend)
    slope *= bend
    slope += inner
    slope += 1
    slope *= 0.5
    k.xp.multiply(g, slope, out=out)


VALUES: dict[str, Chain] = {
    "leaky_relu": _leaky, "hardsigmoid": _hard_sigmoid, "hardswish": _hard_swish,
    "hardshrink": _hard_shrink, "softshrink": _soft_shrink, "elu": _bend, "selu": _bend,
    "celu": _bend, "silu": _silu, "mish": _mish, "softplus": _soft, "logsigmoid": _log_sigmoid,
}  # fmt: skip

# Those of sigmoid and tanh take the result instead of the input.
GRADIENTS: dict[str, Chain] = {
    "sigmoid": _sigmoid_grad, "tanh": _tanh_grad, "gelu": _gelu_grad, "gelu_tanh": _gelu_tanh_grad,
    "hardtanh": _limit_grad, "relu6": _limit_grad, "leaky_relu": _leaky_grad,
    "threshold": _threshold_grad, "hardsigmoid": _hard_sigmoid_grad,
    "hardswish": _hard_swish_grad, "hardshrink": _shrink_grad, "softshrink": _shrink_grad,
    "elu": _bend_grad, "selu": _bend_grad, "celu": _bend_grad, "silu": _silu_grad,
    "mish": _mish_grad, "softplus": _soft_grad, "logsigmoid": _log_sigmoid_grad,
}  # fmt: skip
