"""Worker threads: each has a queue of its own, so that which worker loads what never varies."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple

from lucidlite.threads import stay_alone

# How long closing waits for a worker that is in the middle of a sample. It stops after the sample;
# one that never returns stays behind as a daemon and can't keep the interpreter from exiting.
JOIN_SECONDS = 5.0


class WorkerInfo(NamedTuple):
    """What ``get_worker_info`` tells: ``id`` of ``num_workers``, its own ``seed``, the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Local(threading.local):
    info: WorkerInfo | None = None


_local = _Local()


def get_worker_info() -> WorkerInfo | None:
    """In a DataLoader's worker: who it is; None everywhere else.

    Semantics: torch.utils.data.get_worker_info (the dataset is the loader's own, not a copy).
    """
    return _local.info


class WorkerInitError(Exception):
    """``worker_init_fn`` failed with ``cause``; every job of that worker ends so."""

    def __init__(self, worker: int, cause: BaseException) -> None:
        super().__init__(worker, cause)
        self.worker = worker
        self.cause = cause


_Queue = SimpleQueue["tuple[Future[Any], Callable[[], Any]] | None"]


class WorkerPool:
    """``count`` daemon threads that run jobs in the order of submission, each its own."""

    def __init__(
        self, count: int, dataset: Any, seed: int, init: Callable[[int], Any] | None
    ) -> None:
        self._queues: list[_Queue] = [SimpleQueue() for _ in range(count)]
        self._threads = [
            threading.Thread(
                target=_run,
                args=(queue, WorkerInfo(number, count, seed + number, dataset), init),
                name=f"lucidlite-loader-{number}",
                daemon=True,
            )
            for number, queue in enumerate(self._queues)
        ]
        self._finalizer = weakref.finalize(self, _close, self._queues, self._threads)
        for thread in self._threads:
            thread.start()

    def submit(self, worker: int, job: Callable[[], Any]) -> Future[Any]:
        """Have ``worker`` run ``job``."""
        future: Future[Any] = Future()
        self._queues[worker].put((future, job))
        return future

    def close(self) -> None:
        """Stop the threads and wait for them; jobs not begun are left."""
        self._finalizer()


def _close(queues: list[_Queue], threads: list[threading.Thread]) -> None:
    for queue in queues:
        queue.put(None)
    for thread in threads:
        # The garbage collector may call this from one of the threads themselves.
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join(JOIN_SECONDS)


def _run(queue: _Queue, info: WorkerInfo, init: Callable[[int], Any] | None) -> None:
    _local.info = info
    stay_alone()
    broken: BaseException | None = None
    if init is not None:
        try:
            init(info.id)
        except BaseException as exc:
            broken = exc
    while (item := queue.get()) is not None:
        future, job = item
        if future.set_running_or_notify_cancel():
            try:
                if broken is not None:
                    # A fresh one each time: raised over there, it will hold on to the caller's
                    # frames, which must not be reachable from this thread.
                    raise WorkerInitError(info.id, broken)
                result = job()
            except BaseException as exc:
                future.set_exception(exc)
            else:
                future.set_result(result)
                del result
        # Nothing of a finished batch is kept alive while waiting for the next.
        del item, future, job
