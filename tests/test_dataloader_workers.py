"""DataLoader: workers, early exits, errors and resuming."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import loader_cases
import pytest
from loader_cases import (
    WORKERS,
    Bad,
    Count,
    Noisy,
    Squares,
    flat,
    loader_threads,
)
from loader_cases import no_thread_is_left as no_thread_is_left  # a fixture

import lucidlite as ll
from lucidlite.utils import data
from lucidlite.utils.data import DataLoader

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

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
    assert f"at {__file__}:" in str(caught.value)
    assert str(caught.value.__cause__) == "broken picture"
    origin = traceback.extract_tb(caught.value.__cause__.__traceback__)[-1]
    assert (origin.filename, origin.name) == (loader_cases.__file__, "__getitem__")


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

    rule = r"collating samples \[0, 1\] \(batch 0"
    with pytest.raises(RuntimeError, match=rule) as problem:
        list(DataLoader(Uneven(), 2, num_workers=workers))
    assert str(problem.value).count("\n  at ") == 1  # the caller's line, not once for each
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
