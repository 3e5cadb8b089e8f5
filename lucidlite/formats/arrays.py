"""Arrays as the entries of a zip: NumPy's .npy, without the pickles that it allows."""

from __future__ import annotations

import math
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from lucidlite.formats.refused import Refused

KINDS = "biufcSUmM"  # NumPy dtype kinds whose `.npy` says everything; not objects or records
_CHUNK = 1 << 24
_MOST_EMPTY = 1 << 20
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def write_array(out: IO[bytes], array: np.ndarray) -> None:
    """Write a C-contiguous array."""
    npy.write_array(out, array, version=(1, 0), allow_pickle=False)


def read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """The array in an entry of ``size`` bytes: a new one, in the order it was written in."""
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"unknown .npy version {version}")
    try:
        shape, fortran, dtype = _HEADERS[version](stream)
    except MemoryError as problem:  # of Python's parser, by nested brackets
        raise ValueError(f"a header that is no description of an array ({problem!r})") from None
    if dtype.hasobject:
        raise Refused(
            "it holds an array of Python objects, which is a pickle, and unpickling can run code"
        )
    if dtype.kind not in KINDS or any(n < 0 for n in shape):
        raise ValueError(f"unexpected array: shape={shape}, dtype={dtype}")
    count = math.prod(shape)
    # Text of no characters takes no bytes, however often it stands there.
    too_many = not dtype.itemsize and count > _MOST_EMPTY
    if stream.tell() + count * dtype.itemsize != size or too_many:
        raise ValueError(f"array of shape={shape}, dtype={dtype} in an entry of {size} bytes")
    # Not empty(), which gives such text a character.
    array: np.ndarray = np.ndarray(shape, dtype, order="F" if fortran else "C")
    fill(array.T if fortran else array, stream)
    return array


def fill(array: np.ndarray, stream: IO[bytes]) -> None:
    """Read the bytes of a C-contiguous array, which reads a stream of this length to its end."""
    if not array.nbytes:
        return
    # In chunks, so that the data is in memory once.
    target: np.ndarray[Any, np.dtype[np.uint8]] = array.reshape(-1).view(np.uint8)
    done = 0
    while done < array.nbytes:
        chunk = stream.read(min(_CHUNK, array.nbytes - done))
        if not chunk:
            raise EOFError(f"the data ends after {done} of {array.nbytes} bytes")
        target[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
