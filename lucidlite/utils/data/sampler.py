"""Samplers: in which order a DataLoader visits a dataset.

Randomness comes from ``generator`` if one is given. Otherwise it comes from the generator in use,
which inside a DataLoader is the epoch's own, and elsewhere the default one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from lucidlite.callsite import error
from lucidlite.creation import as_tensor
from lucidlite.dtypes import float64
from lucidlite.generator import Generator, current_generator

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base class: define ``__iter__``, which yields indices (or lists of them), and ``__len__``.

    Semantics: torch.utils.data.Sampler.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise error(NotImplementedError, f"{type(self).__name__}: define __iter__()")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... Semantics: torch.utils.data.SequentialSampler."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random order, or with ``replacement`` independent draws; ``num_samples`` of them.

    Without replacement, more samples than the data has are several permutations in a row.

    >>> import lucidlite
    >>> g = lucidlite.Generator().manual_seed(0)
    >>> sorted(lucidlite.utils.data.RandomSampler(range(4), generator=g))
    [0, 1, 2, 3]

    Semantics: torch.utils.data.RandomSampler (other numbers).
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise error(
                TypeError,
                f"replacement should be a boolean value, but got replacement={replacement}",
            )
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        _check_count("num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        # All draws are made at once: a loader can then replay an epoch from the generator's state.
        generator = self.generator or current_generator()
        size, count = len(self.data_source), self.num_samples
        if self.replacement:
            order = generator.integers(0, size, (count,))
        else:
            rounds = [generator.permutation(size) for _ in range(-(-count // size))]
            order = np.concatenate(rounds)[:count]
        yield from order.tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order. Semantics: torch.utils.data.SubsetRandomSampler."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or current_generator()
        for position in generator.permutation(len(self.indices)).tolist():
            yield self.indices[position]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """``num_samples`` draws of 0 .. len(weights) - 1, each as likely as its weight says.

    ``weights`` need not sum to 1. Raises ValueError for weights that aren't one-dimensional, and
    RuntimeError while iterating for negative or non-finite ones, or too few positive ones.

    >>> import lucidlite
    >>> sampler = lucidlite.utils.data.WeightedRandomSampler([0.0, 1.0, 0.0], num_samples=3)
    >>> list(sampler)
    [1, 1, 1]

    Semantics: torch.utils.data.WeightedRandomSampler (other numbers).
    """

    def __init__(
        self,
        weights: Sequence[float] | Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        _check_count("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise error(
                ValueError,
                f"replacement should be a boolean value, but got replacement={replacement}",
            )
        self.weights = as_tensor(weights, dtype=float64)
        if len(self.weights.shape) != 1:
            raise error(
                ValueError,
                "weights should be a 1d sequence but given weights have shape "
                f"{tuple(self.weights.shape)}",
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or current_generator()
        weights = np.asarray(self.weights.backend.to_numpy(self.weights.array))
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise error(
                RuntimeError,
                "WeightedRandomSampler: weights contain either inf, nan or element < 0",
            )
        positive = int(np.count_nonzero(weights))
        if positive == 0 or (not self.replacement and positive < self.num_samples):
            raise error(
                RuntimeError,
                "WeightedRandomSampler: not enough categories with a positive weight, "
                f"got {positive} for num_samples={self.num_samples}, "
                f"replacement={self.replacement}",
            )
        if self.replacement:
            sums = np.cumsum(weights)
            points = generator.uniform((self.num_samples,), np.float64) * sums[-1]
            # The last positive weight ends the line: rounding must not step past it.
            order = np.minimum(np.searchsorted(sums, points, "right"), np.flatnonzero(weights)[-1])
        else:
            # Exponential arrival times with the weights as rates: the first to arrive are a
            # weighted draw without replacement (Efraimidis and Spirakis, 2006).
            with np.errstate(divide="ignore"):
                times = -np.log1p(-generator.uniform(weights.shape, np.float64)) / weights
            times[weights == 0] = np.inf
            order = np.argsort(times, kind="stable")[: self.num_samples]
        yield from order.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of ``batch_size`` indices of another sampler; ``drop_last`` drops an incomplete one.

    >>> import lucidlite
    >>> list(lucidlite.utils.data.BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]

    Semantics: torch.utils.data.BatchSampler.
    """

    def __init__(
        self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool
    ) -> None:
        _check_count("batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise error(
                ValueError, f"drop_last should be a boolean value, but got drop_last={drop_last}"
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise error(
            ValueError, f"{name} should be a positive integer value, but got {name}={value}"
        )
