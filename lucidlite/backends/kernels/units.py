"""Activation functions and their gradients: chains of functions, run on whole arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.chains import GRADIENTS, VALUES, Chain


class UnitKernels:
    """Chains on whole arrays of floats; float16 is computed in float32 and rounded once."""

    xp: Any
    cast: Any
    constant: Any
    contiguous: Any
    images: Any
    in_conv_layout: Any
    seen: Any

    def unit(self, name: str, x: Array, numbers: Sequence[float] = ()) -> Array:
        """The activation ``name`` of an array, with its parameters."""
        return self._chained(VALUES[name], (x,), numbers)

    def unit_grad(
        self, name: str, g: Array, x: Array, numbers: Sequence[float] = (), out: Array | None = None
    ) -> Array:
        """The gradient ``g`` times the activation's slope at ``x``, of one shape and dtype.

        ``out``, ``g`` itself, may be written to.
        """
        return self._chained(GRADIENTS[name], (g, x), numbers, out)

    def _chained(
        self,
        chain: Chain,
        arrays: tuple[Array, ...],
        numbers: Sequence[float] = (),
        out: Array | None = None,
    ) -> Array:
        """What a chain makes of arrays of one shape and dtype, in the memory order of the last."""
        del out
        x = arrays[-1]
        turned = x.ndim == 4 and self.in_conv_layout(x) and not x.flags.c_contiguous
        inner = [self.images(a) if turned else self.contiguous(a) for a in arrays]
        half = x.dtype.char == "e"
        kind = np.dtype(np.float32) if half else x.dtype
        flat = [a.reshape(-1).astype(kind, copy=False) for a in inner]
        result = self.xp.empty(x.size, kind)
        chain(self, *flat, *numbers, out=result)
        result = self.cast(result, x.dtype) if half else result
        result = result.reshape(inner[-1].shape)
        return self.seen(result) if turned else result

    def _keep(self, mask: Array, x: Array, out: Array) -> None:
        """Write ``x`` where ``mask`` is True, else 0, to ``out``, which may be ``x``."""
        out[...] = self.xp.where(mask, x, self.constant(0, x.dtype))
