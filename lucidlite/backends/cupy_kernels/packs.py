"""Elements that a thread loads and stores together, where they are aligned."""

from __future__ import annotations

from lucidlite.backends.kernels import Array

BYTES = 16  # what a GPU loads at once, at most


def pack_of(*arrays: Array, run: int) -> int:
    """How many of ``run`` neighbouring elements of an array make a pack; 1 for none.

    ``run`` is a multiple of it, and all arrays begin where a pack of the first may.
    """
    if not arrays:
        return 1
    pack: int = BYTES // arrays[0].itemsize
    if run % pack or any([a.data.ptr % BYTES for a in arrays]):
        return 1
    return pack
