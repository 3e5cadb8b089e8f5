"""The C library's allocator, told to keep what a training step frees for the next step.

As it comes, glibc gives large blocks back to the system at once, and takes them again, page by
zeroed page, a moment later. From the first kernel on it keeps them, up to a bound: an array beyond
the bound, and what lies free beyond it at the top of the heap, still go back. Other systems are
left alone, and so is an allocator that the environment sets.
"""

from __future__ import annotations

import ctypes
import functools
import os

from lucidlite.callsite import error

# What <malloc.h> calls the settings.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

MOST_KEPT = 1 << 30
TOP_PAD = 1 << 26  # the heap grows by so much more than is asked for
# What glibc before 2.36 takes as the largest block to come from the heap.
OLD_MMAP_THRESHOLD = 1 << 25

_THEIRS = ("TRIM_THRESHOLD", "TOP_PAD", "MMAP_THRESHOLD", "MMAP_MAX")


@functools.cache
def keep_freed_memory() -> str:
    """Set the allocator up, once; returns what was done, for ``lucidlite doctor``.

    LUCIDLITE_MALLOC=default leaves it alone.
    """
    wish = os.environ.get("LUCIDLITE_MALLOC", "")
    if wish not in ("", "default"):
        raise error(
            RuntimeError, f"LUCIDLITE_MALLOC: expects 'default' or nothing at all, got {wish!r}"
        )
    if wish:
        return "left alone (LUCIDLITE_MALLOC=default)"
    tunables = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if tunables or any(f"MALLOC_{name}_" in os.environ for name in _THEIRS):
        return "left alone (the environment sets it)"
    try:
        library = ctypes.PyDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # other libraries' numbers mean other things
        mallopt = library.mallopt
    except (OSError, TypeError, AttributeError):
        return "left alone (not glibc)"
    most = bound()
    done = mallopt(_M_TRIM_THRESHOLD, most) and mallopt(_M_TOP_PAD, TOP_PAD)
    done = done and (
        mallopt(_M_MMAP_THRESHOLD, most) or mallopt(_M_MMAP_THRESHOLD, OLD_MMAP_THRESHOLD)
    )
    return f"keeps up to {most >> 20} MB of freed memory" if done else "left alone (refused)"


def bound() -> int:
    """1 GB, or an eighth of the memory there is if that is less."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return MOST_KEPT
    return min(MOST_KEPT, memory // 8) if memory > 0 else MOST_KEPT
