"""The steps of a batch of sequences, which may end at different ones, and a state on its way."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from lucidlite.backends.kernels import Array

Steps = list[tuple[slice, int]]  # the rows of each step and their number, in the order they are run


def order_of(counts: tuple[int, ...], reverse: bool) -> Steps:
    """The steps in the order they are run."""
    steps, start = [], 0
    for n in counts:
        steps.append((slice(start, start + n), n))
        start += n
    return steps[::-1] if reverse else steps


class Held:
    """A part of the state on its way: the rows of sequences that run, and where others stand."""

    def __init__(self, xp: Any, first: Array) -> None:
        self.xp, self.first = xp, first
        self.last = xp.array(first, order="C")
        self.now: Any = None

    def rows(self, n: int) -> Array:
        """The state before a step with ``n`` rows; ``now`` is then what the step makes of it."""
        now = self.now
        if now is None:
            return self.first[:n]
        m = len(now)
        if n < m:
            self.last[n:m] = now[n:]
            return now[:n]
        return now if n == m else self.xp.concatenate([now, self.first[m:n]])

    def end(self) -> Array:
        """The state after each row's last step."""
        self.last[: len(self.now)] = self.now
        return self.last


def state_before(xp: Any, after: Array, first: Array, steps: Steps) -> Array:
    """The state before each step, given that after it; ``steps`` are in the order of the way back.

    ``first`` is the state before all steps.
    """
    out = xp.empty_like(after)
    for (span, n), (earlier, m) in pairwise(steps):
        here = out[span]
        if m < n:
            here[:m] = after[earlier]
            here[m:] = first[m:n]
        else:
            here[...] = after[earlier][:n]
    span, n = steps[-1]
    out[span] = first[:n]
    return out
