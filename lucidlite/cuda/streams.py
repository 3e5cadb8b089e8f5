"""Streams and events of ``lucidlite.cuda``. A device computes in one stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lucidlite.backends import get_backend
from lucidlite.callsite import error
from lucidlite.device import Device

Place = int | str | Device | None


class Stream:
    """The stream a GPU computes in, as ``current_stream()`` gives it.

    Calling the class raises NotImplementedError: with one stream a device nothing has to be
    ordered by hand. What is worth a second stream is there without it: ``DataLoader(device=...)``
    copies the next batch while this one is computed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise error(
            NotImplementedError,
            "cuda.Stream: a device computes in one stream here, cuda.current_stream(); "
            "DataLoader(device='cuda') copies batches beside it, "
            f"got args={args}, kwargs={kwargs}",
        )

    @classmethod
    def of(cls, backend: Any) -> Stream:
        """The stream of a backend."""
        made = cls.__new__(cls)
        made._backend = backend
        return made

    _backend: Any

    @property
    def device(self) -> Device:
        found: Device = self._backend.device
        return found

    @property
    def cuda_stream(self) -> int:
        """CUDA's own handle, for other libraries."""
        return int(self._backend.stream.ptr)

    def synchronize(self) -> None:
        """Wait until everything given to the device so far is done."""
        self._backend.synchronize()

    def query(self) -> bool:
        """Whether everything given to the device so far is done."""
        self._backend.enter()
        return bool(self._backend.stream.done)

    def record_event(self, event: Event | None = None) -> Event:
        """Mark this point of the stream in ``event``, or in a new one."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what follows in this stream wait for ``event``."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Let what follows in this stream wait for what is in another device's now."""
        if stream != self:
            self.wait_event(stream.record_event())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self._backend is other._backend

    def __hash__(self) -> int:
        return hash(self.device)

    def __repr__(self) -> str:
        return f"<lucidlite.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


def current_stream(device: Place = None) -> Stream:
    """The stream of a GPU, by default the current one. Semantics: torch.cuda.current_stream."""
    return Stream.of(get_backend(Device("cuda" if device is None else device)))


def default_stream(device: Place = None) -> Stream:
    """The same as ``current_stream``."""
    return current_stream(device)


@contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """There is only one to choose, or None. Semantics: torch.cuda.stream."""
    if stream is not None and not isinstance(stream, Stream):
        raise error(
            TypeError, f"cuda.stream: expected a cuda.Stream or None, got {type(stream).__name__}"
        )
    yield


class Event:
    """A point in a stream, to wait for or, with ``enable_timing``, to measure time from.

    ``elapsed_time`` gives milliseconds on the GPU's own clock; ``synchronize()`` first.
    Raises RuntimeError for an event that was never recorded.

    Semantics: torch.cuda.Event (``interprocess`` must be False).
    """

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        if interprocess:
            raise error(ValueError, f"cuda.Event: interprocess must be False, got {interprocess}")
        self._timing, self._blocking = enable_timing, blocking
        self._event: Any = None  # CUDA's, made on the device where it is first recorded
        self._stream: Stream | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Mark the present end of a stream, by default the current device's."""
        stream = current_stream() if stream is None else stream
        backend = stream._backend
        cupy = backend.enter()
        if self._event is None or self._stream != stream:
            self._event = cupy.cuda.Event(block=self._blocking, disable_timing=not self._timing)
        self._stream = stream
        self._event.record(backend.stream)

    def wait(self, stream: Stream | None = None) -> None:
        """Let what follows in a stream wait until this event has passed."""
        stream = current_stream() if stream is None else stream
        if self._event is not None:  # as in CUDA, an event never recorded has passed
            stream._backend.enter()
            stream._backend.stream.wait_event(self._event)

    def query(self) -> bool:
        """Whether the device has passed this event."""
        return self._event is None or bool(self._event.done)

    def synchronize(self) -> None:
        """Wait on the host until the device has passed this event."""
        if self._event is not None:
            self._event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to ``end_event``."""
        for event, name in ((self, "start"), (end_event, "end")):
            if event._event is None or not event._timing:
                raise error(
                    RuntimeError if event._timing else ValueError,
                    "cuda.Event.elapsed_time: both events must be made with enable_timing=True and "
                    f"recorded, the {name} isn't",
                )
        cupy = current_stream()._backend.enter()
        return float(cupy.cuda.get_elapsed_time(self._event, end_event._event))
