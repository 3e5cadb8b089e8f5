"""The kernels, one mixin class a family, written on ``xp`` so that NumPy and CuPy both run them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

# An array of the library the backend is bound to.
Array = Any

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def hwnc(array: Array) -> Array:
    """An (N, C, H, W) array seen as (H, W, N, C), the memory order of conv layout; no copy."""
    return array.transpose(2, 3, 0, 1)


# The same permutation leads back.
nchw = hwnc


def in_float32(kernel: Kernel) -> Kernel:
    """Let a kernel compute on float32 copies of float16 arrays and round its results once.

    Only the arrays it is given and returns directly are converted: what else it returns (a state)
    stays as it is. The first argument is an array and tells the dtype of all.
    """

    @wraps(kernel)
    def widened(self: Any, *args: Any) -> Any:
        if args[0].dtype.char != "e":
            return kernel(self, *args)
        half, single = self.xp.float16, self.xp.float32
        wide = (a.astype(single) if getattr(a, "dtype", None) == half else a for a in args)
        results = kernel(self, *wide)
        if not isinstance(results, tuple):
            return self.cast(results, half)
        return tuple(
            self.cast(r, half) if getattr(r, "dtype", None) == single else r for r in results
        )

    return cast(Kernel, widened)
