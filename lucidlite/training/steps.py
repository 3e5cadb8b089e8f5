"""What a run measured every few steps, and the file of these rows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lucidlite.files import atomic_write
from lucidlite.ops.join import stack
from lucidlite.tensor import Tensor
from lucidlite.training.metrics import EpochRow, RunningResult

_ROWS = 500  # in a run, where a row may stand for up to _MOST steps
_MOST = 100


class StepRow(NamedTuple):
    """One row of steps.csv: what was measured over the steps since the row before it.

    ``step`` counts batches from the start of the run, ``epoch`` from 1; ``loss`` and ``accuracy``
    (0 to 1) are means over the images of these steps, ``lr`` is the rate of the last of them.
    """

    step: int
    epoch: int
    loss: float
    accuracy: float
    lr: float
    images_per_second: float


class Recorder:
    """Something that keeps the numbers of a run. Every method may be left out.

    ``begin`` comes first and ``recall`` next: whatever was kept of later steps is to go, as the
    run goes on from there. ``flush`` comes now and then, and before every checkpoint.
    """

    def begin(self, step: int) -> Iterable[StepRow]:  # noqa: ARG002
        """Forget what came after ``step``; returns the rows up to it, if they are kept."""
        return ()

    def recall(self, rows: Sequence[StepRow], epochs: Sequence[tuple[EpochRow, int]]) -> None:
        """What earlier processes have measured; with each epoch the step that ended it."""

    def step(self, row: StepRow) -> None:
        """A new row."""

    def epoch(self, row: EpochRow, step: int) -> None:
        """An epoch has ended with this step."""

    def flush(self, durable: bool) -> None:
        """Write what isn't written; onto the disk itself if ``durable``."""


class Recording:
    """Takes a row every ``every`` steps and at the end of each epoch, and hands it on.

    The sums stay on the device until ``flush``, which waits for it. ``state_dict`` is what a run
    needs to go on with the same rows.
    """

    def __init__(self, recorders: Sequence[Recorder], every: int, steps_in_epoch: int) -> None:
        self._recorders = list(recorders)
        self._every, self._steps_in_epoch = every, steps_in_epoch
        self.steps = 0
        self._from: tuple[Any, Any, int] = (0.0, 0, 0)  # sums at the last row
        self._since = 0.0  # the training's seconds then
        self._in_epoch = 0
        self._taken: list[tuple[Any, ...]] = []

    def begin(self, history: Sequence[EpochRow], seconds: float) -> None:
        """Start, or go on after ``load_state_dict``, ``seconds`` into the epoch under way."""
        self._since = seconds
        rows = [row for each in self._recorders for row in each.begin(self.steps)]
        epochs = [(row, row.epoch * self._steps_in_epoch) for row in history]
        for each in self._recorders:
            each.recall(rows, epochs)

    def add(self, running: RunningResult, epoch: int, lr: float, seconds: float) -> None:
        """A step was made; ``running`` are the epoch's sums, ``seconds`` its time so far."""
        self.steps += 1
        self._in_epoch += 1
        if not self._in_epoch % self._every:
            self._take(running, epoch, lr, seconds)

    def end(self, running: RunningResult, epoch: int, lr: float, seconds: float) -> None:
        """The epoch's training is over."""
        if running.count > self._from[2]:
            self._take(running, epoch, lr, seconds)
        self._from, self._since, self._in_epoch = (0.0, 0, 0), 0.0, 0

    def epoch(self, row: EpochRow) -> None:
        """The epoch is over."""
        self._hand_on()
        for each in self._recorders:
            each.epoch(row, self.steps)

    def flush(self, durable: bool = False) -> None:
        """Read the rows from the device and have them written."""
        self._hand_on()
        for each in self._recorders:
            each.flush(durable)

    def state_dict(self) -> dict[str, Any]:
        loss, hits, count = self._from
        sums = {"loss": float(loss), "hits": int(hits), "count": count}
        return {"steps": self.steps, "in_epoch": self._in_epoch, "from": sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        sums = state["from"]
        self.steps, self._in_epoch = int(state["steps"]), int(state["in_epoch"])
        self._from = (float(sums["loss"]), int(sums["hits"]), int(sums["count"]))
        self._taken.clear()

    def _take(self, running: RunningResult, epoch: int, lr: float, seconds: float) -> None:
        sums = running.sums()
        took = seconds - self._since
        self._taken.append((self.steps, epoch, lr, took, self._from, sums))
        self._from, self._since = sums, seconds

    def _hand_on(self) -> None:
        taken, self._taken = self._taken, []
        pairs = [sums for *_, start, end in taken for sums in (start, end)]
        losses = _read([loss for loss, _, _ in pairs])
        hits = _read([each for _, each, _ in pairs])
        for i, (step, epoch, lr, took, start, end) in enumerate(taken):
            first, last, count = 2 * i, 2 * i + 1, end[2] - start[2]
            loss = (losses[last] - losses[first]) / count
            accuracy = (hits[last] - hits[first]) / count
            rate = round(count / took, 1) if took > 0 else 0.0
            row = StepRow(step, epoch, loss, accuracy, lr, rate)
            for each in self._recorders:
                each.step(row)


def _read(values: Sequence[Any]) -> list[Any]:
    """Numbers, of which those on a device are read from there at once."""
    held = [value for value in values if isinstance(value, Tensor)]
    read = iter(stack(held).tolist() if held else ())
    return [next(read) if isinstance(value, Tensor) else value for value in values]


def row_every(steps: int) -> int:
    """How many steps a row stands for in a run of so many."""
    return min(max(1, steps // _ROWS), _MOST)


class StepsFile(Recorder):
    """steps.csv: rows are added at the end, in the precision in which they were computed.

    What cannot be written (a full disk) is kept until it can; a RuntimeWarning says so once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lines: list[str] = []
        self._size = 0  # of what is known to be whole
        self._warned = False

    def begin(self, step: int) -> list[StepRow]:
        rows = [row for row in read_steps(self._path) if row.step <= step]
        text = "".join(map(_line, (StepRow._fields, *rows))).encode()
        with atomic_write(self._path, "steps") as file:
            file.write(text)
        self._size = len(text)
        return rows

    def step(self, row: StepRow) -> None:
        self._lines.append(_line(row))

    def flush(self, durable: bool) -> None:
        if not self._lines and not durable:
            return
        text = "".join(self._lines).encode()
        try:
            with open(self._path, "r+b") as file:
                file.truncate(self._size)  # a line that a full disk has cut short
                file.seek(self._size)
                file.write(text)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        except OSError as problem:
            self._warned = warned(self._warned, self._path, problem)
            return
        self._size += len(text)
        self._lines.clear()


def read_steps(path: str | os.PathLike[str]) -> list[StepRow]:
    """The rows of a steps.csv up to the first that is no whole row; none without the file."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    rows: list[StepRow] = []
    if lines[0] != ",".join(StepRow._fields):
        return rows
    for line in lines[1:-1]:  # what follows the last line feed was cut short
        try:
            step, epoch, *rest = line.split(",")
            rows.append(StepRow(int(step), int(epoch), *map(float, rest)))
        except (ValueError, TypeError):
            break
    return rows


def warned(before: bool, path: Path, problem: OSError) -> bool:
    """Say once that a file of numbers can't be written: training is not what fails."""
    if not before:
        text = problem.strerror or str(problem)
        warnings.warn(
            f"{path} can't be written ({text}): training goes on, its rows are kept for later",
            RuntimeWarning,
            stacklevel=2,
        )
    return True


def _line(row: Sequence[Any]) -> str:
    return ",".join(map(str, row)) + "\n"
