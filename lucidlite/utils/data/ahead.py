"""Batches on their way to a device: pinned, and copied one ahead of the consumer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lucidlite.backends import Backend, get_backend
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor
from lucidlite.utils.data.collate import rebuild, refill


def each_tensor(batch: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same structure with ``change`` of each tensor in it; everything else stays."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return rebuild(batch, {key: each_tensor(value, change) for key, value in batch.items()})
    if isinstance(batch, tuple):
        values = [each_tensor(value, change) for value in batch]
        return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes | bytearray):
        return refill(batch, [each_tensor(value, change) for value in batch])
    return batch


def pinned(batch: Any) -> Any:
    """The batch with its tensors in pinned memory, or what its own ``pin_memory()`` returns."""
    if not isinstance(batch, Tensor) and callable(own := getattr(batch, "pin_memory", None)):
        return own()
    return each_tensor(batch, lambda t: t if t.is_cuda else t.pin_memory())


class _Ready(NamedTuple):
    """What one call of ``take`` gave: a worker and a batch under way, or an error."""

    worker: int | None
    batch: Any
    buffer: Any = None
    failure: Exception | None = None


_OURS = (__name__, "lucidlite.utils.data.iterator")
Take = Callable[[], tuple[int | None, Any]]


class Ahead:
    """Sends (worker, batch) after (worker, batch) to ``device``, one ahead of who asks for them.

    The copy of the next batch is begun before this one is handed out, and so runs beside its
    computation. Errors come at their turn.
    """

    def __init__(self, device: Any) -> None:
        self._backend: Backend = get_backend(device)
        self._upload = self._backend.uploader()
        self._ready: _Ready | None = None

    def next(self, take: Take) -> tuple[int | None, Any]:
        """What ``take`` gave one call ago, after a look at what it gives now."""
        ready = self._fetched(take) if self._ready is None else self._ready
        self._ready = None
        if ready.failure is not None:
            raise ready.failure
        if ready.worker is not None:  # else it was the end
            self._ready = self._fetched(take)
        if ready.buffer is not None:
            self._upload.receive(ready.buffer)
        return ready.worker, ready.batch

    def _fetched(self, take: Take) -> _Ready:
        try:
            worker, batch = take()
            return _Ready(worker, *self._sent(batch))
        except Exception as problem:
            # The frames here and in ``take`` would keep whoever drops the loader alive.
            trace = problem.__traceback__
            while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
                trace = trace.tb_next
            return _Ready(0, None, failure=problem.with_traceback(trace))

    def _sent(self, batch: Any) -> tuple[Any, Any]:
        """The batch with tensors on the device, and the buffer they come from."""
        hosts: list[Any] = []

        def collect(tensor: Tensor) -> Tensor:
            if self._is_plain(tensor):
                hosts.append(tensor.array)
            return tensor

        each_tensor(batch, collect)
        if not hosts:
            return each_tensor(batch, lambda t: t.to(self._backend.device)), None
        arrays, buffer = self._upload.send(hosts)
        arriving = iter(arrays)

        def moved(tensor: Tensor) -> Tensor:
            if self._is_plain(tensor):
                return wrap(next(arriving), self._backend)
            return tensor.to(self._backend.device)

        return each_tensor(batch, moved), buffer

    def _is_plain(self, tensor: Tensor) -> bool:
        return tensor.device.type == "cpu" and not tensor.requires_grad
