"""Where sliding windows fall: sizes, bounds and divisors. Integers only: no arrays, no tensors.

Convolution and pooling on every device read their geometry here, so they can't disagree about it.
The rules are PyTorch's; ``geometry.py`` makes windows from a user's settings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

Pair = tuple[int, int]


class Window(NamedTuple):
    """A window sliding over an (H, W) plane; every pair is (vertical, horizontal).

    ``padding`` is ((top, bottom), (left, right)): padding='same' needs unequal sides. Functions of
    one axis take ``axis`` 0 (vertical) or 1 (horizontal), with that axis's input and output sizes.

    >>> from lucidlite.window import Window
    >>> window = Window((3, 3), (2, 2), ((1, 1), (1, 1)))
    >>> window.output_size((8, 9))
    (4, 5)
    """

    kernel_size: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair = (1, 1)
    ceil_mode: bool = False

    @property
    def taps(self) -> int:
        """How many elements a window holds."""
        return self.kernel_size[0] * self.kernel_size[1]

    @property
    def extent(self) -> Pair:
        """Height and width a window covers, the gaps of dilation included."""
        (kh, kw), (dh, dw) = self.kernel_size, self.dilation
        return (kh - 1) * dh + 1, (kw - 1) * dw + 1

    @property
    def padded(self) -> bool:
        return self.padding != ((0, 0), (0, 0))

    @property
    def disjoint(self) -> bool:
        """Whether no element can belong to two windows."""
        return self.stride[0] >= self.extent[0] and self.stride[1] >= self.extent[1]

    def covers(self, size: Pair) -> bool:
        """Whether the window is the whole plane: one window, no padding."""
        return self.extent == size == self.kernel_size and not self.padded

    def output_size(self, size: Pair) -> Pair:
        """The number of windows along (H, W); zero or negative where none fits.

        With ``ceil_mode`` a last window may overhang the far edge, but one that would start in
        the far padding is dropped, so the plain ceiling of the textbooks is sometimes one less.
        """
        return self._outputs(0, size[0]), self._outputs(1, size[1])

    def _outputs(self, axis: int, n: int) -> int:
        before, after = self.padding[axis]
        stride = self.stride[axis]
        slack = n + before + after - self.extent[axis]
        if not self.ceil_mode:
            return slack // stride + 1
        count = -(-slack // stride) + 1
        return count - 1 if (count - 1) * stride >= n + before else count

    def tap_span(self, axis: int, tap: int, n: int, outputs: int) -> tuple[int, int, int]:
        """(first, end, at): windows first to end - 1 have this tap on an element, not on padding.

        Those elements are ``at, at + stride, ...`` of the ``n``; first == end where there are none.
        """
        stride = self.stride[axis]
        shift = tap * self.dilation[axis] - self.padding[axis][0]
        first = min(max(0, -(shift // stride)), outputs)
        end = max(first, min(outputs, (n - 1 - shift) // stride + 1))
        return first, end, first * stride + shift

    def tap_slices(
        self, tap: int, size: Pair, outputs: Pair
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """(windows, inputs) as slices of an output and an input plane for one tap of the window.

        Together they pair every window whose tap ``tap`` (row-major) is a real element with that
        element; None where the tap only ever meets padding.
        """
        spans = []
        for axis, part in enumerate(divmod(tap, self.kernel_size[1])):
            first, end, at = self.tap_span(axis, part, size[axis], outputs[axis])
            if first == end:
                return None
            stride = self.stride[axis]
            stop = at + (end - first - 1) * stride + 1
            spans.append((slice(first, end), slice(at, stop, stride)))
        (out_h, in_h), (out_w, in_w) = spans
        return (out_h, out_w), (in_h, in_w)

    def padded_slices(self, tap: int, first: int, end: int, columns: int) -> tuple[slice, slice]:
        """Where a padded plane holds tap ``tap`` of the windows in rows first to end - 1."""
        row, column = divmod(tap, self.kernel_size[1])
        (sh, sw), (dh, dw) = self.stride, self.dilation
        top, left = row * dh, column * dw
        return (
            slice(top + first * sh, top + (end - 1) * sh + 1, sh),
            slice(left, left + (columns - 1) * sw + 1, sw),
        )

    def first_taps(self, axis: int, outputs: int) -> tuple[int, ...]:
        """For each window the first tap that isn't in the near padding."""
        stride, dilation = self.stride[axis], self.dilation[axis]
        before = self.padding[axis][0]
        last = self.kernel_size[axis] - 1
        starts = (i * stride - before for i in range(outputs))
        return tuple(min(-(start // dilation), last) if start < 0 else 0 for start in starts)

    def counts(self, axis: int, n: int, outputs: int, include_pad: bool) -> tuple[int, ...]:
        """Elements each window averages over on this axis; the divisor is a product of two.

        Windows end at the far padding's edge, so what ceil_mode lets overhang counts in neither
        setting; padding itself counts where ``include_pad``. Windows here have no dilation.
        """
        before, after = self.padding[axis]
        found = []
        for i in range(outputs):
            start = i * self.stride[axis] - before
            end = min(start + self.kernel_size[axis], n + after)
            found.append(end - start if include_pad else min(end, n) - max(start, 0))
        return tuple(found)


@lru_cache(maxsize=1024)
def adaptive_bins(n: int, outputs: int) -> tuple[Pair, ...]:
    """(start, end) of each adaptive pooling bin: floor(i*n/outputs) to ceil((i+1)*n/outputs).

    >>> from lucidlite.window import adaptive_bins
    >>> adaptive_bins(5, 3)
    ((0, 2), (1, 4), (3, 5))
    """
    return tuple((i * n // outputs, -(-(i + 1) * n // outputs)) for i in range(outputs))


def adaptive_window(size: Pair, output_size: Pair) -> Window | None:
    """The ordinary window that equals adaptive pooling, or None where bins differ in size."""
    if any(o < 1 or n % o for n, o in zip(size, output_size, strict=True)):
        return None
    kernel = size[0] // output_size[0], size[1] // output_size[1]
    return Window(kernel, kernel, ((0, 0), (0, 0)))
