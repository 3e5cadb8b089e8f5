"""Devices and their backends. CuPy is imported when a cuda device is first asked for."""

from __future__ import annotations

from lucidlite.backends import cudnn, mps
from lucidlite.backends.base import Backend
from lucidlite.backends.cupy_backend import make_backend
from lucidlite.backends.numpy_backend import NumPyBackend
from lucidlite.device import Device

__all__ = ["Backend", "Device", "cpu", "cudnn", "get_backend", "mps"]

cpu = NumPyBackend()
_backends: dict[Device, Backend] = {cpu.device: cpu, Device("cpu", 0): cpu}


def get_backend(device: str | int | Device) -> Backend:
    """The backend of a device; RuntimeError that says what is missing where there is none."""
    if not isinstance(device, Device):
        device = Device(device)
    found = _backends.get(device)
    if found is None:
        made = make_backend(device)
        # "cuda" and "cuda:0" are one device, so one backend
        found = _backends[device] = _backends.setdefault(made.device, made)
    return found
