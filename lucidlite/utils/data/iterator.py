"""The iterator of a DataLoader: runs an epoch's jobs here or in workers, and hands out in order."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

from lucidlite.callsite import HINT, describe, error, module_stack, user_site
from lucidlite.utils.data.ahead import Ahead, pinned
from lucidlite.utils.data.epoch import END, Epoch, Job, LoadError
from lucidlite.utils.data.worker import WorkerInitError, WorkerPool

Pending = deque[tuple[int, "Future[Any]"]]


class BatchIterator:
    """The batches of one epoch. With a ``pool``, up to ``ahead`` of them are under way at a time.

    ``own_pool``: the pool is closed with the iterator, which a loop left early drops. ``length``
    is what ``len()`` answers, None where it isn't known. ``device``: where batches go, one of them
    on its way while another is used. ``pin``: they pass through pinned memory.
    """

    def __init__(
        self,
        epoch: Epoch,
        length: int | None,
        pool: WorkerPool | None = None,
        own_pool: bool = True,
        ahead: int = 0,
        timeout: float = 0,
        device: Any = None,
        pin: bool = False,
    ) -> None:
        self._epoch = epoch
        self._length = length
        self._pool = pool
        self._ahead = ahead
        self._timeout = timeout
        self._jobs = _pinning(epoch.jobs()) if pin else epoch.jobs()
        self._there = None if device is None else Ahead(device)
        self._pending: Pending = deque()
        self._close = weakref.finalize(
            self, _release, epoch, self._pending, pool if own_pool else None
        )
        if pool is not None:
            self._fill(pool)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        if self._length is None:
            raise error(TypeError, "DataLoader: the dataset or its sampler has no length")
        return self._length

    def __next__(self) -> Any:
        while True:
            try:
                there = self._there
                worker, batch = self._take() if there is None else there.next(self._take)
            except (LoadError, WorkerInitError) as failure:
                self._epoch.position += 1
                raise _restated(failure) from failure.cause
            if batch is not END:
                self._epoch.position += 1
                return batch
            if worker is None:
                self._epoch.finished = True
                self._close()
                raise StopIteration
            self._epoch.end_stream(worker)

    def _take(self) -> tuple[int | None, Any]:
        """(worker, batch); END where a worker's stream is over, with no worker at the very end."""
        if self._pool is None:
            worker, job = next(self._jobs, (None, None))
            return (None, END) if job is None else (worker, job())
        self._fill(self._pool)
        if not self._pending:
            return None, END
        worker, future = self._pending[0]
        if self._timeout and not wait([future], self._timeout).done:
            raise error(
                RuntimeError, f"DataLoader timed out after {self._timeout} seconds, worker {worker}"
            )
        try:
            return worker, future.result()
        finally:
            self._pending.popleft()

    def _fill(self, pool: WorkerPool) -> None:
        while len(self._pending) < self._ahead:
            try:
                worker, job = next(self._jobs)
            except StopIteration:
                return
            except Exception as exc:  # the sampler's: raised when its turn comes
                failed: Future[Any] = Future()
                failed.set_exception(exc)
                self._pending.append((0, failed))
                return
            self._pending.append((worker, pool.submit(worker, job)))


def _pinning(jobs: Iterator[tuple[int, Job]]) -> Iterator[tuple[int, Job]]:
    """The same jobs, whose batches come in pinned memory."""
    for worker, job in jobs:
        yield worker, partial(_pinned_result, job)


def _pinned_result(job: Job) -> Any:
    return pinned(job())


def _release(epoch: Epoch, pending: Pending, pool: WorkerPool | None) -> None:
    epoch.stopped = True
    for _, future in pending:
        future.cancel()
    pending.clear()
    if pool is not None:
        pool.close()


class _Verbatim(str):
    """KeyError prints the repr of its message."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _restated(failure: LoadError | WorkerInitError) -> BaseException:
    """The cause again, in its class, with the sample and the caller's line in its message."""
    cause = failure.cause
    where = (
        failure.where
        if isinstance(failure, LoadError)
        else f"in worker_init_fn of worker {failure.worker}"
    )
    text = cause.args[0] if isinstance(cause, KeyError) and cause.args else cause
    text, mark, hint = str(text).partition(HINT)
    place = describe(user_site(), module_stack())
    if place in text:  # the collate_fn failed in this thread, called from the same line
        place = ""
    message = _Verbatim(f"{text}\n  {where}{place}{mark}{hint}")
    # StopIteration would end the caller's loop in silence.
    kind = RuntimeError if isinstance(cause, StopIteration) else type(cause)
    try:
        again = kind(message)
    except Exception:  # a class with a signature of its own
        return RuntimeError(f"{type(cause).__name__}: {message}")
    for name, value in vars(cause).items():
        again.__dict__.setdefault(name, value)
    return again
