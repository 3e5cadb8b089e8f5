"""Streams, events and graphs. Work is done when it is issued, or kept while it is captured.

Copies from and to pinned memory are the exception: the host may not touch that memory before it has
waited, so what arrives there arrives then, and what was read there must still be the same then.
"""

from __future__ import annotations

import itertools
import time
import weakref
from collections.abc import Callable
from typing import Any

from fakecupy import races
from fakecupy.errors import CUDARuntimeError
from fakecupy.machine import count, here

Work = Callable[[], Any]
_numbers = itertools.count(0x1000, 16)
_captures: list[Capture] = []
_streams: weakref.WeakSet[Stream] = weakref.WeakSet()


class Capture:
    """A graph in the making: its work, and the streams that take part."""

    def __init__(self, origin: Stream) -> None:
        self.origin, self.works = origin, []  # type: ignore[var-annotated]
        self.joined: dict[Stream, bool] = {origin: True}
        self.invalid = False

    def add(self, stream: Stream, work: Work) -> None:
        self.works.append(work)
        if stream is not self.origin:
            self.joined[stream] = False


class Event:
    """A place in a stream's work."""

    def __init__(self, block: bool = False, disable_timing: bool = False,
                 interprocess: bool = False) -> None:  # fmt: skip
        if interprocess and not disable_timing:
            raise ValueError("Timing must be disabled for interprocess events")
        del block
        self.ptr = next(_numbers)
        self._timed = not disable_timing
        self._time: float | None = None
        self._pending: list[Work] = []
        self._capture: Capture | None = None
        self._stream: Any = None

    def record(self, stream: Any = None) -> None:
        stream = stream or get_current_stream()
        self._time, self._stream = time.perf_counter(), stream
        self._capture = stream._capture
        self._pending = stream._pending[:]
        self._clocks = races.snapshot(stream.ptr)

    def _refused(self) -> None:
        if self._capture is not None and self._capture in _captures:
            self._capture.invalid = True
            raise CUDARuntimeError(900)

    @property
    def done(self) -> bool:
        self._refused()
        self._finish()
        return True

    def synchronize(self) -> None:
        self._refused()
        count("sync")
        self._finish()

    def _finish(self) -> None:
        if self._stream is not None:
            self._stream._finish(self._pending)
            races.waits(None, self._clocks)
        self._pending = []


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    first, last = start_event._time, end_event._time
    if not (start_event._timed and end_event._timed) or first is None or last is None:
        raise CUDARuntimeError(1)
    return 1e3 * max(last - first, 0.0)


class Stream:
    """A queue of work."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
                 priority: int | None = None) -> None:  # fmt: skip
        if ptds:
            raise NotImplementedError("the stand-in has no per-thread default stream")
        self.ptr = 0 if null else next(_numbers)
        self.device_id = -1 if null else here.device
        self.is_non_blocking, self.priority = non_blocking, priority or 0
        self._pending: list[Work] = []
        self._capture: Capture | None = None
        self._before: list[tuple[int, Any]] = []
        _streams.add(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return self.ptr

    def _device(self) -> int:
        if self.device_id not in (-1, here.device):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with "
                f"the current device ({here.device})"
            )
        return here.device

    def __enter__(self) -> Stream:
        device = self._device()
        self._before.append((device, get_current_stream()))
        here.streams[device] = self
        return self

    def __exit__(self, *exc: object) -> None:
        device, stream = self._before.pop()
        here.streams[device] = stream

    def use(self) -> Stream:
        here.streams[self._device()] = self
        return self

    def _finish(self, works: list[Work]) -> None:
        """The work that the host has now waited for."""
        for work in works:
            if any(each is work for each in self._pending):
                self._pending = [each for each in self._pending if each is not work]
                work()

    def _refused(self) -> None:
        if self._capture is not None:
            self._capture.invalid = True
            raise CUDARuntimeError(900)

    @property
    def done(self) -> bool:
        self._refused()
        self._finish(self._pending)
        return True

    def synchronize(self) -> None:
        self._refused()
        count("sync")
        self._finish(self._pending)
        races.waits(None, races.snapshot(self.ptr))

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        capture = event._capture
        if event._stream is not None:
            races.waits(self.ptr, event._clocks)
        if capture is None or capture not in _captures:
            if self._capture is not None and event._stream is not None:
                self._capture.invalid = True  # a graph can't wait for what is outside of it
                raise CUDARuntimeError(900)
            return
        if self._capture is None:
            self._capture = capture
            capture.joined[self] = False
        elif self is capture.origin:
            capture.joined[event._stream] = True

    def launch_host_func(self, callback: Callable[[Any], Any], arg: Any) -> None:
        issue(lambda: callback(arg), 0, self)

    def is_capturing(self) -> bool:
        return self._capture is not None

    def begin_capture(self, mode: int | None = None) -> None:
        del mode
        if not self.ptr:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._capture is not None:
            raise CUDARuntimeError(900)
        self._capture = Capture(self)
        _captures.append(self._capture)

    def end_capture(self) -> Graph:
        capture = self._capture
        if capture is None or capture.origin is not self:
            raise CUDARuntimeError(1)
        _captures.remove(capture)
        for stream in capture.joined:
            stream._capture = None
        if capture.invalid:
            raise CUDARuntimeError(901)
        if not all(capture.joined.values()):
            raise CUDARuntimeError(904)
        return Graph._made(capture.works)


Stream.null = Stream(null=True)


class Graph:
    """Work that was captured."""

    _works: list[Work]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("currently this class cannot be initiated by the user and must "
                                  "be created via stream capture")  # fmt: skip

    @classmethod
    def _made(cls, works: list[Work]) -> Graph:
        graph = object.__new__(cls)
        graph._works = works
        return graph

    def launch(self, stream: Any = None) -> None:
        def run() -> None:
            for work in self._works:
                work()

        issue(run, 1, stream)

    def upload(self, stream: Any = None) -> None:
        del stream


def get_current_stream(device_id: int = -1) -> Any:
    return here.streams.get(here.device if device_id == -1 else device_id, Stream.null)


def current_capture() -> Capture | None:
    """The capture that work issued now goes to."""
    return get_current_stream()._capture  # type: ignore[no-any-return]


def issue(work: Work, kernels: int = 1, stream: Any = None) -> None:
    """Does the work, or keeps it for the graph that is being captured."""
    stream = stream or get_current_stream()
    if not stream.ptr and any(not each.origin.is_non_blocking for each in _captures):
        raise CUDARuntimeError(906)
    count("launch", kernels)
    if stream._capture is None:
        work()
    else:
        stream._capture.add(stream, work)


def synchronous(what: str = "sync") -> None:
    """The host waits for the current stream: ``what`` is counted."""
    stream = get_current_stream()
    if stream._capture is not None:
        stream._capture.invalid = True
        raise RuntimeError("the current stream is capturing, so synchronous API calls are "
                           "disallowed")  # fmt: skip
    if what != "h2d":
        count("sync")
        stream._finish(stream._pending)
        races.waits(None, races.snapshot(stream.ptr))
    if what != "sync":
        count(what)


def synchronize_device() -> None:
    if _captures:
        for capture in _captures:
            capture.invalid = True
        raise CUDARuntimeError(900)
    count("sync")
    for stream in list(_streams):
        stream._finish(stream._pending)
        races.waits(None, races.snapshot(stream.ptr))


def reset() -> None:
    """As after starting: no capture, every device's null stream."""
    _captures.clear()
    races.reset()
    here.streams.clear()
    here.device = 0
    Stream.null._pending, Stream.null._capture = [], None

