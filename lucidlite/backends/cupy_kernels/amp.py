"""Loss scaling on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucidlite.backends.cupy_kernels.optim import alike
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.amp import AmpKernels


class CuPyAmp(AmpKernels):
    """Loss scaling on a GPU: one launch for all gradients of a dtype, one for the scale."""

    launch: Any
    _table: Any  # of the optimizer steps

    def unscale(self, grads: Sequence[Array], scale: Array, found: Array) -> None:
        groups, odd = alike([(grad,) for grad in grads])
        if odd:
            super().unscale([grads[place] for place in odd], scale, found)
        for dtype, content in groups.items():
            table = self._table(content)
            self.launch(
                "amp", "unscale", 0, table.device, table.rows, scale, found, dtype=dtype,
                grid=(table.chunks,),
            )  # fmt: skip

    def update_scale(
        self,
        scale: Array,
        tracker: Array,
        found: Array,
        growth: float,
        backoff: float,
        interval: int,
    ) -> None:
        self.launch(
            "amp", "update_scale", 0, scale, tracker, found, growth, backoff, interval,
            dtype=np.float32, grid=(1,), block=1,
        )  # fmt: skip
