"""GPU memory: what happens when there is none left, the most that was in use, pinned host memory.

CuPy asks one function for every piece of memory it uses, wherever it is. Ours stands in front of
the one that was there, so that no operation needs a handler of its own.
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from lucidlite.callsite import error

Host = np.ndarray[Any, Any]

_ADVICE = (
    "A smaller batch needs less; evaluation needs less under no_grad(); tensors of earlier steps "
    "that are still referenced (a list of losses instead of loss.item()) hold theirs; nvidia-smi "
    "lists what other programs hold"
)


class OutOfMemoryError(RuntimeError, MemoryError):
    """A GPU has no room for a tensor. Semantics: torch.cuda.OutOfMemoryError.

    The message says what was asked for, what is in use, and what to do.
    """


class Allocator:
    """Memory from ``inner``; OutOfMemoryError where it has none.

    ``peaks`` holds, for each device it has a key for, the most bytes ``pool`` had in use.
    """

    def __init__(self, cupy: Any, inner: Callable[[int], Any], pool: Any) -> None:
        self._cupy, self._inner, self._pool = cupy, inner, pool
        self.peaks: dict[int, int] = {}

    def __call__(self, size: int) -> Any:
        try:
            pointer = self._inner(size)
        except OutOfMemoryError:
            raise
        except MemoryError as problem:
            pointer = self._once_more(size, problem)
        if self.peaks:
            self._note()
        return pointer

    def _once_more(self, size: int, problem: MemoryError) -> Any:
        # Under a limit CuPy gives up without a look at the blocks it keeps for later.
        if self._pool.get_limit():
            gc.collect()
            self._pool.free_all_blocks()
            try:
                return self._inner(size)
            except MemoryError as again:
                problem = again
        raise out_of_memory(self._cupy, self._pool, size) from problem

    def _note(self) -> None:
        index = int(self._cupy.cuda.runtime.getDevice())
        if index in self.peaks:
            self.peaks[index] = max(self.peaks[index], int(self._pool.used_bytes()))


def install(cupy: Any) -> Allocator:
    """Put an Allocator in front of CuPy's present one, once."""
    present = cupy.cuda.get_allocator()
    if isinstance(present, Allocator):
        return present
    ours = Allocator(cupy, present, cupy.get_default_memory_pool())
    cupy.cuda.set_allocator(ours)
    return ours


def guarded(cupy: Any, pool: Any) -> Allocator:
    """An allocator for a pool of one's own, with the same errors."""
    return Allocator(cupy, pool.malloc, pool)


def out_of_memory(cupy: Any, pool: Any, size: int) -> OutOfMemoryError:
    """The error for ``size`` bytes that the current device has no room for."""
    runtime = cupy.cuda.runtime
    free, total = runtime.memGetInfo()
    used = int(pool.used_bytes())
    cached, limit = int(pool.total_bytes()) - used, int(pool.get_limit())
    allowed = f", of the {in_words(limit)} this process may take" if limit else ""
    return error(
        OutOfMemoryError,
        f"CUDA out of memory: tried to allocate {in_words(size)}, got {in_words(free)} free of "
        f"{in_words(total)} on cuda:{runtime.getDevice()}; tensors hold {in_words(used)}{allowed}, "
        f"{in_words(cached)} more are cached. {_ADVICE}",
    )


def in_words(count: int) -> str:
    """'1.50 GiB' for a number of bytes."""
    if count < 1024:
        return f"{count} bytes"
    power = min(int(math.log2(count)) // 10, 4)
    return f"{count / 1024**power:.2f} {'_KMGT'[power]}iB"


# -- pinned memory: the host's, but never swapped out, so that a GPU can copy it by itself ---------

_pinned: weakref.WeakValueDictionary[int, Host] = weakref.WeakValueDictionary()


def pinned_empty(cupy: Any, shape: tuple[int, ...], dtype: Any) -> Host:
    """An uninitialised host array in pinned memory, in C order."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if not size:
        return np.empty(shape, kind)
    try:
        memory = cupy.cuda.alloc_pinned_memory(size)
    except Exception as problem:  # CuPy's own class, which isn't public
        raise error(
            RuntimeError, f"pin_memory: the system gives no {in_words(size)} of it ({problem})"
        ) from problem
    array: Host = np.ndarray(shape, kind, buffer=memory)
    _pinned[id(array)] = array
    return array


def is_pinned(array: Any) -> bool:
    """Whether a host array lies in memory that ``pinned_empty`` gave."""
    while isinstance(array, np.ndarray):
        if _pinned.get(id(array)) is array:
            return True
        array = array.base
    return False
