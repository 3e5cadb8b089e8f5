"""PNG files from arrays of bytes: the few lines of the format that pictures here need."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

# What a pixel holds, by the last axis: grey, RGB or RGBA. 3 stands for an index into a palette.
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
_PALETTE = 3


def encode(pixels: np.ndarray[Any, Any], palette: np.ndarray[Any, Any] | None = None) -> bytes:
    """A PNG of uint8 ``pixels``: (height, width), or (height, width, 3 or 4) for RGB and RGBA.

    With ``palette`` (up to 256 rows of RGBA) the pixels are (height, width) row numbers in it.

    >>> encode(np.zeros((2, 3), np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    height, width = pixels.shape[:2]
    depth = pixels.shape[2] if pixels.ndim == 3 else 1
    kind = _COLOUR_TYPES[depth] if palette is None else _PALETTE
    # Each row begins with the number of its filter: 0, none.
    rows = np.zeros((height, 1 + width * depth), np.uint8)
    rows[:, 1:] = pixels.reshape(height, width * depth)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    if palette is not None:
        chunks.append((b"PLTE", palette[:, :3].astype(np.uint8).tobytes()))
        chunks.append((b"tRNS", palette[:, 3].astype(np.uint8).tobytes()))
    chunks.append((b"IDAT", zlib.compress(rows.tobytes(), 9)))
    chunks.append((b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
