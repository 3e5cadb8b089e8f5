"""Which accelerator there is, as ``torch.accelerator`` asks: CUDA through CuPy, or none."""

from __future__ import annotations

from lucidlite.cuda import device_count, is_available
from lucidlite.device import Device

__all__ = ["current_accelerator", "device_count", "is_available"]


def current_accelerator(check_available: bool = False) -> Device | None:
    """The accelerator's device, None where nothing answers.

    Only a device that answers is ever named, so ``check_available`` makes no difference.
    """
    del check_available
    return Device("cuda") if is_available() else None
