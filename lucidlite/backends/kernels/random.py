"""Uniform numbers and dropout by a generator's draws, the same ones on every device."""

from __future__ import annotations

from typing import Any

from lucidlite.backends.kernels import Array


class RandomKernels:
    """What draws random numbers. Generators count them on the host, whatever the device."""

    xp: Any
    map: Any
    align: Any
    asarray: Any
    constant: Any

    def uniform(self, shape: tuple[int, ...], dtype: Any, generator: Any) -> Array:
        """The next draws as numbers in [0, 1): element i in row-major order takes draw i."""
        return self.asarray(generator.uniform(shape, dtype))

    def dropout(self, x: Array, p: float, generator: Any) -> tuple[Array, Any]:
        """``x`` with elements dropped by the next draws, and a state for ``drop_alike``.

        Element i in row-major order of the shape, whatever the memory order, takes draw i and is
        dropped with probability ``p``; the others are multiplied by 1 / (1 - p).
        """
        kept = self.asarray(generator.chances(x.shape, p))
        if x.ndim == 4:
            _, kept = self.align(x, kept)  # while an element is a byte
        factors = self.map("multiply", kept, self.constant(scale_of(p), x.dtype))
        return self.map("multiply", x, factors), factors

    def drop_alike(self, x: Array, state: Any) -> Array:
        """``x`` with what the call that left ``state`` dropped, dropped, and scaled likewise."""
        return self.map("multiply", x, state)


def scale_of(p: float) -> float:
    """What the elements that aren't dropped are multiplied by."""
    return 0.0 if p == 1.0 else 1.0 / (1.0 - p)
