"""Small pictures of host arrays: planes side by side, in grey, blue-white-red or colour.

One pixel an element: whoever shows a picture magnifies it. What is not finite is magenta, the
pixel between two planes transparent.
"""

from __future__ import annotations

import binascii
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from lucidlite.png import encode

Array = np.ndarray[Any, Any]

# Rows of a palette that are no level.
LINE, MARK, NOT_FINITE, GAP = 252, 253, 254, 255
_LEVELS = 251  # an odd number, so that 0 has a level of its own in the middle

_BLACK, _WHITE, _BLUE, _RED = (0, 0, 0), (255, 255, 255), (33, 102, 172), (178, 24, 43)
_STEEL, _ORANGE, _MAGENTA = (70, 110, 160), (255, 127, 14), (230, 0, 230)
# Stops of palettes.
GREY, _DIVERGING = (_BLACK, _WHITE), (_BLUE, _WHITE, _RED)


class Picture(NamedTuple):
    """A PNG with what it shows: ``low`` and ``high`` are the values at the ends of its scale.

    ``scale`` is "grey" (black to white), "diverging" (blue, white at 0, red), "colour" (three
    channels as red, green and blue) or "windows".
    """

    png: bytes
    width: int
    height: int
    low: float | None
    high: float | None
    scale: str

    @property
    def src(self) -> str:
        """The picture as an ``<img>``'s address."""
        text = binascii.b2a_base64(self.png, newline=False).decode("ascii")
        return f"data:image/png;base64,{text}"


def planes(values: Array, scale: str, columns: int | None = None) -> Picture:
    """(n, height, width) values as n tiles on one scale, "grey" or "diverging"."""
    low, high = limits(values)
    if scale == "diverging" and low is not None and high is not None:
        high = max(-low, high)
        low = -high
    whole = tiled(levels(values, low, high), columns, GAP)
    png = encode(whole, palette(*(_DIVERGING if scale == "diverging" else GREY)))
    height, width = whole.shape
    return Picture(png, width, height, low, high, scale)


def colours(values: Array, columns: int | None = None) -> Picture:
    """(n, 3, height, width) values as n tiles, the channels as red, green and blue."""
    low, high = (0.0, 255.0) if values.dtype == np.uint8 else limits(values)
    shades = levels(values, low, high, 255)
    strange: Array = np.any(~np.isfinite(values), axis=1)
    tiles = []
    for each, wrong in zip(shades, strange, strict=True):
        pixels = np.full((*each.shape[1:], 4), 255, np.uint8)
        pixels[..., :3] = each.transpose(1, 2, 0)
        pixels[wrong, :3] = _MAGENTA
        tiles.append(pixels)
    whole = tiled(np.stack(tiles), columns, 0)
    height, width = whole.shape[:2]
    png = encode(whole)
    return Picture(png, width, height, low, high, "colour")


def limits(values: Array) -> tuple[float | None, float | None]:
    """The least and the largest finite value; None twice where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (None, None)


def tiled(tiles: Array, columns: int | None, gap: int) -> Array:
    """(n, height, width, ...) tiles as one array, a pixel of ``gap`` between two.

    Without ``columns`` there are about as many of them as rows.
    """
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    rows = -(-len(tiles) // columns)
    height, width = tiles.shape[1:3]
    shape = rows * (height + 1) - 1, columns * (width + 1) - 1, *tiles.shape[3:]
    whole = np.full(shape, gap, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        whole[top : top + height, left : left + width] = tile
    return whole


def levels(values: Array, low: float | None, high: float | None, top: int = _LEVELS - 1) -> Array:
    """Each value's place between ``low`` and ``high`` as 0 to ``top``; the middle if they meet."""
    wide = values.astype(np.float64)
    finite = np.isfinite(wide)
    if low is None or high is None or low == high:
        found = np.full(values.shape, (top + 1) // 2, np.uint8)
    else:
        half = high / 2 - low / 2  # halves: a difference could be more than a float holds
        share = (np.where(finite, wide, low) / 2 - low / 2) / half
        found = np.rint(share * top).clip(0, top).astype(np.uint8)
    if top < NOT_FINITE:
        found[~finite] = NOT_FINITE
    return found


@cache
def palette(*stops: tuple[int, int, int]) -> Array:
    """256 rows of RGBA: the levels from stop to stop, then those that are no level."""
    rows = np.zeros((256, 4), np.uint8)
    rows[:, 3] = 255
    at = np.linspace(0, _LEVELS - 1, len(stops))
    for channel in range(3):
        ends = [stop[channel] for stop in stops]
        rows[:_LEVELS, channel] = np.rint(np.interp(np.arange(_LEVELS), at, ends))
    rows[LINE, :3], rows[MARK, :3], rows[NOT_FINITE, :3] = _STEEL, _ORANGE, _MAGENTA
    rows[GAP] = 0
    return rows


def shown(count: int, total: int, what: str) -> str:
    """'16 of 64 channels', or '3 channels' where all are shown."""
    part = f"{count} of {total}" if count < total else str(total)
    return f"{part} {what}{'s' if total != 1 else ''}"


def thinned(step: int) -> str:
    """How a caption says that only every so many rows and columns are there."""
    return f", 1 of {step} rows and columns" if step > 1 else ""
