"""Activation functions on the CPU: a chain of functions on a block that stays in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.chains import Chain
from lucidlite.backends.kernels.units import UnitKernels
from lucidlite.backends.numpy_kernels.elementwise import in_parts
from lucidlite.backends.numpy_kernels.layout import BLOCK

_COST = 4  # of an element in a chain, as in threads.cut


class NumPyUnits(UnitKernels):
    """UnitKernels in blocks."""

    if TYPE_CHECKING:

        def align(self, *arrays: Array) -> tuple[Array, ...]: ...

    def _chained(
        self,
        chain: Chain,
        arrays: tuple[Array, ...],
        numbers: Sequence[float] = (),
        out: Array | None = None,
    ) -> Array:
        x = arrays[-1]
        if x.ndim == 4 and len(arrays) > 1:
            arrays = self.align(*arrays)
        elif not x.ndim:
            arrays = tuple([a.reshape(1) for a in arrays])
        if out is None or out is not arrays[0] or out.strides != x.strides:
            out = np.empty_like(arrays[-1])
        half = x.dtype.char == "e"

        def work(*pieces: Array, out: Array) -> None:
            if not half:
                chain(self, *pieces, *numbers, out=out)
                return
            wide = [p.astype(np.float32) for p in pieces]
            chain(self, *wide, *numbers, out=wide[0])
            out[...] = wide[0]

        if x.size:
            in_parts(work, arrays, out, _COST * x.size, BLOCK)
        return out if x.ndim else out.reshape(())

    def _keep(self, mask: Array, x: Array, out: Array) -> None:
        # -1 has all bits, 0 none: and-ed with the number's own they keep it or make it 0.
        bits = f"i{x.itemsize}"
        kept = np.negative(mask.view(np.int8))
        np.bitwise_and(x.view(bits), kept, out=out.view(bits))
