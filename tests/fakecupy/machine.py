"""The machine there isn't: its devices, what was asked of it, what each thread has made current."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

# How often kernels were launched (a copy on the device is one too), arrays went to the device, came
# back, and how often the host waited for the device.
counts = {"launch": 0, "h2d": 0, "d2h": 0, "sync": 0}


class Machine:
    """What tests may change; ``reset()`` puts it back."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.devices = 1
        self.memory = 8 << 30  # bytes of each device
        self.name = "Stand-in GPU"
        self.capability = (9, 0)
        self.driver = self.runtime = 13000
        # Whether streams that use one array in no order are an error.
        self.races = os.environ.get("FAKECUPY_RACES", "1") not in ("", "0")
        self.peers = False  # whether a device reads another's memory


machine = Machine()


class Here(threading.local):
    """What this thread has made current."""

    def __init__(self) -> None:
        self.device = 0
        self.streams: dict[int, Any] = {}
        self.allocator: Any = None
        self.no_sync = 0


here = Here()


def count(what: str, times: int = 1) -> None:
    if what == "sync" and here.no_sync:
        raise AssertionError("the host waits for the device here")
    counts[what] += times


@contextlib.contextmanager
def no_sync() -> Iterator[None]:
    """In this block the host may not wait for the device: AssertionError at the line that does."""
    here.no_sync += 1
    try:
        yield
    finally:
        here.no_sync -= 1


@contextlib.contextmanager
def counted() -> Iterator[dict[str, int]]:
    """``counts`` of the block alone, filled in at its end."""
    before, found = dict(counts), dict.fromkeys(counts, 0)
    try:
        yield found
    finally:
        found.update({name: counts[name] - before[name] for name in counts})
