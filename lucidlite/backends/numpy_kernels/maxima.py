"""The maxima of windows on NumPy: running maxima along rows, then along columns, a block at a time.

What is avoided costs 10 to 50 times more than what is used: ``where=``, ``np.where``, boolean
indexing and argmax. A position is a maximum of (won * tap) over the taps, since later taps are
larger numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.numpy_kernels.blocks import Block, Scratch, Source
from lucidlite.backends.numpy_kernels.pool_plan import RowPlan, Span


class Room:
    """The temporary arrays of a thread."""

    def __init__(self, dtype: Any, places: Any) -> None:
        self.values, self.places = Scratch(dtype), Scratch(places)
        self.wins, self.won = Scratch(np.bool_), Scratch(places)


# (values, places, number): an element is tap place + number of its window; None stands for zeros.
Candidate = tuple[Array, "Array | None", int]


class Maxima:
    """The maxima of blocks of windows and, in ``found``, the first tap of each that has it."""

    def __init__(
        self,
        image: Array,
        y: Array,
        found: Array | None,
        lowest: Any,
        columns: tuple[Span, ...],
        plan: Callable[[int, int], RowPlan],
        kernel_width: int,
    ) -> None:
        self.image, self.lowest = image, lowest
        self.columns, self.plan, self.kernel_width = columns, plan, kernel_width
        self.y = y.reshape(*y.shape[:2], y.shape[2] * y.shape[3])
        self.found = None if found is None else found.reshape(self.y.shape)

    def work(self, todo: Sequence[Block]) -> None:
        room = Room(self.y.dtype, np.uint8 if self.found is None else self.found.dtype)
        source = Source(self.image)
        for rows, piece in todo:
            plan = self.plan(rows.start, rows.stop)
            part, best = source(plan.source, piece), self.y[rows, :, piece]
            found = None if self.found is None else self.found[rows, :, piece]
            take = self._rows_once if plan.overlap else self._rows_in_turn
            take(part, plan, best, found, room)
            for span in plan.spans:
                if not span.taps:
                    self._on_padding(span, best, found)
            if found is not None and best.dtype.kind == "f" and np.isnan(best.max()):
                # The last NaN of a window wins: rare enough to be found in a second pass.
                self._place_nan(part, plan, found, room)

    def _rows_once(
        self, part: Array, plan: RowPlan, best: Array, found: Array | None, room: Room
    ) -> None:
        """The maxima within each row are worked out once, for all windows it belongs to."""
        shape = (len(part), *best.shape[1:])
        values, places = room.values(shape), None if found is None else room.places(shape)
        self._within_rows(part, values, places, room)
        for windows, taps, _ in plan.spans:
            if taps:
                candidates = [
                    (values[rows], None if places is None else places[rows], self._number(tap))
                    for tap, rows in taps
                ]
                mark = None if found is None else found[windows]
                first_largest(candidates, best[windows], mark, room)

    def _rows_in_turn(
        self, part: Array, plan: RowPlan, best: Array, found: Array | None, room: Room
    ) -> None:
        """Windows share no rows: each is taken in as soon as its maxima are known."""
        for windows, taps, _ in plan.spans:
            target, mark = best[windows], None if found is None else found[windows]
            for turn, (tap, rows) in enumerate(taps):
                if not turn:
                    self._within_rows(part[rows], target, mark, room)
                    so_far = self._number(tap)
                    continue
                values = room.values(target.shape)
                places = None if mark is None else room.places(target.shape)
                self._within_rows(part[rows], values, places, room)
                candidates = [(target, mark, so_far), (values, places, self._number(tap))]
                first_largest(candidates, target, mark, room)
                so_far = 0
            if len(taps) == 1 and so_far and mark is not None:
                mark += mark.dtype.type(so_far)

    def _within_rows(self, part: Array, best: Array, found: Array | None, room: Room) -> None:
        """The maxima of each row for itself; ``found`` counts along it."""
        for windows, taps, lone in self.columns:
            target, mark = best[windows], None if found is None else found[windows]
            if taps:
                first_largest([(part[at], None, tap) for tap, at in taps], target, mark, room)
                continue
            target[...] = self.lowest
            if mark is not None:
                mark[...] = lone

    def _on_padding(self, span: Span, best: Array, found: Array | None) -> None:
        """Windows all of whose rows step over the plane."""
        best[span.windows] = self.lowest
        if found is not None:
            for windows, taps, lone in self.columns:
                column = taps[0][0] if taps else lone
                found[span.windows][windows] = self._number(span.lone) + column

    def _number(self, row: int) -> int:
        """The first tap of a row of the window."""
        return row * self.kernel_width

    def _place_nan(self, part: Array, plan: RowPlan, found: Array, room: Room) -> None:
        """Point ``found`` at the last NaN of each window that has one.

        Nothing was greater than a NaN, so no tap found so far comes after one.
        """
        for windows, taps, _ in plan.spans:
            for row, rows in taps:
                for across, columns, _ in self.columns:
                    mark = found[windows][across]
                    wins, won = room.wins(mark.shape), room.won(mark.shape)
                    for column, at in columns:
                        np.isnan(part[rows][at], out=wins)
                        tap = mark.dtype.type(self._number(row) + column)
                        np.multiply(wins.view(np.uint8), tap, out=won)
                        np.maximum(mark, won, out=mark)


def first_largest(
    candidates: list[Candidate], target: Array, mark: Array | None, room: Room
) -> None:
    """The largest of the candidates into ``target``, the tap of the first such into ``mark``.

    Their taps ascend, and those of the first may be in ``target`` and ``mark`` already.
    """
    best, places, number = candidates[0]
    if len(candidates) == 1:
        target[...] = best
    if mark is not None and (number or len(candidates) == 1):
        if places is None:
            mark[...] = number
        else:
            np.add(places, mark.dtype.type(number), out=mark)
        places = mark
    for value, others, tap in candidates[1:]:
        if mark is not None and tap == 1 and places is others is None and mark.itemsize == 1:
            np.greater(value, best, out=mark.view(np.bool_))  # True is tap 1
            places = mark
        elif mark is not None:
            wins = np.greater(value, best, out=room.wins(target.shape)).view(np.uint8)
            first = mark.dtype.type(tap)
            # All is zeros before the first mark: no need to look for the larger.
            won = mark if places is None else room.won(target.shape)
            if others is None:
                np.multiply(wins, first, out=won)
            else:
                np.multiply(np.add(others, first, out=room.won(target.shape)), wins, out=won)
            if places is not None:
                np.maximum(places, won, out=mark)
            places = mark
        # Of zeros that differ in sign the second is taken on most machines: the first element.
        np.maximum(value, best, out=target)
        best = target
