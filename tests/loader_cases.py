"""Datasets for the tests of the loader, and a check that no worker is left behind."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import lucidlite as ll
from lucidlite.generator import current_generator
from lucidlite.utils import data

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


def loader_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("lucidlite-loader")]


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    yield
    # An error's traceback may hold the iterator, and a worker told to end may be on its way.
    deadline = time.monotonic() + 30
    while loader_threads() and time.monotonic() < deadline:
        gc.collect()
        for thread in loader_threads():
            thread.join(timeout=0.1)
    assert loader_threads() == []
