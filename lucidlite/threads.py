"""Threads for the CPU's kernels: work cut in parts, the caller doing its share.

NumPy lets go of the interpreter's lock inside its loops and products, so a few large calls a thread
run side by side. What is cut where depends on the shapes and on the number of threads alone, never
on who has time: the same call gives the same bits, whatever else runs.

BLAS runs one thread inside (two kinds of threads would fight for the cores): it is told so at the
first product, and told its own number again by ``set_num_threads(1)``. From then on it is told so
at the start of each kernel, and its own number at the end: with two threads it gives other bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucidlite.blas import blas
from lucidlite.callsite import error
from lucidlite.malloc import keep_freed_memory
from lucidlite.workers import local, pool

# Elements passed over below which work isn't worth a hand-over: at 0.1 ns each, two threads come
# out even with one at about this many.
WORTH_SHARING = 1 << 20

Part = tuple[int, int]


def parallel(work: Callable[[Any], Any], parts: Sequence[Any]) -> None:
    """``work(part)`` for every part, side by side where this thread can have the pool.

    Returns when all are done, and so does an exception from one of them: it is raised here. A call
    inside a call, from ``stay_alone`` or while another thread has the pool does all in order.
    """
    count = min(len(parts), get_num_threads())
    if count < 2 or local.alone:
        for part in parts:
            work(part)
    else:
        blas.take()
        pool.run(work, parts, count)


def cut(rows: int, row_cost: int = WORTH_SHARING) -> list[Part]:
    """0..rows as one (first, end) range a thread; fewer, or one, where the work is little.

    ``row_cost`` is about how many elements are passed over in a row: its size times the passes.
    A multiply-add in a product costs a tenth of an element.
    """
    # From this much on two threads, three from half as much again.
    count = min(rows, get_num_threads(), int(rows * row_cost * 2) // WORTH_SHARING)
    if count < 2:
        return [(0, rows)]
    return [(rows * i // count, rows * (i + 1) // count) for i in range(count)]


def stay_alone() -> None:
    """Keep this thread off the pool from now on: a loader's must not hold up the training."""
    local.alone = True


def take_blas() -> None:
    """Before a product: from now on BLAS runs one thread, if kernels run several."""
    if get_num_threads() > 1:
        blas.take()


def get_num_threads() -> int:
    """How many threads a kernel on the CPU uses, the calling one included.

    At first LUCIDLITE_NUM_THREADS, else OMP_NUM_THREADS, else the number of cores this process may
    use; always 1 where NumPy's BLAS is not an OpenBLAS, which alone can be told to leave the cores
    to these threads.

    >>> import lucidlite
    >>> lucidlite.get_num_threads() >= 1
    True

    Semantics: torch.get_num_threads.
    """
    return pool.count or _first_count()


def set_num_threads(num_threads: int) -> None:
    """Let kernels on the CPU use so many threads, the calling one included.

    With more than one, NumPy's OpenBLAS is set to one thread at the first product, also for
    products of your own; ``set_num_threads(1)`` gives it back the number it had. Where NumPy has
    another BLAS the number stays 1. RuntimeError for anything but a positive int.

    Weight gradients may differ in the last digits between numbers of threads; all else is the same
    bit for bit.

    >>> import lucidlite
    >>> before = lucidlite.get_num_threads()
    >>> lucidlite.set_num_threads(1)
    >>> lucidlite.get_num_threads()
    1
    >>> lucidlite.set_num_threads(before)

    Semantics: torch.set_num_threads.
    """
    if isinstance(num_threads, bool) or not isinstance(num_threads, (int, np.integer)):
        raise error(
            RuntimeError,
            f"set_num_threads: expects an int, got num_threads={num_threads!r}",
        )
    if num_threads < 1:
        raise error(
            RuntimeError,
            f"set_num_threads: expects a positive integer, got num_threads={num_threads}",
        )
    _settle(int(num_threads))
    if num_threads == 1:
        blas.give_back()


def _settle(count: int) -> int:
    """What waits for the first kernel (importing lucidlite changes nothing in the process)."""
    keep_freed_memory()
    pool.resize(count if blas.known else 1)
    return pool.count


def _first_count() -> int:
    for name in ("LUCIDLITE_NUM_THREADS", "OMP_NUM_THREADS"):
        # OMP_NUM_THREADS may be a list: a number a nesting level.
        value = os.environ.get(name, "").partition(",")[0].strip()
        if value.isdecimal() and int(value) > 0:
            return _settle(int(value))
        if value and name == "LUCIDLITE_NUM_THREADS":
            raise error(
                RuntimeError,
                f"LUCIDLITE_NUM_THREADS: expects a positive integer, got {os.environ[name]!r}",
            )
    return _settle(cores())


def cores() -> int:
    """The cores this process may run on; two hardware threads of one core count once."""
    try:
        mine = os.sched_getaffinity(0)
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
    found = set()
    for cpu in mine:
        try:
            found.add(_read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
        except OSError:
            found.add(str(cpu))
    return min(len(found), _allowance())


def _allowance() -> int:
    """The CPUs' worth of time a container's limit allows, a started one in full."""
    groups = "/sys/fs/cgroup"
    old = f"{groups}/cpu/cpu.cfs"
    for paths in ((f"{groups}/cpu.max",), (f"{old}_quota_us", f"{old}_period_us")):
        try:
            quota, period = map(int, " ".join(map(_read, paths)).split())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if quota > 0 and period > 0:
            return math.ceil(quota / period)
    return 1 << 16


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
