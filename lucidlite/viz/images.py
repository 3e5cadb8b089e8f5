"""The pictures of a page: feature maps, filters, pooling windows and gradients of 4-D tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from lucidlite.backends import Backend
from lucidlite.pictures import (
    GAP,
    GREY,
    LINE,
    MARK,
    Array,
    Picture,
    colours,
    levels,
    limits,
    palette,
    planes,
    shown,
    thinned,
    tiled,
)
from lucidlite.png import encode
from lucidlite.viz.numbers import number
from lucidlite.window import Window

# How many tiles a picture may have and how many elements a side, the best that fits is taken.
_LEVELS = ((16, 128), (16, 64), (8, 64), (4, 64), (4, 32), (1, 32))
_WINDOWS, _CROP = 4, 48  # planes and elements a side, of a picture of pooling windows


class Gallery:
    """Pictures by number, within a budget of bytes: ``images`` as the page takes them."""

    def __init__(self, budget: int) -> None:
        self.images: list[dict[str, Any]] = []
        self.left_out = 0
        self._budget = budget
        self._tiles, self._side = _LEVELS[0]

    def plan(self, shapes: Iterable[tuple[int, ...]]) -> None:
        """Choose how much each picture may show, from the shapes of all that will be asked for."""
        wanted = list(shapes)
        for self._tiles, self._side in _LEVELS:
            if sum(map(self._estimate, wanted)) <= self._budget:
                return

    def _estimate(self, shape: tuple[int, ...]) -> int:
        _, channels, height, width = shape
        step = self._step(height, width)
        return min(channels, self._tiles) * (height // step + 1) * (width // step + 1) * 4 // 3

    def _step(self, height: int, width: int) -> int:
        return -(-max(height, width) // self._side)

    def maps(self, array: Any, backend: Backend, scale: str) -> int | None:
        """Sample 0 of (N, C, H, W) values, a tile a channel; "colour" for three channels."""
        if not _has_planes(array):
            return None
        samples, channels, height, width = array.shape
        step = self._step(height, width)
        count = min(channels, 3 if scale == "colour" else self._tiles)
        values = backend.to_numpy(array[0, :count, ::step, ::step])
        picture = colours(values[None]) if scale == "colour" else planes(values, scale)
        what = "3 channels as colour" if scale == "colour" else shown(count, channels, "channel")
        return self._add(picture, f"{what}, sample 0 of {samples}" + thinned(step))

    def filters(self, array: Any, backend: Backend) -> int | None:
        """(K, C, height, width) weights or their gradients, a tile a filter and input channel."""
        if not _has_planes(array):
            return None
        outputs, inputs, height, width = array.shape
        step, side = self._step(height, width), math.isqrt(self._tiles)
        if inputs in (1, 3):
            count = min(outputs, self._tiles)
            values = backend.to_numpy(array[:count, :, ::step, ::step])
            picture = colours(values) if inputs == 3 else planes(values[:, 0], "diverging")
            rest = ", 3 input channels as colour" if inputs == 3 else ""
            return self._add(picture, shown(count, outputs, "filter") + rest + thinned(step))
        down, across = min(outputs, side), min(inputs, side)
        values = backend.to_numpy(array[:down, :across, ::step, ::step])
        picture = planes(values.reshape(-1, *values.shape[2:]), "diverging", across)
        rows, columns = shown(down, outputs, "filter"), shown(across, inputs, "input channel")
        return self._add(picture, f"{rows} down, {columns} across" + thinned(step))

    def windows(self, array: Any, offsets: Any, backend: Backend, window: Window) -> int | None:
        """The input of a max pooling with its windows, and the element that each one took."""
        if not array.size or not offsets.size:
            return None
        channels = array.shape[1]
        count = min(channels, _WINDOWS, self._tiles)
        part, won = array[:1, :count], offsets[:1, :count]
        where = backend.to_numpy(backend.max_pool2d_indices(won, part.shape, window))[0]
        values = backend.to_numpy(part[0, :, :_CROP, :_CROP])
        picture = draw_windows(values, np.divmod(where, part.shape[3]), window)
        what = f"{shown(count, channels, 'channel')}, sample 0 of {array.shape[0]}"
        cut = f", top left {_CROP} x {_CROP}" if max(part.shape[2:]) > _CROP else ""
        return self._add(picture, f"the element each window took, {what}{cut}")

    def _add(self, picture: Picture, caption: str) -> int | None:
        src = picture.src
        if len(src) > self._budget:
            self.left_out += 1
            return None
        self._budget -= len(src)
        self.images.append({
            "id": len(self.images),
            "src": src,
            "width": picture.width,
            "height": picture.height,
            "caption": caption,
            "low": None if picture.low is None else number(picture.low),
            "high": None if picture.high is None else number(picture.high),
            "scale": picture.scale,
        })  # fmt: skip
        return len(self.images) - 1


def draw_windows(values: Array, where: tuple[Array, Array], window: Window) -> Picture:
    """(n, height, width) planes with lines where windows start and the elements taken framed.

    ``where`` are those elements' rows and columns, each (n, windows down, windows across), some
    perhaps outside of the planes.
    """
    low, high = limits(values)
    size = values.shape[1:]
    zoom = max(5, min(12, 224 // max(size)))
    frame = np.zeros((zoom, zoom), np.bool_)
    frame[1:, 1:] = True
    frame[2:-1, 2:-1] = False
    frames = np.tile(frame, size)
    tiles = []
    for plane, down, across in zip(levels(values, low, high), *where, strict=True):
        won = np.zeros(size, np.bool_)
        inside = (down < size[0]) & (across < size[1])
        won[down[inside], across[inside]] = True
        tile = plane.repeat(zoom, 0).repeat(zoom, 1)
        for axis in (0, 1):
            for nr in range(down.shape[axis]):
                start = (nr * window.stride[axis] - window.padding[axis][0]) * zoom
                if 0 <= start < tile.shape[axis]:
                    tile[(start,) if axis == 0 else (slice(None), start)] = LINE
        tile[won.repeat(zoom, 0).repeat(zoom, 1) & frames] = MARK
        tiles.append(tile)
    whole = tiled(np.stack(tiles), None, GAP)
    height, breadth = whole.shape
    return Picture(encode(whole, palette(*GREY)), breadth, height, low, high, "windows")


def _has_planes(array: Any) -> bool:
    """Whether there is something to see: a plane of one element is a number."""
    return bool(array.size) and array.shape[2] * array.shape[3] > 1
