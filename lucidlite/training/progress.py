"""What a run shows while it goes on: a bar (tqdm, on a terminal) or a line now and then."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from lucidlite.training.metrics import RunningResult

_EVERY = 10.0  # seconds between lines
_REFRESH = 0.2  # seconds between readings of the sums, which may wait for the device


class Progress:
    """Shows one pass over some images at a time: ``start``, ``update`` after each batch, ``end``.

    On a terminal with tqdm installed it is a bar with loss, accuracy, images per second and the
    time left. Otherwise such a line is written every ten seconds. ``quiet`` shows nothing.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._tqdm = None if quiet or not _is_terminal(self._stream) else _find_tqdm()
        self._bar: Any = None

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Begin a pass over ``total`` images, ``done`` of which were seen before."""
        self._label, self._total, self._done, self._first = label, total, done, done
        self._began = self._shown = time.perf_counter()
        if self._tqdm is not None:
            self._bar = self._tqdm(
                desc=label, total=total, initial=done, unit=" images", unit_scale=False,
                file=self._stream, leave=False, dynamic_ncols=True, mininterval=0, miniters=1,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}  {postfix[0]}"
                "{rate_noinv_fmt}  {remaining} left",
                postfix=[""],
            )  # fmt: skip

    def update(self, running: RunningResult) -> None:
        """Show the sums so far, if the last time is long enough ago."""
        if self._quiet:
            return
        now = time.perf_counter()
        every = _EVERY if self._bar is None else _REFRESH
        if now - self._shown < every:
            return
        self._shown = now
        result = running.result()
        numbers = f"loss {result.loss:.3f}  acc {result.accuracy:.1%}"
        if self._bar is not None:
            self._bar.postfix[0] = numbers + "  "
            self._bar.update(result.images - self._done)
            self._done = result.images
            return
        rate = (result.images - self._first) / (now - self._began)
        left = (self._total - result.images) / rate if rate else float("inf")
        print(
            f"{self._label}  {result.images}/{self._total}  {numbers}  {rate:.0f} images/s  "
            f"{left:.0f} s left",
            file=self._stream,
            flush=True,
        )

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _is_terminal(stream: TextIO) -> bool:
    """Whether a bar can be drawn there: in a terminal of no size tqdm shows nothing."""
    if not stream.isatty():
        return False
    try:
        return os.get_terminal_size(stream.fileno()).lines > 0
    except OSError:
        return True


def _find_tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm
