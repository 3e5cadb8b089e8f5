"""Datasets, samplers and collate functions (the loader: test_dataloader.py)."""

from __future__ import annotations

from collections import Counter, OrderedDict, namedtuple
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import lucidlite as ll
from lucidlite.utils import data

Point = namedtuple("Point", ["x", "label"])


def seeded(seed: int = 0) -> Any:
    return ll.Generator().manual_seed(seed)


# -- datasets -----------------------------------------------------------------------------------


def test_tensor_dataset() -> None:
    x, y = ll.arange(6).reshape(3, 2), ll.tensor([0.0, 1.0, 2.0])
    dataset = data.TensorDataset(x, y)
    assert len(dataset) == 3
    a, b = dataset[2]
    assert (a.tolist(), b.item()) == ([4, 5], 2.0)
    assert [t.tolist() for t in dataset[0:2]] == [[[0, 1], [2, 3]], [0.0, 1.0]]
    assert [t.tolist() for t in dataset.__getbatch__([2, 0])] == [[[4, 5], [0, 1]], [2.0, 0.0]]
    with pytest.raises(AssertionError, match=r"Size mismatch between tensors, got sizes=\[3, 2\]"):
        data.TensorDataset(x, y[:2])
    with pytest.raises(ValueError, match="at least one tensor"):
        data.TensorDataset()
    with pytest.raises(IndexError):
        dataset[3]


def test_concat_dataset() -> None:
    joined = data.ConcatDataset([[1, 2, 3], [4], [5, 6]])
    assert len(joined) == 6
    assert [joined[i] for i in range(6)] == [1, 2, 3, 4, 5, 6]
    assert [joined[-1], joined[-6]] == [6, 1]
    with pytest.raises(IndexError, match="got index=6, length=6"):
        joined[6]
    with pytest.raises(ValueError, match="should not exceed dataset length"):
        joined[-7]
    with pytest.raises(ValueError, match="empty iterable"):
        data.ConcatDataset([])
    added = data.Subset([1, 2], [0]) + data.Subset([3, 4], [1])
    assert list(data.DataLoader(added, batch_size=None)) == [1, 4]


def test_subset() -> None:
    inner = data.Subset([10, 11, 12, 13, 14], [4, 2, 0])
    outer = data.Subset(inner, [2, 0])
    assert [outer[0], outer[1], len(outer)] == [10, 14, 2]
    assert outer.__getitems__([1, 0]) == [14, 10]

    class Doubled(data.Subset):
        def __getitem__(self, index: Any) -> Any:
            return 2 * super().__getitem__(index)

    assert Doubled([1, 2, 3], [2, 1]).__getitems__([0, 1]) == [6, 4]


def test_dataset_without_items() -> None:
    with pytest.raises(NotImplementedError, match="define __getitem__"):
        data.Dataset()[0]

    class Stream(data.IterableDataset):
        pass

    with pytest.raises(NotImplementedError, match="define __iter__"):
        iter(Stream())
    with pytest.raises(ValueError, match="takes no IterableDataset"):
        data.ConcatDataset([Stream()])
    with pytest.raises(ValueError, match="only supports IterableDataset, got Subset"):
        data.ChainDataset([data.Subset([1], [0])])


@pytest.mark.parametrize("lengths", [[7, 3], [0.7, 0.3], [0.5, 0.3, 0.2], [1, 9, 0], [1 / 3] * 3])
def test_random_split_lengths_follow_torch(lengths: list[float]) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    theirs = torch.utils.data.random_split(range(10), lengths)
    parts = data.random_split(range(10), lengths, generator=seeded())
    assert [len(p) for p in parts] == [len(p) for p in theirs]
    assert sorted(i for p in parts for i in p) == list(range(10))


def test_random_split_is_seeded() -> None:
    def split(seed: int) -> list[Any]:
        return [p.indices for p in data.random_split(range(50), [0.5, 0.5], seeded(seed))]

    assert split(1) == split(1) != split(2)
    ll.manual_seed(3)
    first = data.random_split(range(50), [20, 30])[0].indices
    ll.manual_seed(3)
    assert data.random_split(range(50), [20, 30])[0].indices == first


def test_random_split_refuses() -> None:
    with pytest.raises(ValueError, match=r"Sum of input lengths .* got lengths=\[3, 3\]"):
        data.random_split(range(10), [3, 3])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        data.random_split(range(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="split at index 1 is 0"):
        data.random_split(range(2), [0.9, 0.1])


# -- samplers -----------------------------------------------------------------------------------


def test_sequential_and_batch_samplers() -> None:
    assert list(data.SequentialSampler("abc")) == [0, 1, 2]
    for drop, expected in ((False, [[0, 1], [2, 3], [4]]), (True, [[0, 1], [2, 3]])):
        sampler = data.BatchSampler(data.SequentialSampler(range(5)), 2, drop)
        assert list(sampler) == expected
        assert len(sampler) == len(expected)


def test_random_sampler() -> None:
    orders = [list(data.RandomSampler(range(40), generator=seeded(s))) for s in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(40)) != orders[0]
    g = seeded()
    sampler = data.RandomSampler(range(40), generator=g)
    assert list(sampler) != list(sampler)

    many = data.RandomSampler(range(4), num_samples=10, generator=seeded())
    drawn = list(many)
    assert len(many) == len(drawn) == 10
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]
    assert len(set(drawn[8:])) == 2

    again = list(
        data.RandomSampler(range(5), replacement=True, num_samples=4000, generator=seeded())
    )
    counts = Counter(again)
    assert set(counts) == set(range(5))
    assert max(abs(c - 800) for c in counts.values()) < 120


def test_subset_random_sampler() -> None:
    sampler = data.SubsetRandomSampler([5, 7, 9, 11], generator=seeded())
    assert sorted(sampler) == [5, 7, 9, 11]
    assert len(sampler) == 4


def test_weighted_sampler_frequencies() -> None:
    weights = [0.0, 1.0, 3.0, 0.0, 4.0, 0.0]
    drawn = Counter(data.WeightedRandomSampler(weights, 8000, generator=seeded()))
    assert set(drawn) == {1, 2, 4}
    for index, share in ((1, 1000), (2, 3000), (4, 4000)):
        assert abs(drawn[index] - share) < 200

    firsts: Counter[int] = Counter()
    for seed in range(2000):
        order = list(data.WeightedRandomSampler(weights, 3, False, generator=seeded(seed)))
        assert sorted(order) == [1, 2, 4]
        firsts[order[0]] += 1
    for index, share in ((1, 250), (2, 750), (4, 1000)):
        assert abs(firsts[index] - share) < 120


@pytest.mark.parametrize(
    ("weights", "count", "replacement"),
    [([0.0, 0.0], 1, True), ([1.0, -1.0], 1, True), ([1.0, float("nan")], 1, True),
     ([1.0, 0.0], 2, False)],
)  # fmt: skip
def test_weighted_sampler_refuses_weights(
    weights: list[float], count: int, replacement: bool
) -> None:
    with pytest.raises(RuntimeError, match="WeightedRandomSampler"):
        list(data.WeightedRandomSampler(weights, count, replacement))


def test_samplers_refuse() -> None:
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="num_samples should be a positive integer"):
            data.RandomSampler(range(3), num_samples=bad)
        with pytest.raises(ValueError, match="num_samples should be a positive integer"):
            data.WeightedRandomSampler([1.0], bad)
        with pytest.raises(ValueError, match="batch_size should be a positive integer"):
            data.BatchSampler(range(3), bad, False)
    with pytest.raises(ValueError, match="num_samples=0"):
        data.RandomSampler([])
    with pytest.raises(TypeError, match="replacement should be a boolean"):
        data.RandomSampler(range(3), replacement=1)
    with pytest.raises(ValueError, match="weights should be a 1d sequence"):
        data.WeightedRandomSampler([[1.0]], 1)
    with pytest.raises(ValueError, match="drop_last should be a boolean"):
        data.BatchSampler(range(3), 1, 0)


# -- collate ------------------------------------------------------------------------------------


def outline(value: Any) -> Any:
    """A batch as plain data, the same for both libraries' tensors."""
    if hasattr(value, "numpy") and not isinstance(value, np.generic):
        return ("tensor", str(value.dtype), tuple(value.shape), value.tolist())
    if isinstance(value, dict | MappingProxyType):
        return (type(value).__name__, {k: outline(v) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return (type(value).__name__, [outline(v) for v in value])
    return value


def samples(lib: Any) -> dict[str, list[Any]]:
    def t(*values: float) -> Any:
        return lib.tensor(list(values))

    return {
        "tensors": [t(1, 2), t(3, 4)],
        "float tensors": [t(1.5), t(2.5)],
        "0-dim": [lib.tensor(1), lib.tensor(2)],
        "arrays": [np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)],
        "uint8 arrays": [np.ones(2, np.uint8), np.zeros(2, np.uint8)],
        "mixed arrays": [np.ones(2, np.float32), np.zeros(2, np.float64)],
        "0-dim arrays": [np.array(1.0), np.array(2.0)],
        "floats": [1.0, 2.0],
        "ints": [1, 2],
        "int then float": [1, 2.5],
        "bools": [True, False],
        "float32": [np.float32(1), np.float32(2)],
        "float64": [np.float64(1), np.float64(2)],
        "int64": [np.int64(1), np.int64(2)],
        "int32": [np.int32(1), np.int32(2)],
        "numpy bools": [np.bool_(True), np.bool_(False)],
        "str": ["a", "b"],
        "bytes": [b"a", b"b"],
        "tuples": [(t(1), 2, "c"), (t(4), 5, "f")],
        "lists": [[1, 2.0], [3, 4.0]],
        "dicts": [{"x": t(1), "y": 2}, {"x": t(3), "y": 4}],
        "ordered": [OrderedDict(b=1, a=2), OrderedDict(b=3, a=4)],
        "read-only": [MappingProxyType({"a": 1}), MappingProxyType({"a": 2})],
        "named": [Point(t(1.0), 1), Point(t(2.0), 0)],
        "nested": [
            {"p": Point([1, (2, t(3))], {"q": 1.0})},
            {"p": Point([4, (5, t(6))], {"q": 2.0})},
        ],
        "ranges": [range(2), range(2, 4)],
        "one": [(t(1), {"a": 0.5})],
    }


@pytest.mark.parametrize("name", samples(ll))
def test_collate_follows_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours = data.default_collate(samples(ll)[name])
    theirs = torch.utils.data.default_collate(samples(torch)[name])
    assert outline(ours) == outline(theirs)


@pytest.mark.parametrize("name", samples(ll))
def test_convert_follows_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for ours, theirs in zip(samples(ll)[name], samples(torch)[name], strict=True):
        converted = data.default_convert(ours)
        assert outline(converted) == outline(torch.utils.data.default_convert(theirs))


def test_collate_by_hand() -> None:
    batch = data.default_collate(
        [(np.zeros(2, np.float32), 1, 0.5), (np.ones(2, np.float32), 2, 1.5)]
    )
    assert [t.dtype for t in batch] == [ll.float32, ll.int64, ll.float64]
    assert [t.tolist() for t in batch] == [[[0, 0], [1, 1]], [1, 2], [0.5, 1.5]]


def test_collate_refuses() -> None:
    with pytest.raises(TypeError, match=r"numbers, dicts or lists; found <class 'NoneType'>"):
        data.default_collate([None, None])
    with pytest.raises(TypeError, match="found <U1"):
        data.default_collate([np.array(["a"])])
    with pytest.raises(RuntimeError, match="should be of equal size"):
        data.default_collate([[1, 2], [3]])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([ll.ones(2), ll.ones(3)])


def test_collate_keeps_the_graph() -> None:
    a, b = ll.ones(2, requires_grad=True), ll.ones(2)
    batch = data.default_collate([a, b])
    batch.sum().backward()
    assert a.grad.tolist() == [1.0, 1.0]


def test_convert_keeps_what_it_does_not_know() -> None:
    thing = object()
    assert data.default_convert(thing) is thing
    words = np.array(["a"])
    assert data.default_convert(words) is words
    assert data.default_convert((np.ones(1), "s"))[1] == "s"
