"""Fixtures for every test file."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cuda_suite
import pytest
from project_files import BENCHMARKS

import lucidlite
from lucidlite import backends, threads
from lucidlite.backends import cupy_backend
from lucidlite.blas import blas

# A script's background job starts with Ctrl-C ignored; the tests of it need what a terminal gives.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# As does what nohup starts with the end of its terminal.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

if cuda_suite.ACTIVE:
    cuda_suite.install()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if cuda_suite.ACTIVE:
        cuda_suite.choose(config, items)


@pytest.fixture
def fake_cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``import cupy`` finds the stand-in, for the length of the test."""
    import fakecupy
    import fakecupyx

    fakecupy.reset()
    cupy_backend._current.backend = None  # its stream is no longer the current one
    monkeypatch.setitem(sys.modules, "cupy", fakecupy)
    monkeypatch.setitem(sys.modules, "cupyx", fakecupyx)
    # A GPU's backend, where one answers, is no backend of the stand-in.
    mine = {
        device: backend
        for device, backend in backends._backends.items()
        if device.type == "cpu" or cuda_suite.ACTIVE
    }
    monkeypatch.setattr(backends, "_backends", mine)
    return fakecupy


@pytest.fixture
def cuda(request: pytest.FixtureRequest) -> str:
    """The name of a cuda device: a GPU through CuPy where one answers, else the stand-in."""
    if not lucidlite.cuda.is_available():
        request.getfixturevalue("fake_cupy")
    return "cuda"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a benchmark as the script's own folder would."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield importlib.import_module
    for name in (path.stem for path in BENCHMARKS.glob("*.py")):
        sys.modules.pop(name, None)


@pytest.fixture
def timing(bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``side_by_side``, where PyTorch is there; threads and seeds are put back afterwards."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    before = threads.get_num_threads(), torch.get_num_threads()
    state = lucidlite.get_rng_state()
    shared = bench("side_by_side")
    monkeypatch.setattr(shared, "disturbance", lambda: lambda: 0.0)  # one round is enough
    monkeypatch.setattr(shared, "REST", 0)
    yield shared
    lucidlite.set_rng_state(state)
    threads.set_num_threads(before[0])
    torch.set_num_threads(before[1])
    blas.give_back()
