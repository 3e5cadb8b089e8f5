"""Devices and their backends. CuPy is imported when a cuda device is first asked for."""

from __future__ import annotations

import importlib

from lucidlite.backends import cuda, cudnn, mps
from lucidlite.backends.base import Backend
from lucidlite.backends.numpy_backend import NumPyBackend
from lucidlite.device import Device, default_device

__all__ = [
    "Backend", "Device", "cpu", "cuda", "cudnn", "default_backend", "get_backend",
    "get_default_device", "mps", "select_cuda_device",
]  # fmt: skip

cpu = NumPyBackend()
_backends: dict[Device, Backend] = {cpu.device: cpu, Device("cpu", 0): cpu}


def get_backend(device: str | int | Device) -> Backend:
    """The backend of a device; RuntimeError that says what is missing where there is none."""
    if not isinstance(device, Device):
        device = Device(device)
    found = _backends.get(device)
    if found is None:
        # Its kernels load with it: importing lucidlite stays close to importing NumPy.
        gpu = importlib.import_module("lucidlite.backends.cupy_backend")
        made: Backend = gpu.make_backend(device)
        # "cuda" and "cuda:0" are one device, so one backend
        found = _backends[device] = _backends.setdefault(made.device, made)
    return found


def select_cuda_device(device: Device) -> None:
    """Make "cuda" name this GPU."""
    _backends[Device("cuda")] = get_backend(device)


def default_backend() -> Backend:
    """The backend of tensors that are made without saying where."""
    device = default_device()
    return cpu if device is None else get_backend(device)


def get_default_device() -> Device:
    """Where tensors are made unless they are told. Semantics: torch.get_default_device.

    >>> import lucidlite
    >>> with lucidlite.device("cpu"):
    ...     lucidlite.get_default_device()
    device(type='cpu')
    """
    return default_backend().device
