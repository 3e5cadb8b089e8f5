"""Apple's Metal, which scripts ask about: there is no such backend here."""

from __future__ import annotations


def is_available() -> bool:
    """False: lucidlite computes on the CPU and, through CuPy, on NVIDIA GPUs."""
    return False


def is_built() -> bool:
    """False, as ``is_available``."""
    return False
