"""Elementwise functions that the array libraries lack or do slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.kernels import Array, chains, in_float32
from lucidlite.backends.kernels.units import UnitKernels

# erf by rational functions (Cody, Math. Comp. 23, 1969), good to double precision on each range.
_NEAR = (
    (3.16112374387056560, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03,
     1.85777706184603153e-1),
    (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03,
     2.84423683343917062e03),
)  # fmt: skip
_MIDDLE = (
    (5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e01, 2.98635138197400131e02,
     8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03,
     2.15311535474403846e-8),
    (1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
     3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03,
     1.23033935480374942e03),
)  # fmt: skip
_FAR = (
    (3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
     6.58749161529837803e-4, 1.63153871373020978e-2),
    (2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip
# A rational function of x * x, fitted to erf(x) / x on [0, 4] for the least relative error.
_SINGLE = (
    (-4.484269180012e-08, -2.891342781047e-07, 3.057523204087e-04, 2.955925472550e-03,
     5.093815716348e-02, 1.669014931212e-01, 1.128379168144e+00),
    (-6.201430267875e-07, 4.099803225746e-05, 1.039838454689e-03, 1.349120552107e-02,
     1.055578238724e-01, 4.812459692218e-01, 1.000000000000e+00),
)  # fmt: skip


def _rational(x: Array, tables: tuple[tuple[float, ...], tuple[float, ...]]) -> Array:
    """Cody's nested form: the last coefficient of the numerator leads."""
    top, bottom = tables
    numerator, denominator = top[-1] * x, x
    for a, b in zip(top[:-2], bottom[:-1], strict=True):
        numerator, denominator = (numerator + a) * x, (denominator + b) * x
    return (numerator + top[-2]) / (denominator + bottom[-1])


class SpecialKernels(UnitKernels):
    """Choosing by a mask; relu and its gradient, sigmoid, erf and kin, gelu; rounding."""

    xp: Any

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...
        def call(self, name: str, *args: Any, **kwargs: Any) -> Array: ...
        def align(self, *arrays: Array) -> tuple[Array, ...]: ...
        def constant(self, value: Any, dtype: Any) -> Array: ...

    def select(self, mask: Array, x: Array, y: Array) -> Array:
        """``x`` where ``mask`` is True, else ``y``: arrays of one dtype that broadcast."""
        if mask.ndim == 4 or x.ndim == 4 or y.ndim == 4:
            mask, x, y = self.align(mask, x, y)
        return self.xp.asarray(self.call("where", mask, x, y))

    def relu(self, x: Array) -> Array:
        """``max(x, 0)``, NaN kept."""
        zero, top = x.dtype.type(0), None
        if x.dtype.kind == "f":
            top = x.dtype.type(np.inf)
        # clip runs vectorised where maximum with a scalar doesn't
        return self.xp.asarray(self.call("clip", x, zero, top))

    def relu_grad(self, g: Array, y: Array, out: Array | None = None) -> Array:
        """``g`` where the output ``y`` is positive or NaN, else 0, whatever ``g`` is there.

        ``out``, ``g`` itself, may be written to.
        """
        del out
        zero = self.constant(0, g.dtype)
        return self.select(self.map("less_equal", y, self.constant(0, y.dtype)), zero, g)

    @in_float32
    def sigmoid(self, x: Array) -> Array:
        """``1 / (1 + exp(-x))``; overflow of exp gives 0."""
        out = self.map("exp", self.map("negative", x))
        out = self.map("add", out, self.constant(1, x.dtype))
        return self.map("reciprocal", out)

    @in_float32
    def rsqrt(self, x: Array) -> Array:
        """``1 / sqrt(x)``."""
        return self.map("reciprocal", self.map("sqrt", x))

    @in_float32
    def round_decimals(self, x: Array, decimals: int) -> Array:
        """The nearest multiples of ``10 ** -decimals``."""
        scale = self.constant(10.0 ** abs(decimals), x.dtype)
        up, down = ("multiply", "divide") if decimals > 0 else ("divide", "multiply")
        return self.map(down, self.map("rint", self.map(up, x, scale)), scale)

    @in_float32
    def norm(self, x: Array, p: float, axes: tuple[int, ...], keepdims: bool) -> Array:
        """The p-norm over axes."""
        xp = self.xp
        size = x if p == 2.0 else self.map("absolute", x)
        if p in (np.inf, -np.inf):
            name = "max" if p > 0 else "min"
            return xp.asarray(self.call(name, size, axis=axes, keepdims=keepdims))
        if p == 0.0:
            powers = self.map("not_equal", x, self.constant(0, x.dtype)).astype(x.dtype)
        elif p == 2.0:
            powers = self.map("multiply", x, x)
        else:
            powers = size if p == 1.0 else self.map("power", size, self.constant(p, x.dtype))
        total = xp.asarray(self.call("sum", powers, axis=axes, keepdims=keepdims))
        if p in (0.0, 1.0):
            return total
        if p == 2.0:
            return self.map("sqrt", total)
        return self.map("power", total, self.constant(1.0 / p, x.dtype))

    @in_float32
    def lerp(self, x: Array, end: Array, weight: Array) -> Array:
        """``x + weight * (end - x)``, counted from the nearer end."""
        way = self.map("subtract", end, x)
        rest = self.map("subtract", self.constant(1, weight.dtype), weight)
        from_x = self.map("add", x, self.map("multiply", weight, way))
        from_end = self.map("subtract", end, self.map("multiply", way, rest))
        near = self.map("less", self.map("absolute", weight), self.constant(0.5, weight.dtype))
        return self.select(near, from_x, from_end)

    @in_float32
    def erf(self, x: Array) -> Array:
        """The error function to the precision of the dtype."""
        xp = self.xp
        wide = x.astype(np.float64)
        if x.dtype == np.float32:
            return xp.asarray(_single(xp.clip(wide, -4.0, 4.0))).astype(x.dtype)
        size = xp.abs(wide)
        outer = xp.copysign(1.0 - self._erfc(size), wide)
        return xp.asarray(xp.where(size > 0.46875, outer, wide * _near(wide)))  # NaN: the second

    def _erfc(self, size: Array) -> Array:
        """``1 - erf(size)`` for sizes above 0.46875 (others count as that), to the last digits."""
        xp = self.xp
        size = xp.clip(size, 0.46875, 28.0)  # 0 from there on
        # exp(-size * size) in two parts: the square of the first is exact
        part = xp.floor(size * 16.0) / 16.0
        falls = xp.exp(-part * part) * xp.exp(-(size - part) * (size + part))
        share, far = _rational(size, _MIDDLE), size > 4.0
        if far.any():
            inverse = 1.0 / (size * size)
            beyond = (1.0 / np.sqrt(np.pi) - inverse * _rational(inverse, _FAR)) / size
            share = xp.where(far, beyond, share)
        return falls * share

    @in_float32
    def erfc(self, x: Array) -> Array:
        """``1 - erf(x)``, exact where that is small."""
        xp, wide = self.xp, x.astype(np.float64)
        size = xp.abs(wide)
        tail = self._erfc(size)
        outer = xp.where(wide < 0.0, 2.0 - tail, tail)
        near = 1.0 - wide * _near(wide)
        return xp.asarray(xp.where(size > 0.46875, outer, near)).astype(x.dtype)  # NaN: the second

    @in_float32
    def erfinv(self, x: Array) -> Array:
        """The number whose error function is ``x``."""
        xp, wide = self.xp, x.astype(np.float64)
        size = xp.abs(wide)
        # Winitzki's approximation to 2e-3, then Halley's steps, each with three times the digits.
        logs = xp.log1p(-size) + xp.log1p(size)
        half = 2.0 / (np.pi * 0.147) + logs / 2.0
        y = xp.sqrt(xp.sqrt(half * half - logs / 0.147) - half)
        for _ in range(3):
            over = xp.where(size > 0.5, (1.0 - size) - self.erfc(y), self.erf(y) - size)
            step = over / (2.0 / np.sqrt(np.pi) * xp.exp(-y * y))
            y = y - step / (1.0 + y * step)
        y = xp.where(size == 1.0, np.inf, y)
        return xp.asarray(xp.copysign(y, wide)).astype(x.dtype)

    @in_float32
    def sinc(self, x: Array) -> Array:
        """``sin(pi x) / (pi x)``, 1 at 0."""
        nothing, one = x == 0, self.constant(1, x.dtype)
        angle = self.map("multiply", x, self.constant(np.pi, x.dtype))
        ratio = self.map("divide", self.map("sin", angle), angle)
        return self.select(nothing, one, ratio)

    @in_float32
    def log_sum(self, x: Array, y: Array, binary: bool) -> Array:
        """``log(exp(x) + exp(y))``, or of powers of 2."""
        return self.map("logaddexp2" if binary else "logaddexp", x, y)

    def gelu(self, x: Array, approximate: bool) -> Array:
        """``x * Phi(x)`` for the normal distribution's Phi, or its tanh approximation."""
        return self._chained(chains.gelu_tanh if approximate else chains.gelu, (x,))

    def _normal_share(self, x: Array) -> Array:
        """The normal distribution function, to the precision of the dtype."""
        if x.dtype == np.float32:
            return chains.normal_share(self, x)
        xp, z = self.xp, x * np.sqrt(0.5)
        size = xp.abs(z)
        tail = 0.5 * self._erfc(size)
        far = xp.where(z > 0.0, 1.0 - tail, tail)
        return xp.where(size > 0.46875, far, 0.5 + 0.5 * z * _near(z))


def _single(x: Array) -> Array:
    """``erf(x)`` to 1e-9 for sizes up to 4, where it rounds to 1 in single precision."""
    square = x * x
    return x * (_polynomial(square, _SINGLE[0]) / _polynomial(square, _SINGLE[1]))


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    """By Horner's rule, the highest power first."""
    total = coefficients[0] * x
    for c in coefficients[1:-1]:
        total += c
        total *= x
    total += coefficients[-1]
    return total


def _near(x: Array) -> Array:
    """``erf(x) / x`` for sizes up to 0.46875."""
    square = x * x
    return _rational(square * (square < 0.25), _NEAR)
