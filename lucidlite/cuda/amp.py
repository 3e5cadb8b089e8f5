"""Mixed precision on a GPU by its older names, ``torch.cuda.amp``'s: ``lucidlite.amp`` for "cuda".

As PyTorch's: ``autocast(enabled, dtype, cache_enabled)``, ``GradScaler(init_scale, ...)``, and
``custom_fwd`` and ``custom_bwd`` without a device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucidlite import amp
from lucidlite.dtypes import dtype, float16

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


class autocast(amp.autocast):
    """``lucidlite.autocast("cuda", dtype, enabled)``. Semantics: torch.cuda.amp.autocast."""

    def __init__(
        self, enabled: bool = True, dtype: dtype = float16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """``lucidlite.amp.GradScaler("cuda", ...)``. Semantics: torch.cuda.amp.GradScaler."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, cast_inputs: dtype | None = None
) -> Any:
    """``lucidlite.amp.custom_fwd`` for "cuda"."""
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable[..., Any] | None = None) -> Any:
    """``lucidlite.amp.custom_bwd`` for "cuda"."""
    return amp.custom_bwd(bwd, device_type="cuda")
