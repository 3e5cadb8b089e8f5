"""Elementwise functions that the array libraries lack or do slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.kernels import Array

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


def _rational(x: Array, tables: tuple[tuple[float, ...], tuple[float, ...]]) -> Array:
    """Cody's nested form: the last coefficient of the numerator leads."""
    top, bottom = tables
    numerator, denominator = top[-1] * x, x
    for a, b in zip(top[:-2], bottom[:-1], strict=True):
        numerator, denominator = (numerator + a) * x, (denominator + b) * x
    return (numerator + top[-2]) / (denominator + bottom[-1])


class SpecialKernels:
    """relu and its gradient, sigmoid, erf."""

    xp: Any

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...
        def call(self, name: str, *args: Any, **kwargs: Any) -> Array: ...

    def relu(self, x: Array) -> Array:
        """``max(x, 0)``, NaN kept."""
        zero, top = x.dtype.type(0), None
        if x.dtype.kind == "f":
            top = x.dtype.type(np.inf)
        # clip runs vectorised where maximum with a scalar doesn't
        return self.xp.asarray(self.call("clip", x, zero, top))

    def relu_grad(self, g: Array, y: Array) -> Array:
        """``g`` where the output ``y`` is positive, else 0."""
        return self.map("multiply", g, self.map("greater", y, self.xp.asarray(0, y.dtype)))

    def sigmoid(self, x: Array) -> Array:
        """``1 / (1 + exp(-x))``; overflow of exp gives 0."""
        one = x.dtype.type(1)
        out = self.map("exp", self.map("negative", x))
        out = self.map("add", out, self.xp.asarray(one))
        return self.map("reciprocal", out)

    def erf(self, x: Array) -> Array:
        """The error function to the precision of the dtype."""
        xp = self.xp
        wide = x.astype(np.float64)
        size = xp.minimum(xp.abs(wide), 27.0)  # 1 to the last bit from 6 on
        near = wide * _rational(size * size, _NEAR)
        bound = xp.maximum(size, 0.46875)
        middle = _rational(bound, _MIDDLE) * xp.exp(-bound * bound)
        inverse = 1.0 / (bound * bound)
        tail = (1.0 / np.sqrt(np.pi) - inverse * _rational(inverse, _FAR)) / bound
        far = tail * xp.exp(-bound * bound)
        outer = xp.copysign(1.0 - xp.where(size <= 4.0, middle, far), wide)
        out = xp.where(size <= 0.46875, near, outer)
        return xp.asarray(xp.where(xp.isnan(wide), wide, out)).astype(x.dtype)
