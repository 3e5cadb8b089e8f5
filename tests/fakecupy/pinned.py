"""Pinned memory: the host's, but a GPU copies from it and to it by itself, later."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from fakecupy.errors import StandInError

UNIT = 512
_living: weakref.WeakSet[PinnedMemoryPointer] = weakref.WeakSet()


class PinnedMemoryPointer(bytearray):
    """A block of pinned memory, read and written through the buffer protocol."""

    __hash__ = object.__hash__

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.ptr = np.frombuffer(self, np.uint8).ctypes.data if size else 0
        self._size = size
        self.mem = self
        _living.add(self)

    def size(self) -> int:
        return self._size


class PinnedMemoryPool:
    """Blocks of pinned memory; unlike CuPy's, without those kept for later."""

    def __init__(self, allocator: Callable[[int], Any] = PinnedMemoryPointer) -> None:
        self._allocator = allocator

    def malloc(self, size: int) -> Any:
        return self._allocator(-(-size // UNIT) * UNIT)

    def free_all_blocks(self) -> None:
        pass

    def n_free_blocks(self) -> int:
        return 0


_pool = PinnedMemoryPool()
_allocator: list[Callable[[int], Any]] = [_pool.malloc]


def alloc_pinned_memory(size: int) -> Any:
    return _allocator[0](size)


def set_pinned_memory_allocator(allocator: Any = None) -> None:
    _allocator[0] = allocator or PinnedMemoryPointer


def get_default_pinned_memory_pool() -> PinnedMemoryPool:
    return _pool


def is_pinned(host: np.ndarray) -> bool:
    address = host.ctypes.data
    return any(each.ptr <= address < each.ptr + each._size for each in list(_living))


def unchanged(source: np.ndarray, sent: np.ndarray) -> Callable[[], None]:
    """Work for when the host has waited for a copy: it must have left the source alone."""

    def check() -> None:
        if source.tobytes() != sent.tobytes():
            raise StandInError("pinned memory was written before the copy from it had ended: wait "
                               "for an event that is recorded after the copy")  # fmt: skip

    return check


def _shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    shape = _shape(shape)
    memory = alloc_pinned_memory(math.prod(shape) * np.dtype(dtype).itemsize)
    return np.ndarray(shape, dtype, memory, order=order)  # type: ignore[call-overload,no-any-return]


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    out = empty_pinned(shape, dtype, order)
    out[...] = 0
    return out


def empty_like_pinned(a: Any, dtype: Any = None, order: str = "K", subok: Any = None,
                      shape: Any = None) -> np.ndarray:  # fmt: skip
    if subok is not None:
        raise TypeError("subok is not supported yet")
    strides = np.empty_like(np.empty(a.shape, a.dtype) if order != "K" else _like(a), dtype, order)
    out = empty_pinned(strides.size if shape is None else math.prod(_shape(shape)), strides.dtype)
    if shape is not None:
        return out.reshape(shape)
    return np.ndarray(strides.shape, strides.dtype, out, strides=strides.strides)


def _like(a: Any) -> np.ndarray:
    return a if isinstance(a, np.ndarray) else a._host  # type: ignore[no-any-return]


def zeros_like_pinned(a: Any, dtype: Any = None, order: str = "K", subok: Any = None,
                      shape: Any = None) -> np.ndarray:  # fmt: skip
    out = empty_like_pinned(a, dtype, order, subok, shape)
    out[...] = 0
    return out


