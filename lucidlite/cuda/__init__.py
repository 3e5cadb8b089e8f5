"""``torch.cuda``'s names: GPU lines of ordinary scripts work, or say False or 0 without one."""

from __future__ import annotations

from typing import Any, NamedTuple

from lucidlite.backends import get_backend, select_cuda_device
from lucidlite.backends.cupy_kernels.memory import OutOfMemoryError, install
from lucidlite.backends.cupy_kernels.probe import find_cupy
from lucidlite.callsite import error
from lucidlite.cuda import amp
from lucidlite.cuda.graph import make_graphed_step
from lucidlite.cuda.streams import Event, Stream, current_stream, default_stream, stream
from lucidlite.device import Device
from lucidlite.generator import default_generator

__all__ = [
    "DeviceProperties", "Event", "OutOfMemoryError", "Stream", "amp", "current_device",
    "current_stream", "default_stream", "device", "device_count", "empty_cache",
    "get_device_capability", "get_device_name", "get_device_properties", "init", "is_available",
    "is_bf16_supported", "is_initialized", "make_graphed_step", "manual_seed",
    "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "mem_get_info",
    "memory_allocated", "memory_reserved", "reset_peak_memory_stats", "set_device", "stream",
    "synchronize",
]  # fmt: skip

Place = int | str | Device | None


class DeviceProperties(NamedTuple):
    """What a GPU is. ``total_memory`` is in bytes."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    warp_size: int
    L2_cache_size: int


def is_available() -> bool:
    """Whether a GPU answers and CuPy can compute on it (not merely whether CuPy is installed)."""
    return find_cupy()[0] is not None


def device_count() -> int:
    """The number of GPUs that answer."""
    cupy = find_cupy()[0]
    return 0 if cupy is None else int(cupy.cuda.runtime.getDeviceCount())


def init() -> None:
    """Start the current GPU now instead of at its first tensor. Semantics: torch.cuda.init."""
    get_backend("cuda")


def is_initialized() -> bool:
    """Whether a GPU could be used at once; here the same as ``is_available``."""
    return is_available()


# -- which device ----------------------------------------------------------------------------------


def current_device() -> int:
    """The index of the GPU that 'cuda' names."""
    return get_backend("cuda").device.index or 0


def set_device(device: Place) -> None:
    """Make 'cuda' name this GPU, in all threads. Semantics: torch.cuda.set_device.

    RuntimeError where there is no such GPU, ValueError for a device of another kind.
    """
    select_cuda_device(_cuda("set_device", device))


class device:
    """``with cuda.device(1):`` 'cuda' names that GPU in the block, in all threads.

    None leaves it as it is. Semantics: torch.cuda.device.
    """

    def __init__(self, device: Place) -> None:
        self._wanted = None if device is None else _cuda("device", device)
        self._before: list[int] = []

    def __enter__(self) -> None:
        self._before.append(current_device())
        if self._wanted is not None:
            select_cuda_device(self._wanted)

    def __exit__(self, *exc: object) -> None:
        select_cuda_device(Device("cuda", self._before.pop()))


def _cuda(op: str, device: Place) -> Device:
    place = Device("cuda" if device is None else device)
    if place.type != "cuda":
        raise error(ValueError, f"cuda.{op}: expected a cuda device, got device={str(place)!r}")
    return place


def _backend(op: str, device: Place) -> Any:
    return get_backend(_cuda(op, device))


# -- what it is ------------------------------------------------------------------------------------


def get_device_properties(device: Place = None) -> DeviceProperties:
    """Name, compute capability and size of a GPU. Semantics: torch.cuda.get_device_properties."""
    backend = _backend("get_device_properties", device)
    found = backend.xp.cuda.runtime.getDeviceProperties(backend.device.index)
    name = found["name"]
    return DeviceProperties(
        name.decode() if isinstance(name, bytes) else str(name),
        int(found["major"]), int(found["minor"]), int(found["totalGlobalMem"]),
        int(found["multiProcessorCount"]), int(found["warpSize"]), int(found["l2CacheSize"]),
    )  # fmt: skip


def get_device_name(device: Place = None) -> str:
    """'NVIDIA H100 80GB HBM3', for one. Semantics: torch.cuda.get_device_name."""
    return get_device_properties(device).name


def get_device_capability(device: Place = None) -> tuple[int, int]:
    """(9, 0), for one. Semantics: torch.cuda.get_device_capability."""
    found = get_device_properties(device)
    return found.major, found.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: there is no bfloat16 here; float16 is what ``amp`` computes in."""
    del including_emulation
    return False


# -- memory ----------------------------------------------------------------------------------------


def memory_allocated(device: Place = None) -> int:
    """Bytes that tensors hold on a GPU; 0 without one. Semantics: torch.cuda.memory_allocated."""
    return _pool_bytes("memory_allocated", device, "used_bytes")


def memory_reserved(device: Place = None) -> int:
    """Bytes taken from the driver, those kept for later included; 0 without a GPU.

    Semantics: torch.cuda.memory_reserved.
    """
    return _pool_bytes("memory_reserved", device, "total_bytes")


def _pool_bytes(op: str, device: Place, name: str) -> int:
    if not is_available():
        return 0
    backend = _backend(op, device)
    # Captured steps have memory of their own.
    pools = [pool for _, pool in getattr(backend, "pools", ())]
    pools.append(backend.enter().get_default_memory_pool())
    return sum(int(getattr(pool, name)()) for pool in pools)


def reset_peak_memory_stats(device: Place = None) -> None:
    """Count the peak from here on. Semantics: torch.cuda.reset_peak_memory_stats."""
    if is_available():
        backend = _backend("reset_peak_memory_stats", device)
        now = memory_allocated(backend.device)
        install(backend.enter()).peaks[backend.device.index] = now


def max_memory_allocated(device: Place = None) -> int:
    """The most bytes that tensors held since ``reset_peak_memory_stats``; 0 without a GPU.

    Before its first call nobody counts (a look at each allocation costs time), and this is what was
    taken from the driver, which is at least as much. Semantics: torch.cuda.max_memory_allocated.
    """
    if not is_available():
        return 0
    backend = _backend("max_memory_allocated", device)
    peak = install(backend.enter()).peaks.get(backend.device.index)
    return memory_reserved(backend.device) if peak is None else peak


def max_memory_reserved(device: Place = None) -> int:
    """The most bytes taken from the driver since the last ``empty_cache``; 0 without a GPU."""
    return memory_reserved(device)


def mem_get_info(device: Place = None) -> tuple[int, int]:
    """(free, total) bytes of a GPU, as its driver sees them. Semantics: torch.cuda.mem_get_info."""
    free, total = _backend("mem_get_info", device).xp.cuda.runtime.memGetInfo()
    return int(free), int(total)


def empty_cache() -> None:
    """Return cached memory of the current GPU to the driver; nothing to do without one."""
    if is_available():
        cupy: Any = get_backend("cuda").xp
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()


# -- time and chance -------------------------------------------------------------------------------


def synchronize(device: Place = None) -> None:
    """Wait until a GPU has finished what it was given. Semantics: torch.cuda.synchronize."""
    _backend("synchronize", device).synchronize()


def manual_seed(seed: int) -> None:
    """Seed the one generator that every device draws from."""
    default_generator.manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the one generator that every device draws from."""
    default_generator.manual_seed(seed)
