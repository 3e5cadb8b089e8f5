"""What loss scaling does to gradients, without asking the host anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array


class AmpKernels:
    """Unscaling of gradients and the next scale; ``scale``, ``found`` and ``tracker`` are 0-dim."""

    xp: Any

    def unscale(self, grads: Sequence[Array], scale: Array, found: Array) -> None:
        """Divide ``grads`` by float32 ``scale`` in place; ``found`` gets 1 for an inf or NaN."""
        inverse = (1.0 / scale.astype(np.float64)).astype(np.float32)
        for grad in grads:
            infinite = ~self.xp.isfinite(grad).all()
            self.xp.maximum(found, infinite.astype(np.float32), out=found)
            self.xp.multiply(grad, inverse, out=grad, casting="same_kind")

    def update_scale(
        self,
        scale: Array,
        tracker: Array,
        found: Array,
        growth: float,
        backoff: float,
        interval: int,
    ) -> None:
        """Write the next ``scale``: smaller after an inf or NaN, larger after ``interval`` without.

        ``tracker`` (int32) counts the steps since it last changed. Semantics: torch.amp.GradScaler.
        """
        xp, bad = self.xp, found != 0
        steps = xp.where(bad, 0, tracker + 1)
        grow = steps == interval
        larger = scale * np.float32(growth)
        larger = xp.where(grow & xp.isfinite(larger), larger, scale)
        scale[...] = xp.where(bad, scale * np.float32(backoff), larger)
        tracker[...] = xp.where(grow, 0, steps).astype(np.int32)
