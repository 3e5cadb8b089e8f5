"""Ctrl-C and SIGTERM as a request that the loop reads where its state is whole."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_NOTE = b"\nStopping after this batch (Ctrl-C again stops at once, without saving).\n"


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


class StopSignals:
    """A context in which SIGINT and SIGTERM only set ``received``; the second one interrupts.

    Outside the main thread, where Python delivers no signals, nothing is changed. A signal that
    the process was started to ignore (a script's background job) stays ignored.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self.received = None
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
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
            raise KeyboardInterrupt
        self.received = number
        # Not print(): the handler may have interrupted a write to the same stream.
        os.write(2, _NOTE)
