"""A line search: how far to go along a direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lucidlite.tensor import Tensor

ENOUGH = 1e-4  # of the descent that the slope promises (Armijo's rule)
FLATTER = 0.9  # of the first slope may be left
LEAST = 1e-9  # the shortest bracket


@dataclass
class _Point:
    """A step length, and loss, gradient and slope there."""

    t: Any
    loss: float
    grad: Tensor
    slope: Tensor


def strong_wolfe(
    look: Callable[[Any], tuple[float, Tensor]],
    t: Any,
    d: Tensor,
    loss: float,
    grad: Tensor,
    slope: Tensor,
    most: int,
) -> tuple[float, Tensor, Any, int]:
    """A step length along ``d`` that meets the strong Wolfe conditions, from a first guess ``t``.

    ``look(t)`` tells loss and gradient there; ``loss``, ``grad`` and ``slope`` are those at 0.
    Returns loss, gradient, step length and how often it looked: ``most`` times and once more.
    Where none is found in these, the best of the last bracket.
    Source: Nocedal and Wright 2006, algorithms 3.5 and 3.6, with minFunc's safeguards.
    """

    def at(t: Any) -> _Point:
        value, gradient = look(t)
        return _Point(t, value, gradient, gradient.dot(d))

    def too_high(point: _Point) -> bool:
        return bool(point.loss > loss + ENOUGH * point.t * slope)

    def flat(point: _Point) -> bool:
        return bool(abs(point.slope) <= -FLATTER * slope)

    origin = before = _Point(0, loss, grad, slope)
    new = at(t)
    looked, tries = 1, 0
    bracket = None
    while tries < most:
        if too_high(new) or (tries > 1 and new.loss >= before.loss):
            bracket = [before, new]
            break
        if flat(new):
            return new.loss, new.grad, new.t, looked
        if new.slope >= 0:
            bracket = [before, new]
            break
        bounds = new.t + 0.01 * (new.t - before.t), new.t * 10
        t = cubic_minimum(before, new, bounds)
        before, new = new, at(t)
        looked += 1
        tries += 1
    if bracket is None or tries == most:
        bracket = [origin, new]
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    width = d.abs().max()
    stuck = False
    while tries < most:
        left, right = bracket
        if abs(right.t - left.t) * width < LEAST:
            break
        t = cubic_minimum(left, right)
        bottom, top = min(left.t, right.t), max(left.t, right.t)
        margin = 0.1 * (top - bottom)
        if min(top - t, t - bottom) < margin:
            # Near an end twice, or at it: go a tenth of the way inside.
            if stuck or t >= top or t <= bottom:
                t = top - margin if abs(t - top) < abs(t - bottom) else bottom + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = at(t)
        looked += 1
        tries += 1
        if too_high(new) or new.loss >= bracket[low].loss:
            bracket[high] = new
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        done = flat(new)
        if not done and new.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
        if done:
            break
    best = bracket[low]
    return best.loss, best.grad, best.t, looked


def cubic_minimum(one: _Point, other: _Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through two points with their slopes is least; within ``bounds``."""
    ordered = one.t <= other.t
    near, far = (one, other) if ordered else (other, one)
    low, high = bounds if bounds is not None else (near.t, far.t)
    d1 = one.slope + other.slope - 3 * (one.loss - other.loss) / (one.t - other.t)
    square = d1**2 - one.slope * other.slope
    if square >= 0:
        d2 = square.sqrt()
        part = (far.slope + d2 - d1) / (far.slope - near.slope + 2 * d2)
        return min(max(far.t - (far.t - near.t) * part, low), high)
    return (low + high) / 2.0
