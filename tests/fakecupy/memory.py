"""Device memory as CuPy has it: pools of blocks that are kept for later, pointers, pinned memory.

Blocks lie in host memory, 512 bytes apart at least. What is around an array is filled with a
pattern that must still be there when the block is given back, and after each kernel that got it;
memory that nobody has written holds NaN.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fakecupy import races
from fakecupy.errors import CUDARuntimeError, OutOfMemoryError, StandInError
from fakecupy.machine import count, here, machine

UNIT = 512
GUARD = 512
MOST_KEPT = 256 << 20  # bytes of free blocks in a pool: the host's memory is finite too
_PATTERN = np.full(UNIT + GUARD, 0xA5, np.uint8)

allocated: dict[int, int] = defaultdict(int)  # bytes of each device


def _sanitizer(name: str) -> Any:
    """A function of the address sanitizer, where it is loaded."""
    function = getattr(ctypes.CDLL(None), f"__asan_{name}_memory_region", None)
    if function is not None:
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        function.restype = None
    return function


_poison, _unpoison = _sanitizer("poison"), _sanitizer("unpoison")


class Memory:
    """What cudaMalloc gives."""

    def __init__(self, size: int) -> None:
        self.size, self.device_id, self.ptr = size, here.device, 0
        self.used = size  # bytes an array has asked for
        self.writer: tuple[int, int] | None = None  # as races.py knows
        self.readers: dict[int, int] = {}
        self.captured = False  # a graph writes here whoever has it now, more than ``used`` perhaps
        if not size:
            self.bytes = np.empty(0, np.uint8)
            return
        if allocated[self.device_id] + size > machine.memory:
            raise CUDARuntimeError(2)
        allocated[self.device_id] += size
        self._whole = np.empty(size + 2 * GUARD + UNIT, np.uint8)
        first = -(-(self._whole.ctypes.data + GUARD) // UNIT) * UNIT - self._whole.ctypes.data
        self.bytes = self._whole[first : first + size]
        self.ptr = self.bytes.ctypes.data
        self._whole[:first] = self._whole[first + size :] = 0xA5
        self._before = self._whole[first - GUARD : first]
        self._after = self._whole[first : first + size + GUARD]
        self.bytes[:] = 0xFF
        if _poison:
            _poison(self._before.ctypes.data, GUARD)

    def __del__(self) -> None:
        if self.ptr:
            allocated[self.device_id] -= self.size
            if _unpoison:
                _unpoison(self._whole.ctypes.data, self._whole.size)

    def begin(self, used: int) -> None:
        """An array of ``used`` bytes moves in."""
        self.used = used = self.size if self.captured else used
        if _unpoison and self.ptr:
            _unpoison(self.ptr, used)
        elif self.ptr:
            self._after[used:] = 0xA5
        if _poison and self.ptr:
            _poison(self.ptr + used, self.size - used + GUARD)

    def capture(self) -> None:
        """It becomes part of a graph."""
        self.captured = True
        self.begin(self.size)

    def end(self) -> None:
        """And out: what it leaves is nobody's."""
        self.check()
        if self.ptr:
            if _unpoison:
                _unpoison(self.ptr, self.size)
            self.bytes[:] = 0xFF
            if _poison and not self.captured:
                _poison(self.ptr, self.size)

    def check(self) -> None:
        """StandInError if something was written beside the array."""
        if not self.ptr or _poison:
            return
        after = self._after[self.used :]
        if not np.array_equal(after, _PATTERN[: after.size]) or not np.array_equal(
            self._before, _PATTERN[:GUARD]
        ):
            self._before[:] = after[:] = 0xA5
            raise StandInError(f"written beside an array of {self.used} bytes on the device")

    @property
    def device(self) -> Any:
        from fakecupy.device import Device

        return Device(self.device_id)


class PooledMemory:
    """A pool's block, given back when nobody has it any more."""

    def __init__(self, block: Memory, pool: SingleDevicePool, key: Any) -> None:
        self.ptr, self.size, self.device_id = block.ptr, block.size, block.device_id
        self.bytes, self._block, self._key = block.bytes, block, key
        self.pool = weakref.ref(pool)

    begin = property(lambda self: self._block.begin)
    check = property(lambda self: self._block.check)
    capture = property(lambda self: self._block.capture)
    device = Memory.device

    def __del__(self) -> None:
        pool = self.pool()
        if pool is not None:
            pool.give_back(self._block, self._key)


class MemoryPointer:
    """A place in a piece of memory."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

    device = property(lambda self: self.mem.device)

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)


class SingleDevicePool:
    """The blocks of one device."""

    def __init__(self, allocator: Callable[[int], MemoryPointer]) -> None:
        self._allocator = allocator
        self.free: dict[Any, list[Memory]] = {}
        self.used = self.total = self.limit = 0

    def malloc(self, size: int) -> MemoryPointer:
        if not size:
            return MemoryPointer(Memory(0), 0)
        from fakecupy.streams import Stream

        rounded = -(-size // UNIT) * UNIT
        stream = here.streams.get(here.device)
        key = rounded, 0 if stream is None else stream.ptr
        kept = self.free.get(key)
        block = kept.pop() if kept else self._new(rounded)
        self.used += rounded
        block.begin(size)
        races.used(block, stream or Stream.null, writes=True)
        return MemoryPointer(PooledMemory(block, self, key), 0)

    def _new(self, size: int) -> Memory:
        if self.limit and self.total + size > self.limit:
            raise OutOfMemoryError(size, self.total, self.limit)
        for collect in (None, lambda: None, gc.collect):
            if collect is not None:
                collect()
                self.free_all_blocks()
            with contextlib.suppress(CUDARuntimeError):
                block = self._allocator(size).mem
                self.total += size
                return block  # type: ignore[no-any-return]
        raise OutOfMemoryError(size, self.total, self.limit)

    def give_back(self, block: Memory, key: Any) -> None:
        self.used -= block.size
        block.end()
        self.free.setdefault(key, []).append(block)
        if self.total - self.used > MOST_KEPT:
            self.free_all_blocks()

    def free_all_blocks(self) -> None:
        self.free.clear()
        self.total = self.used


class MemoryPool:
    """Pools of every device, that of the current one answers."""

    def __init__(self, allocator: Any = None) -> None:
        made = defaultdict(lambda: SingleDevicePool(allocator or _malloc))
        self._pools: dict[int, SingleDevicePool] = made

    def _pool(self) -> SingleDevicePool:
        return self._pools[here.device]

    def malloc(self, size: int) -> MemoryPointer:
        from fakecupy import streams

        if streams.current_capture() is not None and self is get_default_memory_pool():
            raise StandInError(
                "memory from the default pool while a graph is captured: it may be somebody else's "
                "when the graph is launched; using_allocator(pool.malloc) gives one of its own"
            )
        pointer = self._pool().malloc(size)
        if streams.current_capture() is not None:
            pointer.mem.capture()
        return pointer

    def free_all_blocks(self, stream: Any = None) -> None:
        del stream
        if self._pool().free:
            count("sync")
        self._pool().free_all_blocks()

    def used_bytes(self) -> int:
        return self._pool().used

    def free_bytes(self) -> int:
        return self._pool().total - self._pool().used

    def total_bytes(self) -> int:
        return self._pool().total

    def n_free_blocks(self) -> int:
        return sum(map(len, self._pool().free.values()))

    def get_limit(self) -> int:
        return self._pool().limit

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at one time")
        if fraction is not None:
            if not 0 <= fraction <= 1:
                raise ValueError(f"memory limit fraction out of range: {fraction}")
            size = int(fraction * machine.memory)
        if size is not None and size < 0:
            raise ValueError(f"memory limit size out of range: {size}")
        self._pool().limit = size or 0


def _malloc(size: int) -> MemoryPointer:
    return MemoryPointer(Memory(size), 0)


_default = [MemoryPool()]
_allocator: list[Any] = [_default[0].malloc]


def reset() -> None:
    """A new default pool."""
    _default[0] = MemoryPool()
    _allocator[0] = _default[0].malloc
    here.allocator = None


def get_default_memory_pool() -> MemoryPool:
    return _default[0]


def alloc(size: int) -> MemoryPointer:
    return get_allocator()(size)  # type: ignore[no-any-return]


def get_allocator() -> Any:
    return here.allocator or _allocator[0]


def set_allocator(allocator: Any = None) -> None:
    if here.allocator is not None:
        raise ValueError("Can't change the global allocator inside `using_allocator` context "
                         "manager")  # fmt: skip
    _allocator[0] = allocator or _malloc


@contextlib.contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    before, here.allocator = here.allocator, allocator or _malloc
    try:
        yield
    finally:
        here.allocator = before
