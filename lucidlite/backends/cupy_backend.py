"""NVIDIA GPUs: CuPy, with every kernel as ``base.py`` has it. CuPy is imported on first use."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.backends.base import Backend
from lucidlite.backends.kernels import Array
from lucidlite.callsite import error
from lucidlite.device import Device


class CuPyBackend(Backend):
    """CuPy on one device."""

    def __init__(self, cupy: Any, device: Device) -> None:
        self.xp = cupy
        self.device = device

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        return self.xp.asnumpy(array)  # type: ignore[no-any-return]

    def synchronize(self) -> None:
        self.xp.cuda.Stream.null.synchronize()


def find_cupy() -> tuple[Any, str]:
    """The cupy module and '', or None and what is missing to use a GPU."""
    try:
        import cupy
    except ImportError:
        return None, "CuPy is not installed: pip install 'lucidlite[cuda13]' (or [cuda12])"
    if not cupy.is_available():
        return None, "CuPy is installed, but no CUDA device answers (is the NVIDIA driver there?)"
    return cupy, ""


def make_backend(device: Device) -> CuPyBackend:
    """The backend of a cuda device, or RuntimeError with what is missing."""
    cupy, missing = find_cupy()
    if cupy is None:
        raise error(RuntimeError, f"device: '{device}' needs a GPU through CuPy. {missing}")
    count = cupy.cuda.runtime.getDeviceCount()
    index = device.index or 0
    if index >= count:
        raise error(RuntimeError, f"device: invalid device ordinal, got {device}, {count} there")
    return CuPyBackend(cupy, Device("cuda", index))
