"""The IDX format, in which MNIST and its relatives are published, read strictly."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lucidlite.callsite import error

# The third byte of a file names the type of its elements; they are big-endian.
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, plain or gzip-compressed (told apart by content, not by name).

    The file is two zero bytes, a type byte, the number of dimensions, one big-endian 32-bit size
    per dimension, then the elements in C order. The result is writable and of native byte order.

    Raises RuntimeError, naming the file, for a wrong magic number, a damaged gzip stream, and data
    shorter or longer than the sizes promise.
    """
    path = Path(path)
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not zipped:
            return _parse(file, path)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _parse(stream, path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
            raise error(
                RuntimeError, f"read_idx: {path} is a damaged gzip file ({problem}); fetch it again"
            ) from None


def _parse(stream: IO[bytes] | gzip.GzipFile, path: Path) -> NDArray[Any]:
    head = bytes(_read(stream, 4))
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not 1 <= head[3] <= 8:
        raise error(
            RuntimeError,
            f"read_idx: {path} is no IDX file (it must begin 00 00 TYPE DIMENSIONS), "
            f"got first bytes {head.hex(' ') or 'none'}",
        )
    dtype, dims = np.dtype(_TYPES[head[2]]), head[3]
    sizes = bytes(_read(stream, 4 * dims))
    if len(sizes) < 4 * dims:
        raise error(RuntimeError, f"read_idx: {path} ends within its header; fetch it again")
    shape = struct.unpack(f">{dims}I", sizes)
    promised = math.prod(shape) * dtype.itemsize
    data = _read(stream, promised)
    if len(data) < promised:
        raise error(
            RuntimeError,
            f"read_idx: {path} is truncated: shape {shape} takes {promised} bytes, "
            f"got {len(data)}; fetch it again",
        )
    # Reading on to the end also makes gzip compare its checksum.
    if stream.read(1):
        raise error(
            RuntimeError,
            f"read_idx: {path} is too long: data go on after the {promised} bytes of shape {shape}",
        )
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read(stream: IO[bytes] | gzip.GzipFile, count: int) -> bytearray:
    """Up to ``count`` bytes, in pieces: a header may promise more than the memory holds."""
    data = bytearray()
    while len(data) < count:
        piece = stream.read(min(_CHUNK, count - len(data)))
        if not piece:
            break
        data += piece
    return data
