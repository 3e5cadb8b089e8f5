"""DataLoader: order, determinism for any number of workers, errors, early exits and resuming."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import lucidlite as ll
from lucidlite.generator import current_generator
from lucidlite.utils import data
from lucidlite.utils.data import DataLoader

WORKERS = (0, 1, 3)


class Squares(data.Dataset):
    def __init__(self, size: int = 10) -> None:
        self.size = size

    def __getitem__(self, index: int) -> int:
        return index * index

    def __len__(self) -> int:
        return self.size


class Noisy(Squares):
    """A random transform, and samples that take unequal time."""

    def __getitem__(self, index: int) -> tuple[int, np.ndarray]:
        time.sleep(0.002 * (index % 3))
        return index, current_generator().normal((2,))


class Bad(Squares):
    def __init__(self, kind: Any = ValueError) -> None:
        super().__init__()
        self.kind = kind

    def __getitem__(self, index: int) -> int:
        if index == 5:
            raise self.kind("broken picture")
        return index


class Count(data.IterableDataset):
    """0, 1, 2, ..., shared out among the workers."""

    def __init__(self, size: int, share: bool = True) -> None:
        self.size = size
        self.share = share

    def __iter__(self) -> Iterator[Any]:
        info = data.get_worker_info()
        start, step = (info.id, info.num_workers) if info and self.share else (0, 1)
        for value in range(start, self.size, step):
            yield value, float(current_generator().uniform((1,))[0])


def flat(batches: Any) -> list[Any]:
    return [b.tolist() if isinstance(b, ll.Tensor) else [t.tolist() for t in b] for b in batches]


def loader_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("lucidlite-loader")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert loader_threads() == []


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


# -- workers ------------------------------------------------------------------------------------


def test_worker_info() -> None:
    class Who(Squares):
        def __getitem__(self, index: int) -> Any:
            info = data.get_worker_info()
            assert info is not None
            assert info.dataset is dataset
            return info.id, info.num_workers, info.seed

    dataset = Who(6)
    rows = [b[:2] for b in flat(DataLoader(dataset, 1, num_workers=2))]
    assert rows == [[[0], [2]], [[1], [2]]] * 3
    assert data.get_worker_info() is None


def test_worker_init_and_persistent_workers() -> None:
    started: list[int] = []
    options = {"num_workers": 2, "worker_init_fn": started.append}
    loader = DataLoader(Squares(), 4, persistent_workers=True, **options)
    first = flat(loader)
    threads = loader_threads()
    assert len(threads) == 2
    for _ in loader:
        break
    assert flat(loader) == first
    assert loader_threads() == threads
    assert sorted(started) == [0, 1]
    del loader
    gc.collect()
    assert loader_threads() == []
    started.clear()
    loader = DataLoader(Squares(), 4, **options)
    flat(loader), flat(loader)
    assert sorted(started) == [0, 0, 1, 1]


def test_prefetch_is_bounded() -> None:
    read: list[int] = []

    class Recording(Squares):
        def __getitem__(self, index: int) -> int:
            read.append(index)
            return index

    loader = DataLoader(Recording(100), 1, num_workers=2, prefetch_factor=3)
    batches = iter(loader)
    next(batches)
    deadline = time.monotonic() + 5
    while len(read) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    # Six under way at the start; the one handed out is replaced at the next call.
    assert sorted(read) == list(range(6))
    del batches


def test_loading_overlaps_the_loop() -> None:
    together: list[int] = []
    barrier = threading.Barrier(2, timeout=10)

    class Meeting(Squares):
        def __getitem__(self, index: int) -> int:
            together.append(barrier.wait())
            return index

    assert flat(DataLoader(Meeting(4), 1, num_workers=2)) == [[0], [1], [2], [3]]
    assert sorted(together) == [0, 0, 1, 1]


def test_leaving_early() -> None:
    for _ in DataLoader(Noisy(50), 2, num_workers=3):
        break
    assert loader_threads() == []

    def fail() -> None:
        for _ in DataLoader(Noisy(50), 2, num_workers=3):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert loader_threads() == []
    batches = iter(DataLoader(Noisy(50), 2, num_workers=3))
    next(batches)
    del batches
    assert loader_threads() == []


def test_two_iterators_at_once() -> None:
    loader = DataLoader(Squares(), 4, num_workers=2)
    pairs = [(a.tolist(), b.tolist()) for a, b in zip(loader, loader, strict=True)]
    assert [a for a, _ in pairs] == [b for _, b in pairs] == flat(loader)


def test_timeout() -> None:
    release = threading.Event()

    class Slow(Squares):
        def __getitem__(self, index: int) -> int:
            release.wait(10)
            return index

    batches = iter(DataLoader(Slow(2), 1, num_workers=1, timeout=0.05))
    with pytest.raises(RuntimeError, match=r"timed out after 0\.05 seconds, worker 0"):
        next(batches)
    release.set()
    while True:
        try:
            assert next(batches).item() == 0
            break
        except RuntimeError:
            continue
    del batches


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "1 / 0"])
def test_the_interpreter_exits_with_workers_running(end: str) -> None:
    script = f"""
    import time
    from lucidlite.utils.data import DataLoader, Dataset

    class Slow(Dataset):
        def __getitem__(self, index):
            time.sleep(0.01)
            return index
        def __len__(self):
            return 1000

    batches = iter(DataLoader(Slow(), 5, num_workers=3))
    next(batches)
    print("done", flush=True)
    {end}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "done\n"
    assert done.returncode == {"": 0, "raise SystemExit(3)": 3, "1 / 0": 1}[end]
    if not end:
        assert done.stderr == ""


# -- errors -------------------------------------------------------------------------------------


class Picky(Exception):
    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(code, detail)


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_keeps_its_class_and_names_the_sample(workers: int) -> None:
    loader = DataLoader(Bad(), 2, num_workers=workers)
    got = []

    def read() -> None:
        for batch in loader:
            got.append(batch.tolist())

    with pytest.raises(ValueError, match="broken picture") as caught:
        read()
    assert got == [[0, 1], [2, 3]]
    by = ", worker 2" if workers == 3 else ", worker 0" if workers else ""
    assert f"loading sample 5 (batch 2{by})" in str(caught.value)
    assert "test_dataloader.py" in str(caught.value)
    assert str(caught.value.__cause__) == "broken picture"
    assert (
        "__getitem__" in [e.name for e in caught.traceback] or caught.value.__cause__.__traceback__
    )


@pytest.mark.parametrize("workers", WORKERS)
def test_the_loop_can_go_on_after_an_error(workers: int) -> None:
    batches = iter(DataLoader(Bad(), 2, num_workers=workers))
    got = []
    for _ in range(5):
        try:
            got.append(next(batches).tolist())
        except ValueError:
            got.append("failed")
    assert got == [[0, 1], [2, 3], "failed", [6, 7], [8, 9]]
    with pytest.raises(StopIteration):
        next(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_classes_of_errors(workers: int) -> None:
    def fail(kind: Any) -> pytest.ExceptionInfo[BaseException]:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            list(DataLoader(Bad(kind), 2, num_workers=workers))
        assert "sample 5" in str(caught.value)
        assert "broken picture" in str(caught.value)
        return caught

    for kind in (KeyError, IndexError, OSError, FileNotFoundError, RuntimeError, TimeoutError):
        assert fail(kind).type is kind
    assert "\\n" not in str(fail(KeyError).value)
    # One that would end the loop in silence, and one that cannot be made again.
    assert fail(StopIteration).type is RuntimeError
    assert fail(lambda text: Picky(3, detail=text)).type is RuntimeError


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_outside_getitem(workers: int) -> None:
    class Uneven(Squares):
        def __getitem__(self, index: int) -> Any:
            return ll.ones(index + 1)

    with pytest.raises(RuntimeError, match=r"collating samples \[0, 1\] \(batch 0"):
        list(DataLoader(Uneven(), 2, num_workers=workers))
    many = data.TensorDataset(ll.arange(3))
    with pytest.raises(IndexError, match=r"loading samples \[0, 7\] \(batch 0"):
        list(DataLoader(many, 2, sampler=[0, 7], num_workers=workers))

    class Broken(Count):
        def __iter__(self) -> Iterator[Any]:
            yield 0
            raise OSError("cable")

    with pytest.raises(OSError, match=r"cable\n  loading sample 1 of the stream"):
        list(DataLoader(Broken(3), 1, num_workers=workers))

    def order() -> Iterator[int]:
        yield from (0, 1, 2)
        raise LookupError("no more")

    batches = iter(DataLoader(Squares(), 1, sampler=order(), num_workers=workers))
    assert [next(batches).item() for _ in range(3)] == [0, 1, 4]
    with pytest.raises(LookupError, match="no more"):
        next(batches)
    if workers:
        with pytest.raises(ZeroDivisionError, match="in worker_init_fn of worker 0"):
            list(DataLoader(Squares(), num_workers=2, worker_init_fn=lambda worker: 1 / worker))


# -- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("stop", [0, 1, 3, 4])
@pytest.mark.parametrize("given", ["loader", "sampler", "nothing"])
def test_resume_continues_the_epoch(workers: int, stop: int, given: str) -> None:
    def make() -> Any:
        g = ll.Generator().manual_seed(11)
        options = {
            "loader": {"shuffle": True, "generator": g},
            "sampler": {"sampler": data.RandomSampler(range(10), generator=g)},
            "nothing": {"shuffle": True},
        }[given]
        return DataLoader(Noisy(), 3, num_workers=workers, **options)

    ll.manual_seed(4)
    loader = make()
    flat(loader)
    whole = []
    state = None
    for number, batch in enumerate(loader):
        if number == stop:
            state = json.loads(json.dumps(loader.state_dict()))
            generator_state = ll.generator.default_generator.get_state()
        whole.append(batch)
    if state is None:  # at the last batch
        state = json.loads(json.dumps(loader.state_dict()))
        generator_state = ll.generator.default_generator.get_state()
        assert state["position"] == 0
    expected = [flat(whole)[stop + 1 :] if stop < 4 else flat(loader), flat(loader)]

    ll.manual_seed(99)
    again = make()
    ll.generator.default_generator.set_state(generator_state)
    again.load_state_dict(state)
    assert again.state_dict() == state
    assert [flat(again), flat(again)] == expected


def test_resume_of_a_stream() -> None:
    for workers in WORKERS:
        loader = DataLoader(Count(11), 2, num_workers=workers)
        batches = iter(loader)
        head = flat([next(batches), next(batches)])
        state = loader.state_dict()
        tail = flat(batches)
        again = DataLoader(Count(11), 2, num_workers=workers)
        again.load_state_dict(state)
        assert flat(again) == tail
        assert len(head) + len(tail) == 6


def test_a_state_of_another_loader_is_refused() -> None:
    loader = DataLoader(Squares(), 4)
    iter(loader)
    state = loader.state_dict()
    assert state["position"] == 0
    with pytest.raises(ValueError, match="the state is another loader's"):
        DataLoader(Squares(), 3).load_state_dict(state)
    with pytest.raises(ValueError, match="the state is another loader's"):
        DataLoader(Squares(), 4, generator=ll.Generator()).load_state_dict(state)


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
    library = pytest.importorskip(lib)
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
    with pytest.raises(ValueError, match="no pinned memory"):
        DataLoader([1], pin_memory_device="cuda")
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
