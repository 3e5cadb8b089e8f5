"""GPU lines of ordinary scripts: they work, or say False, without one."""

from __future__ import annotations

from typing import Any

from lucidlite.backends import get_backend
from lucidlite.backends.cupy_backend import find_cupy
from lucidlite.generator import default_generator


def is_available() -> bool:
    """Whether a GPU answers through CuPy (not merely whether CuPy can be imported)."""
    return find_cupy()[0] is not None


def device_count() -> int:
    """The number of GPUs that answer."""
    cupy = find_cupy()[0]
    return 0 if cupy is None else int(cupy.cuda.runtime.getDeviceCount())


def current_device() -> int:
    """The index of the GPU that 'cuda' names."""
    return get_backend("cuda").device.index or 0


def synchronize(device: Any = None) -> None:
    """Wait until a GPU has finished what it was given."""
    get_backend("cuda" if device is None else device).synchronize()


def manual_seed(seed: int) -> None:
    """Seed the one generator that every device draws from."""
    default_generator.manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the one generator that every device draws from."""
    default_generator.manual_seed(seed)


def empty_cache() -> None:
    """Return cached GPU memory to the driver; nothing to do without a GPU."""
    cupy = find_cupy()[0]
    if cupy is not None:
        cupy.get_default_memory_pool().free_all_blocks()
