"""One pass over a dataset: the order, the random numbers and the loading of each batch.

Everything random in an epoch follows from one number, its seed. The order comes from one fork of
it, what is drawn for a sample from a fork of its own (by its place in the epoch and its index),
also where a batch is loaded whole. So a sample depends neither on the number of workers nor on
their timing nor on the batch size, and an epoch can be replayed from any batch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from lucidlite.generator import Forks, Generator, use_generator
from lucidlite.utils.data.collate import default_collate
from lucidlite.utils.data.dataset import Subset
from lucidlite.utils.data.worker import get_worker_info

# What an epoch's forks are for: their first key.
_ORDER, _SAMPLE, _BATCH, _COLLATE, _STREAM = range(5)

END = object()  # what a job returns when its stream is over
Job = Callable[[], Any]


class Plan(NamedTuple):
    """What an epoch knows of its loader."""

    dataset: Any
    index_sampler: Any  # None for a stream
    batched: bool  # index_sampler yields lists of indices
    batch_size: int | None
    drop_last: bool
    collate_fn: Callable[[Any], Any]
    num_workers: int


class LoadError(Exception):
    """Loading failed with ``cause``; ``where`` names the sample."""

    def __init__(self, cause: Exception, where: str) -> None:
        super().__init__(cause, where)
        self.cause = cause
        self.where = where


class _Abandoned(Exception):
    """The consumer has gone; nobody reads this."""


class Epoch:
    """The jobs of one pass in order, after ``position`` batches that were had before."""

    def __init__(self, plan: Plan, seed: int, position: int) -> None:
        self.seed = seed
        self.position = position  # batches the consumer has had
        self.finished = False
        self.stopped = False
        self._plan = plan
        self._root = Generator().manual_seed(seed)
        self._streams: dict[int, _Stream] = {}
        self._order = self._root.fork(_ORDER)
        if plan.index_sampler is not None:
            with use_generator(self._order):
                self._indices = iter(plan.index_sampler)

    def jobs(self) -> Iterator[tuple[int, Job]]:
        """(worker, job) for each batch to come. A job returns the batch, or END."""
        return self._stream_jobs() if self._plan.index_sampler is None else self._index_jobs()

    def end_stream(self, worker: int) -> None:
        """Note that a worker's job returned END."""
        self._streams.pop(worker, None)

    def _index_jobs(self) -> Iterator[tuple[int, Job]]:
        skip, workers = self.position, max(self._plan.num_workers, 1)
        ordinal = 0
        for number in count():
            with use_generator(self._order):
                try:
                    index = next(self._indices)
                except StopIteration:
                    return
            if self._plan.batched:
                indices = list(index)
                job = partial(self._load_batch, number, ordinal, indices)
                ordinal += len(indices)
            else:
                job = partial(self._load_sample, number, index)
            if number >= skip:
                yield number % workers, job

    def _load_sample(self, number: int, index: Any) -> Any:
        sample = self._item(self._plan.dataset, index, number, number, index)
        return self._collate(sample, number, f"sample {index}")

    def _load_batch(self, number: int, ordinal: int, indices: list[Any]) -> Any:
        dataset, rows = _unwrap(self._plan.dataset, indices)
        if self._plan.collate_fn is default_collate and _reads(dataset, "__getbatch__"):
            batch = self._whole(dataset.__getbatch__, rows, number, ordinal, indices)
            if batch is not NotImplemented:
                return batch
        if _reads(dataset, "__getitems__"):
            samples = self._whole(dataset.__getitems__, rows, number, ordinal, indices)
        else:
            samples = [
                self._item(dataset, row, number, ordinal + k, indices[k])
                for k, row in enumerate(rows)
            ]
        return self._collate(samples, number, f"samples {_short(indices)}")

    # The ordinal, a sample's place in the epoch, tells repeats of an index apart; the index tells
    # apart loaders that share out a dataset under one seed.

    def _item(self, dataset: Any, row: Any, number: int, ordinal: int, index: Any) -> Any:
        if self.stopped:
            raise _Abandoned
        with use_generator(self._root.fork(_SAMPLE, ordinal, _as_key(index))):
            try:
                return dataset[row]
            except Exception as exc:
                raise LoadError(exc, f"loading sample {index} ({_place(number)})") from exc

    def _whole(
        self, fetch: Callable[..., Any], rows: Any, number: int, ordinal: int, indices: list[Any]
    ) -> Any:
        def keys() -> tuple[Any, ...]:
            places = range(ordinal, ordinal + len(indices))
            return _SAMPLE, places, [_as_key(index) for index in indices]

        with use_generator(Forks(self._root, (_BATCH, number), len(indices), keys)):
            try:
                return fetch(rows)
            except Exception as exc:
                where = f"loading samples {_short(indices)} ({_place(number)})"
                raise LoadError(exc, where) from exc

    def _collate(self, samples: Any, number: int, what: str) -> Any:
        with use_generator(self._root.fork(_COLLATE, number)):
            try:
                return self._plan.collate_fn(samples)
            except Exception as exc:
                raise LoadError(exc, f"collating {what} ({_place(number)})") from exc

    def _stream_jobs(self) -> Iterator[tuple[int, Job]]:
        for worker in range(max(self._plan.num_workers, 1)):
            self._streams[worker] = _Stream(self._plan, self._root.fork(_STREAM, worker))
        while self._streams:
            for worker in list(self._streams):
                if worker in self._streams:
                    yield worker, self._streams[worker].next_batch


class _Stream:
    """A worker's own iterator of an IterableDataset."""

    def __init__(self, plan: Plan, generator: Generator) -> None:
        self._plan = plan
        self._generator = generator
        self._iterator: Iterator[Any] | None = None
        self._count = 0
        self._over = False

    def next_batch(self) -> Any:
        size = self._plan.batch_size
        with use_generator(self._generator):
            if size is None:
                sample = self._next()
                return END if sample is END else self._collate(sample, 1)
            samples: list[Any] = []
            while len(samples) < size and (sample := self._next()) is not END:
                samples.append(sample)
            if not samples or (self._plan.drop_last and len(samples) < size):
                return END
            return self._collate(samples, len(samples))

    def _next(self) -> Any:
        if self._over:
            return END
        try:
            if self._iterator is None:
                self._iterator = iter(self._plan.dataset)
            sample = next(self._iterator)
        except StopIteration:
            self._over = True
            return END
        except Exception as exc:
            raise LoadError(exc, f"loading sample {self._count} of the stream{_by()}") from exc
        self._count += 1
        return sample

    def _collate(self, samples: Any, size: int) -> Any:
        try:
            return self._plan.collate_fn(samples)
        except Exception as exc:
            first = self._count - size
            where = f"collating samples {first} to {self._count - 1} of the stream{_by()}"
            raise LoadError(exc, where) from exc


def _unwrap(dataset: Any, indices: list[Any]) -> tuple[Any, list[Any]]:
    """Through plain Subsets to the dataset that has the samples, and their indices there."""
    while type(dataset) is Subset:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    return dataset, indices


def _reads(dataset: Any, method: str) -> bool:
    """Whether the class has ``method``, and no subclass of its owner redefines ``__getitem__``."""
    for owner in type(dataset).__mro__:
        if method in vars(owner):
            return True
        if "__getitem__" in vars(owner):
            return False
    return False


def _as_key(index: Any) -> int:
    try:
        return operator.index(index)
    except TypeError:
        return 0


def _by() -> str:
    info = get_worker_info()
    return "" if info is None else f", worker {info.id}"


def _place(number: int) -> str:
    return f"batch {number}{_by()}"


def _short(indices: list[Any]) -> str:
    if len(indices) <= 8:
        return str(indices)
    return f"[{', '.join(map(str, indices[:4]))}, ... {len(indices)} in all]"
