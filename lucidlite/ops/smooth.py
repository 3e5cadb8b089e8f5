"""Trigonometric, hyperbolic and related functions of one tensor: a table with their slopes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.ops.choose import where
from lucidlite.ops.common import check_dtype, check_tensor, floating, widened
from lucidlite.ops.precision import precision
from lucidlite.ops.unary import exp, reciprocal, rsqrt
from lucidlite.saved import OUT
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


class Curve(NamedTuple):
    """A function by the array library's or the backend's name, and its slope.

    The slope is written in the input, or in the output (``of_output``), on tensors.
    """

    function: str
    slope: Callable[[Any], Any]
    of_output: bool = False


CURVES = {
    "tan": Curve("tan", lambda y: y * y + 1, True),
    "asin": Curve("arcsin", lambda x: rsqrt(1 - x * x)),
    "acos": Curve("arccos", lambda x: -rsqrt(1 - x * x)),
    "atan": Curve("arctan", lambda x: reciprocal(x * x + 1)),
    "sinh": Curve("sinh", lambda x: cosh(x)),
    "cosh": Curve("cosh", lambda x: sinh(x)),
    "asinh": Curve("arcsinh", lambda x: rsqrt(x * x + 1)),
    "acosh": Curve("arccosh", lambda x: rsqrt(x * x - 1)),
    "atanh": Curve("arctanh", lambda x: reciprocal(1 - x * x)),
    "exp2": Curve("exp2", lambda y: y * math.log(2), True),
    "erfc": Curve("erfc", lambda x: exp(-(x * x)) * (-2 / math.sqrt(math.pi))),
    "erfinv": Curve("erfinv", lambda y: exp(y * y) * (math.sqrt(math.pi) / 2), True),
    "sinc": Curve("sinc", lambda x: _sinc_slope(x)),
}
# What no array library has: kernels of the backend.
_KERNELS = ("erfc", "erfinv", "sinc")


def _curve(op: str, input: Any) -> Tensor:
    if precision.active:
        (input,) = precision.cast(op, input)
    x = floating(op, input)
    function, _, of_output = CURVES[op]
    backend = x.backend
    out = getattr(backend, op)(x.array) if op in _KERNELS else backend.map(function, x.array)
    return record(out, curve_vjp, (x,), (op,), save=(OUT if of_output else x,), name=op)


def curve_vjp(node: Node, grad: Tensor, op: str) -> Tensor:
    value, grad = widened(*node.saved_tensors, grad)
    slope: Tensor = CURVES[op].slope(value)
    return grad * slope


def tan(input: Tensor) -> Tensor:
    """The tangent (radians). Semantics: torch.tan."""
    return _curve("tan", input)


def asin(input: Tensor) -> Tensor:
    """The angle in [-pi/2, pi/2] with this sine. Semantics: torch.asin."""
    return _curve("asin", input)


def acos(input: Tensor) -> Tensor:
    """The angle in [0, pi] with this cosine. Semantics: torch.acos."""
    return _curve("acos", input)


def atan(input: Tensor) -> Tensor:
    """The angle in (-pi/2, pi/2) with this tangent. Semantics: torch.atan."""
    return _curve("atan", input)


def sinh(input: Tensor) -> Tensor:
    """The hyperbolic sine. Semantics: torch.sinh."""
    return _curve("sinh", input)


def cosh(input: Tensor) -> Tensor:
    """The hyperbolic cosine. Semantics: torch.cosh."""
    return _curve("cosh", input)


def asinh(input: Tensor) -> Tensor:
    """The inverse hyperbolic sine. Semantics: torch.asinh."""
    return _curve("asinh", input)


def acosh(input: Tensor) -> Tensor:
    """The inverse hyperbolic cosine, of numbers from 1 on. Semantics: torch.acosh."""
    return _curve("acosh", input)


def atanh(input: Tensor) -> Tensor:
    """The inverse hyperbolic tangent, of numbers in [-1, 1]. Semantics: torch.atanh."""
    return _curve("atanh", input)


def exp2(input: Tensor) -> Tensor:
    """2 to the power of ``input``. Semantics: torch.exp2."""
    return _curve("exp2", input)


def erfc(input: Tensor) -> Tensor:
    """``1 - erf(input)``, exact where that is small. Semantics: torch.erfc."""
    return _curve("erfc", input)


def erfinv(input: Tensor) -> Tensor:
    """The number whose ``erf`` is ``input``, of numbers in [-1, 1]. Semantics: torch.erfinv."""
    return _curve("erfinv", input)


def sinc(input: Tensor) -> Tensor:
    """``sin(pi * input) / (pi * input)``, 1 at 0. Semantics: torch.sinc."""
    return _curve("sinc", input)


def _sinc_slope(x: Tensor) -> Tensor:
    angle = x * math.pi
    safe = where(x == 0, 1.0, x)
    slope = ((angle.cos() * angle - angle.sin()) / (safe * safe)) / math.pi
    return where(x == 0, 0.0, slope)


def deg2rad(input: Tensor) -> Tensor:
    """Degrees in radians. Semantics: torch.deg2rad."""
    return _scaled("deg2rad", input, math.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """Radians in degrees. Semantics: torch.rad2deg."""
    return _scaled("rad2deg", input, 180 / math.pi)


def _scaled(op: str, input: Any, factor: float) -> Tensor:
    x = floating(op, input)
    out = x.backend.map("multiply", x.array, x.backend.constant(factor, x.array.dtype))
    return record(out, scaled_vjp, (x,), (factor,), name=op)


def scaled_vjp(node: Node, grad: Tensor, factor: float) -> Tensor:
    return grad * factor


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """``log(input / (1 - input))``; ``eps`` limits the input to [eps, 1 - eps].

    Semantics: torch.logit.
    """
    x = floating("logit", input)
    array, one = x.array, x.backend.constant(1, x.array.dtype)
    if eps is not None:
        # Where eps is over 1/2, the upper limit holds.
        low, high = (x.backend.constant(v, array.dtype) for v in (eps, 1 - eps))
        array = x.backend.map("maximum", array, low)
        array = x.backend.map("minimum", array, high)
    odds = x.backend.map("divide", array, x.backend.map("subtract", one, array))
    return record(x.backend.map("log", odds), logit_vjp, (x,), (eps,), save=(x,))


def logit_vjp(node: Node, grad: Tensor, eps: float | None) -> Tensor:
    x, grad = widened(*node.saved_tensors, grad)
    low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
    outside = (x < low) | (x > high)
    slope = grad / (x * (1 - x))
    return where(outside, math.nan if eps is None else 0.0, slope)


def frac(input: Tensor) -> Tensor:
    """``input - trunc(input)``. Semantics: torch.frac."""
    check_tensor("frac", "input", input)
    check_dtype("frac", input, "f")
    backend, x = input.backend, input.array
    return record(backend.map("subtract", x, backend.map("trunc", x)), frac_vjp, (input,))


def frac_vjp(node: Node, grad: Tensor) -> Tensor:
    return grad


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:  # fmt: skip
    """NaN as ``nan`` (0), infinities as numbers: the dtype's limits without others.

    Semantics: torch.nan_to_num.
    """
    check_tensor("nan_to_num", "input", input)
    if input.array.dtype.kind != "f":
        return input.clone()
    backend, x = input.backend, input.array
    limit = float(backend.xp.finfo(x.dtype).max)
    inf, finite = backend.constant(math.inf, x.dtype), x
    numbers = (
        (backend.map("isnan", x), 0.0 if nan is None else nan),
        (backend.map("equal", x, inf), limit if posinf is None else posinf),
        (backend.map("equal", x, -inf), -limit if neginf is None else neginf),
    )
    for mask, number in numbers:
        if not isinstance(number, (int, float)):
            raise error(TypeError, f"nan_to_num: expected numbers, got {type(number).__name__}")
        finite = backend.select(mask, backend.constant(number, x.dtype), finite)
    return record(finite, nan_to_num_vjp, (input,), save=(input,))


def nan_to_num_vjp(node: Node, grad: Tensor) -> Tensor:
    (x,) = node.saved_tensors
    return where(x.isfinite(), grad, 0)
