"""What a run shows while it goes on: a live view on a terminal, or a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from lucidlite.tables import share
from lucidlite.training.live import LiveView
from lucidlite.training.metrics import EpochRow, RunningResult
from lucidlite.training.signals import write_at_once
from lucidlite.training.steps import Recorder, StepRow

_EVERY = 10.0  # seconds between lines
_REFRESH = 0.2  # seconds between readings of the sums, which may wait for the device
_TEST_RATE = 2.5  # how much faster than training a test is, until one was timed


class Progress(Recorder):
    """Shows one pass over some images at a time: ``start``, ``update`` after each batch, ``end``.

    On a terminal with the package rich installed it is a live view: a bar, the losses of the run
    so far as a curve, learning rate, accuracy, images per second, and the time left for the epoch
    and the run. Otherwise a line is written every ten seconds. ``quiet`` shows nothing.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._view: Any = None
        if not quiet and _is_live(self._stream):
            self._view = LiveView(self._stream)
        self._losses: list[float] = []
        self._lr: float | None = None
        self._rates: dict[str, float] = {}

    def start(
        self, label: str, total: int, done: int = 0, kind: str = "train", later: Sequence[int] = ()
    ) -> None:
        """Begin a pass over ``total`` images, ``done`` of which were seen before.

        ``later`` counts the images that follow in this epoch's test, in the later epochs' training
        and in their tests: none where that isn't known.
        """
        self._label, self._total, self._first, self._kind = label, total, done, kind
        self._later = later
        self._count = done
        self._began = self._shown = time.perf_counter()
        if self._view is not None:
            self._try(self._view.start, label, total, done)

    def recall(
        self,
        rows: Sequence[StepRow],
        epochs: Sequence[tuple[EpochRow, int]],  # noqa: ARG002
    ) -> None:
        self._losses.clear()  # a second fit() of the same trainer recalls them all again
        for row in rows:
            self.step(row)

    def step(self, row: StepRow) -> None:
        self._losses.append(row.loss)
        self._lr = row.lr

    def update(self, running: RunningResult) -> None:
        """Show the sums so far, if the last time is long enough ago."""
        self._count = running.count
        if self._quiet:
            return
        now = time.perf_counter()
        every = _EVERY if self._view is None else _REFRESH
        if now - self._shown < every:
            return
        self._shown = now
        result = running.result()
        rate = (result.images - self._first) / (now - self._began)
        self._rates[self._kind] = rate
        epoch, run = self._left(self._total - result.images, rate)
        if self._view is not None:
            lr = self._lr if self._kind == "train" else None
            shown = result.images, result.loss, result.accuracy, lr, rate, epoch, run, self._losses
            self._try(self._view.show, *shown)
            return
        line = (
            f"{self._label}  {result.images}/{self._total}  loss {result.loss:.3f}  "
            f"acc {share(result.accuracy)}  {rate:.0f} images/s  {epoch:.0f} s left"
        )
        self._try(lambda: print(line, file=self._stream, flush=True))

    def end(self) -> None:
        """Take the view away."""
        seconds = time.perf_counter() - self._began
        if self._count > self._first and seconds > 0:
            self._rates[self._kind] = (self._count - self._first) / seconds
        if self._view is not None:
            self._try(self._view.stop)

    def tell(self, text: str) -> None:
        """Say a line at once, above the view where there is one. A signal's handler may call it."""
        if self._view is None or not self._view.tell(text):
            write_at_once(text)

    def _try(self, show: Callable[..., Any], *values: Any) -> None:
        """Show something; nothing from now on where the terminal has gone."""
        try:
            show(*values)
        except OSError:
            self._quiet, self._view = True, None

    def _left(self, images: int, rate: float) -> tuple[float, float | None]:
        """Seconds left for the epoch, and for the run."""
        seconds = images / rate if rate else float("inf")
        if not self._later or not rate:
            return seconds, None
        train = self._rates.get("train", rate / _TEST_RATE if self._kind == "test" else rate)
        test = self._rates.get("test", train * _TEST_RATE)
        now, trained, tested = self._later
        seconds += now / test
        return seconds, seconds + trained / train + tested / test


def _is_live(stream: TextIO) -> bool:
    """Whether a view can be drawn there again and again, by a package that is there."""
    if not stream.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True
