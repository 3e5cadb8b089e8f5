"""Optimizer steps on the CPU: all parameters in one call, large ones in blocks over the threads.

The operations and their order are those of ``OptimKernels``, so the bits are too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.optim import AdamItem, OptimKernels, SGDItem
from lucidlite.threads import cut, parallel

# Elements of each operand a pass handles at a time: they stay in the cache.
BLOCK = 1 << 17
# Plain SGD has one temporary array and two passes: a parameter of no more is one block.
PLAIN = 1 << 19
# Temporary arrays of this many elements come from memory that was just in use: no scratch.
SMALL = 1 << 14

# A step of some elements: their arrays, its numbers, two scratch arrays (or None each).
Step = Callable[[Sequence[Any], Any, Any, Any], None]


class _Scratch(threading.local):
    """Memory for temporary arrays, for each thread and dtype: two blocks."""

    def __init__(self) -> None:
        self.held: dict[str, Array] = {}

    def one(self, like: Array) -> Array:
        held = self.held.get(like.dtype.char)
        if held is None:
            held = self.held[like.dtype.char] = np.empty(max(PLAIN, 2 * BLOCK), like.dtype)
        return held[: like.size].reshape(like.shape)

    def pair(self, like: Array) -> tuple[Array, Array]:
        first = self.one(like)
        held = self.held[like.dtype.char]
        return first, held[BLOCK : BLOCK + like.size].reshape(like.shape)


_scratch = _Scratch()


class NumPyOptim(OptimKernels):
    """What ``OptimKernels`` has, for NumPy arrays."""

    def sgd_steps(self, items: Sequence[SGDItem], **options: Any) -> None:
        decays, maximize = bool(options["weight_decay"]), options["maximize"]
        dampening, nesterov = bool(options["dampening"]), options["nesterov"]
        plain = not decays and not maximize
        values = (
            options["lr"], options["weight_decay"], options["momentum"], 1 - options["dampening"]
        )  # fmt: skip

        def step(arrays: Sequence[Any], setting: Any, new: Any, work: Any) -> None:
            p, g, held = arrays
            (rate, decay, drag, share), first = setting
            if decays:
                new = np.multiply(p, decay, new)
                g = np.subtract(new, g, new) if maximize else np.add(new, g, new)
            elif maximize:
                g = np.negative(g, new)
            if held is not None:
                if first:
                    held[...] = g
                else:
                    np.multiply(held, drag, held)
                    np.add(held, np.multiply(g, share, work) if dampening else g, held)
                if nesterov:
                    work = np.multiply(held, drag, work)
                    g = np.add(work, g, work)
                else:
                    g = held
            np.subtract(p, np.multiply(g, rate, work), p)

        rest, numbers, kind = [], [], None
        for item in items:
            param, grad, buffer, first = item
            if param.dtype is not kind:
                kind = param.dtype
                numbers = [np.array(value, kind) for value in values]
            if plain and buffer is None and param.size <= PLAIN and kind.char in "fd":
                work = None if param.size <= SMALL else _scratch.one(param)
                np.subtract(param, np.multiply(grad, numbers[0], work), param)
            elif not _run(step, (param, grad, buffer), (numbers, first), 4):
                rest.append(item)
        if rest:
            super().sgd_steps(rest, **options)

    def adam_steps(self, items: Sequence[AdamItem], **options: Any) -> None:
        lr, beta1, beta2 = options["lr"], options["beta1"], options["beta2"]
        decay, eps = options["weight_decay"], options["eps"]
        decoupled, maximize = options["decoupled"], options["maximize"]
        known: dict[Any, list[Array]] = {}

        def step(arrays: Sequence[Any], setting: Any, new: Any, work: Any) -> None:
            p, g, mean, square, largest = arrays
            shrink, keep1, rest1, keep2, rest2, correction, least, rate = setting
            if decay and decoupled:
                np.multiply(p, shrink, p)
            elif decay:
                new = np.multiply(p, shrink, new)
                g = np.subtract(new, g, new) if maximize else np.add(new, g, new)
            if maximize and (decoupled or not decay):
                g = new = np.negative(g, new)
            if beta1 > 0.5:
                work = np.subtract(g, mean, work)
                np.add(mean, np.multiply(work, rest1, work), mean)
            else:
                work = np.subtract(mean, g, work)
                np.add(g, np.multiply(work, keep1, work), mean)
            np.multiply(g, rest2, work)
            np.multiply(work, g, work)
            np.multiply(square, keep2, square)
            np.add(square, work, square)
            if largest is not None:
                square = np.maximum(largest, square, out=largest)
            np.sqrt(square, work)
            np.divide(work, correction, work)
            np.add(work, least, work)
            new = np.multiply(mean, rate, new)
            np.subtract(p, np.divide(new, work, new), p)

        rest = []
        for item in items:
            *arrays, number = item
            kind = arrays[0].dtype
            numbers = known.get((kind, number))
            if numbers is None:
                values = (
                    1 - lr * decay if decoupled else decay, beta1, 1 - beta1, beta2, 1 - beta2,
                    (1 - beta2**number) ** 0.5, eps, lr / (1 - beta1**number),
                )  # fmt: skip
                numbers = known[kind, number] = [np.array(value, kind) for value in values]
            if not _run(step, arrays, numbers, 14):
                rest.append(item)
        if rest:
            super().adam_steps(rest, **options)


def _run(step: Step, arrays: Sequence[Any], setting: Any, passes: int) -> bool:
    """``step`` on a parameter and its state; False where it isn't for this file."""
    param = arrays[0]
    size = param.size
    if param.dtype.char not in "fd":
        return False
    if size <= BLOCK:
        if size <= SMALL and param.ndim:
            step(arrays, setting, None, None)
        else:
            step(arrays, setting, *_scratch.pair(param))
        return True
    if any([a is not None and not a.flags.c_contiguous for a in arrays]):
        return False
    flat = [None if a is None else a.reshape(-1) for a in arrays]

    def part(span: tuple[int, int]) -> None:
        for number in range(*span):
            own = slice(number * BLOCK, (number + 1) * BLOCK)
            pieces = [None if a is None else a[own] for a in flat]
            step(pieces, setting, *_scratch.pair(pieces[0]))

    parallel(part, cut(-(-size // BLOCK), BLOCK * passes))
    return True
