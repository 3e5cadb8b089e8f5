"""Recurrent layers on the CPU: a step's product goes into memory that is there."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.recurrent import RecurrentKernels
from lucidlite.backends.numpy_kernels.matmul import TILE, product
from lucidlite.threads import take_blas


class NumPyRecurrent(RecurrentKernels):
    """RecurrentKernels with a step's product by BLAS itself: the way to it costs half as much."""

    def recurrent(self, mode: str, x: Array, *args: Any) -> Any:
        take_blas()
        return super().recurrent(mode, x, *args)

    def recurrent_backward(self, mode: str, *args: Any) -> Any:
        take_blas()
        return super().recurrent_backward(mode, *args)

    def _step_product(self, a: Array, b: Array, space: Array | None) -> Array:
        if a.size * b.shape[1] >= 2 * TILE:  # a product for several threads
            return product(a, b)
        return np.matmul(a, b, out=None if space is None else space[: len(a)])

    def _product_into(self, a: Array, b: Array, out: Array) -> None:
        if a.size * b.shape[1] >= 2 * TILE:
            out[...] = product(a, b)
        else:
            np.matmul(a, b, out=out)

    def _product_space(self, like: Array, width: int) -> Array | None:
        return np.empty((len(like), width), like.dtype)
