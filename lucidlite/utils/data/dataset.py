"""Datasets: by index, as a stream, from tensors, and combinations of them."""

from __future__ import annotations

import itertools
import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from lucidlite.callsite import error
from lucidlite.generator import Generator, current_generator
from lucidlite.tensor import Tensor

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Base class of datasets read by index: define ``__getitem__`` and ``__len__``.

    Two optional methods let a DataLoader read a whole batch at once: ``__getitems__(indices)``
    returns the list of samples, as in PyTorch; ``__getbatch__(indices)`` returns what
    ``default_collate`` would make of that list, or NotImplemented, and is used only with that
    collate function. There, ``lucidlite.generator.current_generator().each(len(indices), n)`` gives
    each sample the n draws that it would get alone; other draws depend on the batch.

    >>> import lucidlite
    >>> class Squares(lucidlite.utils.data.Dataset):
    ...     def __getitem__(self, index):
    ...         return index * index
    ...     def __len__(self):
    ...         return 5
    >>> [batch.tolist() for batch in lucidlite.utils.data.DataLoader(Squares(), batch_size=3)]
    [[0, 1, 4], [9, 16]]

    Semantics: torch.utils.data.Dataset.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise error(NotImplementedError, f"{type(self).__name__}: define __getitem__(index)")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """Base class of streams: define ``__iter__``.

    With workers, each one iterates the dataset on its own: share the stream out by
    ``get_worker_info()``, or every sample comes once per worker. All workers see the same object,
    so ``__iter__`` must keep its position in the iterator, not on ``self``.

    Semantics: torch.utils.data.IterableDataset.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise error(NotImplementedError, f"{type(self).__name__}: define __iter__()")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Samples are the rows of tensors with the same first dimension: ``(t[i] for t in tensors)``.

    A DataLoader with the default collate function takes each batch by one index operation.

    >>> import lucidlite
    >>> x, y = lucidlite.arange(6).reshape(3, 2), lucidlite.arange(3)
    >>> dataset = lucidlite.utils.data.TensorDataset(x, y)
    >>> [each.tolist() for each in dataset[1]]
    [[2, 3], 1]

    Semantics: torch.utils.data.TensorDataset (a size mismatch is a ValueError here).
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise error(ValueError, "TensorDataset: needs at least one tensor, got none")
        sizes = [len(t) for t in tensors]
        if len(set(sizes)) != 1:
            raise error(
                AssertionError, f"TensorDataset: Size mismatch between tensors, got sizes={sizes}"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple([t[index] for t in self.tensors])

    def __getbatch__(self, indices: Sequence[int]) -> list[Tensor]:
        rows = list(indices)
        return [t[rows] for t in self.tensors]

    def __len__(self) -> int:
        return len(self.tensors[0])


class ConcatDataset(Dataset[Any]):
    """Datasets one after another, read as one. Semantics: torch.utils.data.ConcatDataset."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise error(ValueError, "ConcatDataset: datasets should not be an empty iterable")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise error(ValueError, "ConcatDataset: takes no IterableDataset, use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(_length(d) for d in self.datasets))

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            if -index > len(self):
                raise error(
                    ValueError,
                    "ConcatDataset: absolute value of index should not exceed dataset length, "
                    f"got index={index}, length={len(self)}",
                )
            index += len(self)
        which = bisect_right(self.cumulative_sizes, index)
        if which == len(self.datasets):
            raise error(IndexError, f"ConcatDataset: got index={index}, length={len(self)}")
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[Any]):
    """Streams one after another. Semantics: torch.utils.data.ChainDataset."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise error(
                    ValueError,
                    f"ChainDataset: only supports IterableDataset, got {type(dataset).__name__}",
                )

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return sum(_length(d) for d in self.datasets)


class Subset(Dataset[T_co]):
    """The samples of ``dataset`` at ``indices``, in that order.

    Semantics: torch.utils.data.Subset.
    """

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[T_co]:
        inner = getattr(self.dataset, "__getitems__", None)
        if inner is None or type(self).__getitem__ is not Subset.__getitem__:
            return [self[i] for i in indices]  # a subclass that redefines __getitem__ is heard
        return list(inner([self.indices[i] for i in indices]))

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[T],
    lengths: Sequence[int | float],
    generator: Generator | None = None,
) -> list[Subset[T]]:
    """Cut a dataset at random into Subsets of the given lengths, or fractions that sum to 1.

    With fractions, what rounding down leaves goes to the parts in turn, the first one first.
    Raises ValueError where lengths don't sum to the dataset's, UserWarning for an empty part.

    >>> import lucidlite
    >>> g = lucidlite.Generator().manual_seed(0)
    >>> parts = lucidlite.utils.data.random_split(range(10), [0.75, 0.25], generator=g)
    >>> [len(part) for part in parts], sorted([*parts[0], *parts[1]]) == list(range(10))
    ([8, 2], True)

    Semantics: torch.utils.data.random_split.
    """
    size = _length(dataset)
    total = sum(lengths)
    if math.isclose(total, 1) and total <= 1:
        counts = _from_fractions(lengths, size)
    else:
        counts = [int(length) for length in lengths]
    if sum(counts) != size:
        raise error(
            ValueError,
            "random_split: Sum of input lengths does not equal the length of the input dataset! "
            f"got lengths={list(lengths)}, dataset length={size}",
        )
    order = (generator or current_generator()).permutation(size).tolist()
    return [
        Subset(dataset, order[end - count : end])
        for end, count in zip(itertools.accumulate(counts), counts, strict=True)
    ]


def _from_fractions(fractions: Sequence[float], size: int) -> list[int]:
    for number, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise error(
                ValueError,
                f"random_split: Fraction at index {number} is not between 0 and 1, got {fraction}",
            )
    counts = [math.floor(size * fraction) for fraction in fractions]
    for extra in range(size - sum(counts)):
        counts[extra % len(counts)] += 1
    for number, count in enumerate(counts):
        if count == 0:
            warnings.warn(
                f"Length of split at index {number} is 0. This might result in an empty dataset.",
                stacklevel=3,
            )
    return counts


def _length(dataset: Any) -> int:
    return len(dataset)
