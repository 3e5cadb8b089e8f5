"""Which elements a block of pooling reads and writes, in slices: integers only, and remembered.

A window is walked along one axis and then along the other, so that k * k passes become k + k.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from lucidlite.window import Pair, Window, adaptive_bins

Index = tuple[slice, ...]
# The fields of a Span along one axis.
_Part = tuple[slice, list[tuple[int, slice]], int]


class Span(NamedTuple):
    """Windows side by side that have the same taps on elements; there may be none."""

    windows: Index
    taps: tuple[tuple[int, Index], ...]  # (tap, its elements), one for each window
    lone: int = 0  # where there are none: the tap that stands for the window


class RowPlan(NamedTuple):
    """What a block of output rows reads."""

    source: slice  # input rows
    spans: tuple[Span, ...]  # windows count from the first row of the block, elements from source
    overlap: bool  # whether fewer rows are read than all windows have


class Step(NamedTuple):
    """One tap of the windows that meet a block of input rows."""

    tap: int
    windows: Index  # rows count from the first of the plan's windows
    elements: Index  # rows count from the first of the block
    first: bool  # whether no earlier step meets these elements


class ScatterPlan(NamedTuple):
    """How gradients of windows reach a block of input rows."""

    windows: slice  # output rows
    empty: tuple[Index, ...]  # elements that the steps marked ``first`` may leave out
    steps: tuple[Step, ...]  # ascending in the windows of each element


class Spread(NamedTuple):
    """How shares of windows reach elements along one axis."""

    empty: tuple[Index, ...]  # elements that the steps marked True may leave out
    # (windows, elements, whether no earlier step meets these elements)
    steps: tuple[tuple[Index, Index, bool], ...]


@lru_cache(maxsize=512)
def column_spans(window: Window, width: int, outputs: int) -> tuple[Span, ...]:
    """The spans of all windows along the horizontal axis."""
    return _along_columns(_spans(window, 1, width, outputs, 0, outputs))


@lru_cache(maxsize=512)
def row_plan(window: Window, height: int, outputs: int, first: int, end: int) -> RowPlan:
    """The plan of output rows ``first`` to ``end`` - 1."""
    return _along_rows(_spans(window, 0, height, outputs, first, end))


@lru_cache(maxsize=512)
def bin_columns(width: int, outputs: int) -> tuple[Span, ...]:
    """``column_spans`` of adaptive pooling: the taps of a bin are its elements."""
    return _along_columns(_bins(width, outputs, 0, outputs))


@lru_cache(maxsize=512)
def bin_rows(height: int, outputs: int, first: int, end: int) -> RowPlan:
    """``row_plan`` of adaptive pooling."""
    return _along_rows(_bins(height, outputs, first, end))


def _along_columns(spans: list[_Part]) -> tuple[Span, ...]:
    whole = slice(None)
    return tuple(
        Span((whole, windows), tuple((tap, (whole, elements)) for tap, elements in taps), lone)
        for windows, taps, lone in spans
    )


def _along_rows(spans: list[_Part]) -> RowPlan:
    read = [elements for _, taps, _ in spans for _, elements in taps]
    top, bottom = min((r.start for r in read), default=0), max((r.stop for r in read), default=0)
    moved = tuple(
        Span((windows,), tuple((tap, (_moved(rows, -top),)) for tap, rows in taps), lone)
        for windows, taps, lone in spans
    )
    return RowPlan(slice(top, bottom), moved, bottom - top < sum(map(_count, read)))


def _bins(n: int, outputs: int, first: int, end: int) -> list[_Part]:
    return [
        (slice(i, i + 1), [(tap, slice(at, at + 1)) for tap, at in enumerate(range(*span))], 0)
        for i, span in enumerate(adaptive_bins(n, outputs)[first:end])
    ]


def _spans(window: Window, axis: int, n: int, outputs: int, first: int, end: int) -> list[_Part]:
    stride, firsts = window.stride[axis], window.first_taps(axis, outputs)
    reached = [window.tap_span(axis, tap, n, outputs) for tap in range(window.kernel_size[axis])]
    ends = {first, end, *(b for begin, stop, _ in reached for b in (begin, stop))}
    spans: list[_Part] = []
    for low, high in pairwise(sorted(b for b in ends if first <= b <= end)):
        taps = [
            (tap, _strided(at + (low - begin) * stride, high - low, stride))
            for tap, (begin, stop, at) in enumerate(reached)
            if begin <= low and high <= stop
        ]
        if taps:
            spans.append((slice(low - first, high - first), taps, 0))
        else:
            spans += [(slice(i - first, i - first + 1), [], firsts[i]) for i in range(low, high)]
    return spans


@lru_cache(maxsize=512)
def scatter_plan(window: Window, size: Pair, outputs: Pair, first: int, end: int) -> ScatterPlan:
    """The plan of input rows ``first`` to ``end`` - 1."""
    height, width = size
    (sh, sw), (kernel_height, kernel_width) = window.stride, window.kernel_size
    rows = [_row_reach(window, tap, height, outputs[0], first, end) for tap in range(kernel_height)]
    columns = [window.tap_span(1, tap, width, outputs[1]) for tap in range(kernel_width)]
    low = min((begin for begin, stop, _ in rows if begin < stop), default=0)
    high = max((stop for begin, stop, _ in rows if begin < stop), default=0)
    steps: list[Step] = []
    empty: list[Index] = []
    met: set[Pair] = set()
    for row in reversed(range(kernel_height)):
        begin, stop, top = rows[row]
        if begin >= stop:
            continue
        for column in reversed(range(kernel_width)):
            left, right, at = columns[column]
            if left >= right:
                continue
            lattice = top % sh, at % sw
            elements = _strided(top, stop - begin, sh), _strided(at, right - left, sw)
            if lattice not in met:
                empty += _around(elements, lattice, (end - first, width), window.stride)
            windows = slice(begin - low, stop - low), slice(left, right)
            step = Step(row * kernel_width + column, windows, elements, lattice not in met)
            steps.append(step)
            met.add(lattice)
    if len(met) < min(sh, end - first) * min(sw, width):
        empty = [(slice(None),)]  # no window meets some lattices
    return ScatterPlan(slice(low, high), tuple(empty), tuple(steps))


@lru_cache(maxsize=512)
def column_spread(window: Window, width: int, outputs: int) -> Spread:
    """The spread along the horizontal axis."""
    whole = slice(None)
    reached = [window.tap_span(1, tap, width, outputs) for tap in range(window.kernel_size[1])]
    empty, steps = _spread(reached, width, window.stride[1], 0)
    return Spread(
        tuple((whole, part) for part in empty),
        tuple(((whole, windows), (whole, elements), new) for windows, elements, new in steps),
    )


@lru_cache(maxsize=512)
def row_spread(
    window: Window, height: int, outputs: int, first: int, end: int
) -> tuple[slice, Spread]:
    """Output rows, and their spread over input rows ``first`` to ``end`` - 1."""
    taps = range(window.kernel_size[0])
    reached = [_row_reach(window, tap, height, outputs, first, end) for tap in taps]
    low = min((begin for begin, stop, _ in reached if begin < stop), default=0)
    high = max((stop for begin, stop, _ in reached if begin < stop), default=0)
    empty, steps = _spread(reached, end - first, window.stride[0], low)
    return slice(low, high), Spread(
        tuple((part,) for part in empty),
        tuple(((windows,), (elements,), new) for windows, elements, new in steps),
    )


def _spread(
    reached: list[tuple[int, int, int]], n: int, stride: int, low: int
) -> tuple[list[slice], list[tuple[slice, slice, bool]]]:
    """Elements without a first step, and the steps, the last tap first; windows count from low."""
    empty: list[slice] = []
    steps: list[tuple[slice, slice, bool]] = []
    met: set[int] = set()
    for begin, stop, at in reversed(reached):
        if begin < stop:
            elements, lattice = _strided(at, stop - begin, stride), at % stride
            if lattice not in met:
                ends = slice(lattice, at, stride), slice(elements.stop - 1 + stride, n, stride)
                empty += [part for part in ends if part.start < part.stop]
            steps.append((slice(begin - low, stop - low), elements, lattice not in met))
            met.add(lattice)
    return ([slice(None)] if len(met) < min(stride, n) else empty), steps


def _row_reach(
    window: Window, tap: int, height: int, outputs: int, first: int, end: int
) -> tuple[int, int, int]:
    """``tap_span`` within input rows ``first`` to ``end`` - 1, which count from the first."""
    stride = window.stride[0]
    begin, stop, at = window.tap_span(0, tap, height, outputs)
    low = begin + max(0, -(-(first - at) // stride))
    high = min(stop, begin + max(0, (end - 1 - at) // stride + 1)) if at < end else begin
    return low, high, at + (low - begin) * stride - first


def _strided(start: int, count: int, stride: int) -> slice:
    return slice(start, start + (count - 1) * stride + 1, stride)


def _count(part: slice) -> int:
    return len(range(part.start, part.stop, part.step or 1))


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by, part.step)


def _around(elements: Index, lattice: Pair, size: Pair, stride: Pair) -> list[Index]:
    """What lies before and after ``elements`` on the lattice that they belong to."""
    (rows, columns), (top, left) = elements, lattice
    whole = slice(left, size[1], stride[1])
    parts = [
        (slice(top, rows.start, stride[0]), whole),
        (slice(rows.stop - 1 + stride[0], size[0], stride[0]), whole),
        (rows, slice(left, columns.start, stride[1])),
        (rows, slice(columns.stop - 1 + stride[1], size[1], stride[1])),
    ]
    return [part for part in parts if all(cut.start < cut.stop for cut in part)]
