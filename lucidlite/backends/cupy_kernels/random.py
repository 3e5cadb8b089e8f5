"""Draws on a GPU, the host's by their place in the generator's stream.

Dropout is one launch that works the draws out and applies them, and keeps no mask: the gradient
works them out again.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from lucidlite.backends.cupy_kernels.graph import CuPyGraph
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.random import RandomKernels, scale_of
from lucidlite.philox import kept_bits


class Drop(NamedTuple):
    """Which draws drop what: their place, whether it is in device memory, from where they keep."""

    held: Array | None
    words: tuple[int, ...]
    least: int
    scale: float


class CuPyRandom(CuPyGraph, RandomKernels):
    """What ``RandomKernels`` has, with the draws made on the GPU."""

    launch: Any
    contiguous: Any
    in_conv_layout: Any
    images: Any
    seen: Any

    def uniform(self, shape: tuple[int, ...], dtype: Any, generator: Any) -> Array:
        out = self.xp.empty(shape, dtype)
        count, kept = prod(shape), kept_bits(dtype)
        held, words = self.held_place(generator, count)
        blocks = -(-count // 4)
        self.launch(
            "random", "uniform", blocks, out, blocks, count, held, *words, 64 - kept, 2.0**-kept,
            dtype=np.dtype(dtype),
        )  # fmt: skip
        return out

    def dropout(self, x: Array, p: float, generator: Any) -> tuple[Array, Any]:
        held, words = self.held_place(generator, x.size)
        scale = float(x.dtype.type(scale_of(p)))
        drop = Drop(held, words, generator.least_kept(p), scale)
        return self.drop_alike(x, drop), drop

    def drop_alike(self, x: Array, state: Drop) -> Array:
        if x.ndim == 4 and not x.flags.c_contiguous and self.in_conv_layout(x):
            _, channels, height, width = x.shape
            return self.seen(self._dropped(self.images(x), height * width, channels, state))
        return self._dropped(self.contiguous(x), x.size, 1, state)

    def _dropped(self, x: Array, plane: int, channels: int, drop: Drop) -> Array:
        """``x`` in memory is (images, plane, channels)."""
        out = self.xp.empty(x.shape, x.dtype)
        alone = plane == x.size
        if plane % 4 and not alone:
            kernel, count = "drop_each", x.size
        else:
            kernel, count = "drop_blocks", -(-x.size // 4)
        self.launch(
            "random", kernel, count, x, out, count, plane, channels, drop.held, *drop.words,
            drop.least, drop.scale, dtype=x.dtype,
        )  # fmt: skip
        return out
