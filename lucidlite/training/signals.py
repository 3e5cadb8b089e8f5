"""Signals that end a run as a request, which the loop reads where its state is whole."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

# Windows has no SIGHUP, which comes when the terminal or the connection is closed.
_STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_NOTE = "Stopping after this batch ({} stops at once, without saving)."


class Stopped(Exception):
    """A run was interrupted and its state is saved.

    ``signal`` is the number of the signal, ``epoch`` counts from 1, ``batch`` is the number of
    batches of it that are trained, ``path`` the checkpoint (None where there is no folder).
    """

    def __init__(self, signal: int, epoch: int, batch: int, batches: int, path: str | None) -> None:
        saved = f"; saved {path}" if path else ""
        super().__init__(f"stopped in epoch {epoch} after batch {batch} of {batches}{saved}")
        self.signal = signal
        self.epoch = epoch
        self.batch = batch
        self.batches = batches
        self.path = path


class StoppedAtOnce(KeyboardInterrupt):
    """A second signal, ``signal``: the run ends wherever it is, and nothing more is saved."""

    def __init__(self, signal: int) -> None:
        super().__init__("stopped at once, without saving")
        self.signal = signal


def write_at_once(text: str) -> None:
    """Write a line to stderr from within a signal's handler."""
    # Not print(): the handler may have interrupted a write to the same stream. And where the
    # terminal has gone, nobody is to be told.
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


class StopSignals:
    """A context in which SIGINT, SIGTERM and SIGHUP only set ``received``; the second interrupts.

    ``tell`` says so to whoever waits, and is called within the signal's handler.
    Outside the main thread, where Python delivers no signals, nothing is changed. A signal that
    the process was started to ignore (a script's background job, nohup) stays ignored.
    """

    def __init__(self, tell: Callable[[str], None] = write_at_once) -> None:
        self._tell = tell
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self.received = None
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.received is not None:
            raise StoppedAtOnce(number)
        self.received = number
        again = "Ctrl-C again" if number == signal.SIGINT else "a second signal"
        self._tell(_NOTE.format(again))
