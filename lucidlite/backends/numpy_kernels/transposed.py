"""The gradient of a convolution's input is a convolution again, of the gradient of its output.

With a stride of one it is plain: an element of the input is read by the windows around it, one for
each tap, so its gradient is a window over the output's gradient with the taps turned round.

With a stride of s, elements s apart are read by the same taps of neighbouring windows, and elements
in between by other taps. So the input falls apart into s * s interleaved planes, each with a share
of the taps, and on each plane the gradient is a convolution of stride one. Nothing is multiplied
in vain, and nothing is added up in memory: each element of the result is written once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from lucidlite.window import Pair, Window

Slices = tuple[slice, slice]


class Share(NamedTuple):
    """One of the planes: ``dx[place] = conv(g[crop], w[taps] turned round, window)``."""

    place: Slices
    taps: Slices
    crop: Slices
    window: Window


class _Line(NamedTuple):
    """A share on one axis."""

    place: slice
    taps: slice
    crop: slice
    kernel_size: int
    dilation: int
    padding: Pair


@lru_cache(maxsize=1024)
def input_shares(window: Window, size: Pair) -> tuple[Share, ...]:
    """The shares of an input of ``size``; elements in none of them have a gradient of zero."""
    outputs = window.output_size(size)
    down, across = (_lines(window, axis, size[axis], outputs[axis]) for axis in (0, 1))
    return tuple(
        Share(
            (a.place, b.place),
            (a.taps, b.taps),
            (a.crop, b.crop),
            Window(
                (a.kernel_size, b.kernel_size),
                (1, 1),
                (a.padding, b.padding),
                (a.dilation, b.dilation),
            ),
        )
        for a in down
        for b in across
    )


def shares_cover(window: Window) -> bool:
    """Whether every element of an input is in some share: no remainder is without taps."""
    return all(
        len({tap * dilation % stride for tap in range(taps)}) == stride
        for taps, stride, dilation in zip(
            window.kernel_size, window.stride, window.dilation, strict=True
        )
    )


def _lines(window: Window, axis: int, n: int, outputs: int) -> list[_Line]:
    stride, dilation = window.stride[axis], window.dilation[axis]
    before = window.padding[axis][0]
    found = []
    for remainder, taps in tap_classes(window, axis):
        # Padded elements ``stride * v + remainder``; tap i of window v - at(i) reads one of them.
        first = -((remainder - before) // stride)
        count = (before + n - 1 - remainder) // stride - first + 1
        if count < 1:
            continue
        at = [(tap * dilation - remainder) // stride for tap in taps]
        step = at[1] - at[0] if len(at) > 1 else 1
        pad = at[-1] - first, first + count - outputs - at[0]
        start = first * stride + remainder - before
        found.append(
            _Line(
                slice(start, start + (count - 1) * stride + 1, stride),
                slice(taps.start, taps.stop, taps.step),
                # Windows beyond the plane's ends read none of its elements: padding below zero.
                slice(max(0, -pad[0]), max(0, outputs - max(0, -pad[1]))),
                len(taps),
                step,
                (max(0, pad[0]), max(0, pad[1])),
            )
        )
    return found


@lru_cache(maxsize=1024)
def tap_classes(window: Window, axis: int) -> tuple[tuple[int, range], ...]:
    """For each remainder of the stride the taps, evenly spaced, that read elements with it."""
    taps, stride, dilation = window.kernel_size[axis], window.stride[axis], window.dilation[axis]
    classes: dict[int, list[int]] = {}
    for tap in range(taps):
        classes.setdefault(tap * dilation % stride, []).append(tap)
    return tuple(
        (remainder, range(found[0], found[-1] + 1, found[1] - found[0] if found[1:] else 1))
        for remainder, found in classes.items()
    )
