"""The workers that help with a kernel's parts, and how a caller shares them out.

Every part is claimed before it is done. A caller that finds its own part finished does what no
worker has begun, and waits for what one has: a worker that comes late, has ended or never started
costs time and nothing else.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from lucidlite.callsite import error

# To be woken takes about 30 us, so a caller who waits keeps busy for twice as long, in turns of
# some 4 us: NumPy's loop leaves the interpreter to the workers, from 501 elements on.
_BUSY_SECONDS = 60e-6
_busy = np.arange(1000.0, 1513.0)


class _Local(threading.local):
    alone = False  # this thread never takes the pool


local = _Local()


class _Bell:
    """One thread waits for it, others ring; two rings before it wakes are one."""

    def __init__(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self.wait = lock.acquire
        self._release = lock.release

    def ring(self) -> None:
        try:
            self._release()
        except RuntimeError:  # rung already
            return


class _Job:
    """One call's parts: who does which, and which of the workers' are done.

    What is noted is noted in single steps, and may be asked again (a claim by ``setdefault``), so
    that an interrupt between any two of them loses nothing. The bell only says to look again.
    """

    __slots__ = ("done", "news", "owners", "parts", "problems", "work")

    def __init__(self, work: Callable[[Any], Any], parts: Sequence[Any], news: _Bell) -> None:
        self.work: Any = work
        self.parts = parts
        self.owners: dict[int, object] = {}
        self.done = [False] * len(parts)  # by a worker
        self.problems: dict[int, BaseException] = {}
        self.news = news

    def assist(self, first: int) -> None:
        """In a worker: do what is not claimed, from part ``first`` on."""
        me = object()
        count = len(self.parts)
        for turn in range(count):
            number = (first + turn) % count
            if self.owners.setdefault(number, me) is not me:
                continue
            try:
                self.work(self.parts[number])
            except BaseException as problem:
                self.problems[number] = problem
            finally:
                self.done[number] = True
                self.news.ring()

    def do_mine(self) -> None:
        """In the caller: the same, the first part first."""
        for number, part in enumerate(self.parts):
            if self.owners.setdefault(number, self) is self:
                self.work(part)

    def settle(self) -> None:
        """In the caller: what nobody has begun won't be; what is begun is waited for.

        Interrupts have to wait too: the workers write to the caller's arrays.
        """
        interrupt: BaseException | None = None
        while True:
            try:
                for number in range(len(self.parts)):
                    if self.owners.setdefault(number, self) is not self:
                        self._wait_for(number)
                break
            except BaseException as caught:
                interrupt = interrupt or caught
        if interrupt is not None:
            try:
                raise interrupt
            finally:
                del interrupt  # or it would hold its own frame, and the arrays there

    def _wait_for(self, number: int) -> None:
        end = perf_counter() + _BUSY_SECONDS
        while not self.done[number] and perf_counter() < end:
            np.remainder(_busy, 1.7)
        while not self.done[number]:
            self.news.wait()

    def abandon(self) -> None:
        """In a child process, which has none of the workers."""
        self.done = [True] * len(self.done)
        self.problems[-1] = error(
            RuntimeError, "os.fork: called while a kernel ran, whose threads are not in the child"
        )


class _Place:
    """Where a worker waits, and finds the latest job. An older one it missed is done by now."""

    def __init__(self) -> None:
        self.job: _Job | None = None
        self.ended = False
        self.bell = _Bell()

    def serve(self, number: int) -> None:
        local.alone = True
        with np.errstate(all="ignore"):
            while True:
                self.bell.wait()
                if self.ended:
                    return
                job = self.job
                if job is not None:
                    job.assist(number)
                del job  # an idle worker holds nothing


class _Worker:
    """A thread at its place; it ends when nobody holds this object."""

    def __init__(self, number: int) -> None:
        self.place = _Place()
        self.thread = threading.Thread(
            target=self.place.serve, args=(number,), name=f"lucidlite-kernel-{number}", daemon=True
        )
        self.thread.start()

    def hand(self, job: _Job) -> None:
        self.place.job = job
        self.place.bell.ring()

    def __del__(self) -> None:
        self.place.ended = True
        self.place.bell.ring()


class Pool:
    """The workers, and the one job that has them now."""

    def __init__(self) -> None:
        self.count = 0  # threads a kernel may use, the caller's included; 0: not asked for yet
        self.workers: list[_Worker] = []
        self.jobs: dict[str, _Job] = {}  # the job that has the workers, under "now"
        self.news = _Bell()
        self.closed = False  # the interpreter is about to end

    def resize(self, count: int) -> None:
        self.count = count
        del self.workers[count - 1 :]

    def run(self, work: Callable[[Any], Any], parts: Sequence[Any], count: int) -> None:
        """All parts, by ``count`` threads; or by this one while another job has the workers."""
        jobs, job = self.jobs, _Job(work, parts, self.news)
        try:
            if jobs.setdefault("now", job) is job:
                self._share(job, count)
            else:
                for part in parts:
                    work(part)
        finally:
            # No calls in here: after a call Python looks for interrupts.
            if "now" in jobs and jobs["now"] is job:
                del jobs["now"]

    def _call(self, count: int) -> list[_Worker]:
        """So many workers, or as many as can be had."""
        while len(self.workers) < count and not self.closed:
            try:
                self.workers.append(_Worker(len(self.workers) + 1))
            except RuntimeError:  # no more threads, says the system
                break
        return self.workers[:count]

    def _share(self, job: _Job, count: int) -> None:
        try:
            try:
                for worker in self._call(count - 1):
                    worker.hand(job)
                job.do_mine()
            finally:
                job.settle()
        except BaseException:
            job.settle()  # an interrupt may have struck at the other's door
            raise
        finally:
            problems, job.problems = job.problems, {}
            job.work, job.parts = None, ()  # a late worker finds nothing, and holds nothing
        if problems:
            raise problems.pop(min(problems))


pool = Pool()


def _after_fork() -> None:
    """A child has none of its parent's threads, and perhaps a job that will never be done."""
    for job in pool.jobs.values():
        job.abandon()
    pool.workers, pool.jobs, pool.news = [], {}, _Bell()


def _close() -> None:
    """At exit: the workers end before the interpreter does; who still calls does all alone."""
    pool.closed = True
    threads = [worker.thread for worker in pool.workers]
    pool.workers = []
    for thread in threads:
        thread.join(1.0)


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
