"""How far two arrays are apart, in proportion to what they hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# The largest error that rounding may explain. Each step of the arithmetic is compared on equal
# inputs, so errors don't add up: what is seen in practice is a hundred times smaller.
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
# Of the largest gradient in a step, of the largest weight: smaller scales than this part of it are
# those of rounding (the gradient of a bias in front of batch norm is nothing else).
_FLOOR = 0.01


class Gap(NamedTuple):
    """The largest difference of two arrays, and where it is.

    ``error`` is ``absolute`` over the scale; infinite where the arrays don't compare at all, which
    ``reason`` explains.
    """

    error: float
    absolute: float = 0.0
    at: tuple[int, ...] | None = None
    ours: Any = None
    theirs: Any = None
    reason: str = ""

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        if not self.absolute:
            return "equal"
        place = f" at {self.at}" if self.at else ""
        both = f"ours {_number(self.ours)}, torch {_number(self.theirs)}"
        return f"max abs {self.absolute:.1e}, max rel {self.error:.1e}{place}: {both}"


def gap(ours: Any, theirs: Any, among: float = 0.0, before: Any = None) -> Gap:
    """The gap between two arrays of numbers.

    The scale is the largest value in either; with ``before``, the largest change since then. It is
    at least a hundredth of ``among``, the largest value of the tensors that it is one of. Whole
    numbers and truth values have to be equal, NaN and infinities in the same places.
    """
    if ours.shape != theirs.shape:
        return Gap(np.inf, reason=f"shape: ours {ours.shape}, torch {theirs.shape}")
    if ours.dtype != theirs.dtype:
        return Gap(np.inf, reason=f"dtype: ours {ours.dtype}, torch {theirs.dtype}")
    if ours.size == 0 or np.array_equal(ours, theirs):
        return Gap(0.0)
    with np.errstate(invalid="ignore"):
        same = (ours == theirs) | ((ours != ours) & (theirs != theirs))
        apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    index = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
    absolute = float(apart[index])
    if not absolute:
        return Gap(0.0)
    error = np.inf
    if ours.dtype.kind == "f" and np.isfinite(absolute):
        moved = (ours, theirs) if before is None else (ours - before, theirs - before)
        scale = max(largest(*moved), _FLOOR * among)
        error = absolute / scale if scale else np.inf
    return Gap(float(error), absolute, index, ours[index].item(), theirs[index].item())


def largest(*arrays: Any) -> float:
    """The largest finite absolute value in floating-point arrays; 0 without any."""
    found = 0.0
    for array in arrays:
        if array.dtype.kind == "f" and array.size:
            values = np.abs(array)
            found = max(found, float(np.max(values, where=np.isfinite(values), initial=0.0)))
    return found


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
