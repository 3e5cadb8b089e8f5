"""DataLoader: order, determinism for any number of workers, fast paths, streams, arguments."""

from __future__ import annotations

from typing import Any

import pytest
from loader_cases import WORKERS, Count, Noisy, Squares, flat
from loader_cases import no_thread_is_left as no_thread_is_left  # a fixture

import lucidlite as ll
from lucidlite.generator import current_generator
from lucidlite.utils import data
from lucidlite.utils.data import DataLoader

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

# -- order and content --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", WORKERS)
def test_batches_in_order(workers: int) -> None:
    loader = DataLoader(Squares(), batch_size=4, num_workers=workers)
    assert len(loader) == len(iter(loader)) == 3
    assert flat(loader) == [[0, 1, 4, 9], [16, 25, 36, 49], [64, 81]]
    whole = DataLoader(Squares(), 4, drop_last=True, num_workers=workers)
    assert flat(whole) == [[0, 1, 4, 9], [16, 25, 36, 49]]
    assert flat(DataLoader(Squares(3), num_workers=workers)) == [[0], [1], [4]]
    assert list(DataLoader(Squares(3), batch_size=None, num_workers=workers)) == [0, 1, 4]
    given = DataLoader(Squares(), batch_sampler=[[3, 1], [2]], num_workers=workers)
    assert flat(given) == [[9, 1], [4]]
    assert flat(DataLoader(Squares(), 2, sampler=[5, 5, 0], num_workers=workers)) == [[25, 25], [0]]
    assert list(DataLoader([], num_workers=workers)) == []
    loader = DataLoader(Squares(), 5, collate_fn=sum, num_workers=workers)
    assert list(loader) == [30, 255]


def test_same_batches_for_any_number_of_workers() -> None:
    def epochs(workers: int, seed: int = 0) -> list[Any]:
        g = ll.Generator().manual_seed(seed)
        loader = DataLoader(Noisy(), 3, shuffle=True, num_workers=workers, generator=g)
        return [flat(loader), flat(loader)]

    expected = epochs(0)
    assert sorted(i for b in expected[0] for i in b[0]) == list(range(10))
    assert expected[0] != expected[1]
    assert epochs(1) == epochs(3) == expected
    assert epochs(0, seed=1) != expected


@pytest.mark.parametrize("workers", WORKERS)
def test_the_global_seed_counts(workers: int) -> None:
    loader = DataLoader(Noisy(), 3, shuffle=True, num_workers=workers)
    ll.manual_seed(5)
    first = flat(loader)
    ll.manual_seed(5)
    assert flat(loader) == first
    assert flat(loader) != first


def test_transforms_do_not_disturb_the_global_stream() -> None:
    def after(dataset: Any) -> float:
        ll.manual_seed(1)
        list(DataLoader(dataset, 3, shuffle=True))
        return float(current_generator().uniform((1,))[0])

    assert after(Noisy()) == after(Squares())


def test_repeated_samples_are_transformed_afresh() -> None:
    batch = next(iter(DataLoader(Noisy(), 4, sampler=[2, 2, 2, 2])))
    assert len({tuple(row) for row in batch[1].tolist()}) == 4


def test_batch_size_does_not_change_a_sample() -> None:
    def samples(size: int) -> list[Any]:
        g = ll.Generator().manual_seed(0)
        loader = DataLoader(Noisy(), size, shuffle=True, generator=g)
        return [row for _, noise in loader for row in noise.tolist()]

    assert samples(1) == samples(4)


def test_random_ops_in_a_dataset_and_in_a_collate_function() -> None:
    class Drawing(Squares):
        def __getitem__(self, index: int) -> Any:
            return ll.rand(2)

    def collate(samples: list[Any]) -> Any:
        return ll.stack([*samples, ll.rand(2)])

    def run(workers: int) -> list[Any]:
        ll.manual_seed(0)
        return flat(DataLoader(Drawing(), 3, num_workers=workers, collate_fn=collate))

    assert run(0) == run(3)


# -- fast paths ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", WORKERS)
def test_tensor_dataset_is_taken_whole(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = ll.arange(60, dtype=ll.float32).reshape(10, 2, 3)
    dataset = data.TensorDataset(x, ll.arange(10), ll.arange(10) > 4)

    def run(dataset: Any, **options: Any) -> list[Any]:
        g = ll.Generator().manual_seed(0)
        loader = DataLoader(dataset, 4, True, num_workers=workers, generator=g, **options)
        batches = list(loader)
        assert all(type(b) is list for b in batches)
        return [[(t.dtype, t.shape, t.tolist()) for t in b] for b in batches]

    slow = run(dataset, collate_fn=lambda batch: data.default_collate(batch))
    nested = data.Subset(data.Subset(dataset, list(range(9, -1, -1))), list(range(9, -1, -1)))
    with monkeypatch.context() as patch:
        patch.setattr(data.TensorDataset, "__getitem__", None)
        assert run(dataset) == slow
        assert run(nested) == slow


def test_a_subclass_of_tensor_dataset_is_heard() -> None:
    class Shifted(data.TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            return tuple(t + 1 for t in super().__getitem__(index))

    assert flat(DataLoader(Shifted(ll.arange(3)), 3)) == [[[1, 2, 3]]]
    assert flat(DataLoader(data.Subset(Shifted(ll.arange(3)), [2]), 3)) == [[[3]]]


def test_getitems_gets_the_whole_batch() -> None:
    class Many(Squares):
        def __getitems__(self, indices: list[int]) -> list[int]:
            asked.append(indices)
            return [i * i for i in indices]

    asked: list[Any] = []
    assert flat(DataLoader(Many(5), 3)) == flat(DataLoader(Squares(5), 3))
    assert asked == [[0, 1, 2], [3, 4]]
    asked.clear()
    flat(DataLoader(data.Subset(Many(5), [4, 2]), 3))
    assert asked == [[4, 2]]


# -- streams ------------------------------------------------------------------------------------


def test_streams() -> None:
    def run(workers: int, **options: Any) -> list[Any]:
        ll.manual_seed(0)
        return flat(DataLoader(Count(7), num_workers=workers, **options))

    assert [b[0] for b in run(0, batch_size=3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [b[0] for b in run(0, batch_size=3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert [b[0] for b in run(1, batch_size=3)] == [[0, 1, 2], [3, 4, 5], [6]]
    # Three workers in turn; the first has one more.
    assert [b[0] for b in run(3, batch_size=2)] == [[0, 3], [1, 4], [2, 5], [6]]
    assert run(3, batch_size=2) == run(3, batch_size=2)
    alone = list(DataLoader(Count(3), batch_size=None))
    assert [value for value, _ in alone] == [0, 1, 2]
    every = [b[0] for b in flat(DataLoader(Count(2, share=False), 2, num_workers=2))]
    assert every == [[0, 1], [0, 1]]
    chained = data.ChainDataset([Count(2), Count(1)])
    assert [b[0] for b in flat(DataLoader(chained, 2))] == [[0, 1], [0]]
    assert [b[0] for b in flat(DataLoader(Count(2) + Count(1), 2))] == [[0, 1], [0]]


def test_length_of_a_stream() -> None:
    class Sized(Count):
        def __len__(self) -> int:
            return self.size

    assert len(DataLoader(Sized(7), 3)) == 3
    assert len(DataLoader(Sized(7), 3, drop_last=True)) == 2
    assert len(DataLoader(Sized(7), None)) == 7
    with pytest.raises(TypeError):
        len(DataLoader(Count(7), 3))
    with pytest.raises(TypeError, match="no length"):
        len(iter(DataLoader(Count(7), 3)))


# -- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"persistent_workers": True},
        {"sampler": [0], "shuffle": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_sampler": [[0]], "shuffle": True},
        {"batch_sampler": [[0]], "sampler": [0]},
        {"batch_sampler": [[0]], "drop_last": True},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 0},
        {"stream": True, "shuffle": True},
        {"stream": True, "sampler": [0]},
        {"stream": True, "batch_sampler": [[0]]},
        {"stream": True, "batch_size": -1},
    ],
    ids=str,
)
def test_options_that_exclude_each_other(lib: str, options: dict[str, Any]) -> None:
    library = pytest.importorskip(lib, reason="compares with PyTorch")
    options = dict(options)
    stream = options.pop("stream", False)

    class Stream(library.utils.data.IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Any:
            return iter(())

    dataset = Stream() if stream else [1, 2, 3]
    with pytest.raises(ValueError):  # noqa: PT011  (two libraries' texts)
        library.utils.data.DataLoader(dataset, **options)


def test_options_without_a_counterpart() -> None:
    with pytest.raises(ValueError, match="workers are threads"):
        DataLoader([1], num_workers=1, multiprocessing_context="fork")
    with pytest.raises(ValueError, match="always come in order"):
        DataLoader([1], in_order=False)
    with pytest.raises(ValueError, match="pinned for a cuda device, got pin_memory_device='cpu'"):
        DataLoader([1], pin_memory=True, pin_memory_device="cpu")
    with pytest.raises(ValueError, match="timeout option needs num_workers > 0"):
        DataLoader([1], timeout=3)
    assert flat(DataLoader([1, 2], 2, pin_memory=True)) == [[1, 2]]


def test_attributes_are_fixed() -> None:
    loader = DataLoader(Squares(), 4)
    for name in ("batch_size", "dataset", "sampler", "batch_sampler", "drop_last"):
        with pytest.raises(ValueError, match=f"{name} attribute should not be set"):
            setattr(loader, name, None)
    loader.collate_fn = sum
    assert next(iter(loader)) == 14
    assert isinstance(loader.batch_sampler, data.BatchSampler)
    assert isinstance(loader.sampler, data.SequentialSampler)
