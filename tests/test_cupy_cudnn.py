"""The adapter to cuDNN: its plans, its switches, and what happens where it can't."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from cupy_arrays import get, launches, put, use_cudnn, use_fake_cudnn
from kernel_cases import REFERENCE

import lucidlite
from lucidlite import determinism
from lucidlite.backends import cudnn as switches
from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import cudnn as adapter
from lucidlite.geometry import conv_window

EVERY = True, True, True


@pytest.fixture
def backend(fake_cupy):
    assert fake_cupy
    return get_backend("cuda")


@pytest.fixture
def cudnn(backend, monkeypatch):
    """The stand-in for cuDNN, and the switches as they are at the start."""
    for name in ("enabled", "benchmark", "deterministic", "allow_tf32"):
        monkeypatch.setattr(switches, name, getattr(switches, name))
    yield use_fake_cudnn(monkeypatch, backend)
    use_fake_cudnn(monkeypatch, backend)


def a_layer(backend, dtype=np.float32, channels=3):
    """x, w, bias and g on the device, the window."""
    rng = np.random.default_rng(0)
    shapes = (2, channels, 6, 5), (4, channels, 3, 3), (4,), (2, 4, 6, 5)
    arrays = [rng.integers(-3, 4, s).astype(dtype) for s in shapes]
    return [put(backend, a) for a in arrays], conv_window("conv2d", *shapes[:2], 1, 1)


def convolve(backend, arrays, window, needs=EVERY):
    x, w, b, g = arrays
    y, state = backend.conv2d(x, w, b, window, 1, True)
    return y, *backend.conv2d_backward(g, x, w, state, window, 1, needs)


def check(found, arrays, window):
    """Integers, so exactly."""
    x, w, b, g = (None if a is None else get(a).astype(np.float64) for a in arrays)
    y, _ = REFERENCE.conv2d(x, w, b, window, 1, False)
    expected = y, *REFERENCE.conv2d_backward(g, x, w, None, window, 1, EVERY)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(get(ours), theirs)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_all_three_convolutions(dtype, cudnn, backend):
    arrays, window = a_layer(backend, dtype)
    check(convolve(backend, arrays, window), arrays, window)
    assert [g.kind for g, _ in cudnn.executed] == ["forward", "input_grad", "weight_grad"]
    graph = cudnn.executed[0][0]
    assert (graph.bias_tensor is not None) == (dtype != np.float64)
    name = {"e": "HALF", "f": "FLOAT", "d": "DOUBLE"}[np.dtype(dtype).char]
    assert graph.io == name
    assert graph.computed == ("DOUBLE" if name == "DOUBLE" else "FLOAT")


def test_a_plan_is_made_once(cudnn, backend):
    arrays, window = a_layer(backend)
    for _ in range(3):
        check(convolve(backend, arrays, window), arrays, window)
    assert len(cudnn.built) == 3
    assert len(cudnn.executed) == 9
    other, _ = a_layer(backend, channels=2)
    convolve(backend, other, window)
    assert len(cudnn.built) == 6


def test_the_plans_used_last_are_kept(cudnn, backend, monkeypatch):
    monkeypatch.setattr(adapter, "MOST_PLANS", 2)
    layers = [a_layer(backend, channels=c) for c in (1, 2, 3)]

    def forward(which):
        (x, w, b, _), window = layers[which]
        backend.conv2d(x, w, b, window, 1, False)
        return len(cudnn.built)

    assert [forward(i) for i in (0, 1, 0, 2, 0, 1)] == [1, 2, 2, 3, 3, 4]


def test_the_stream_is_told_once(cudnn, backend):
    arrays, window = a_layer(backend)
    convolve(backend, arrays, window)
    convolve(backend, arrays, window)
    assert cudnn.streams == [backend.xp.cuda.get_current_stream().ptr]


def test_every_thread_has_its_handle(cudnn, backend):
    arrays, window = a_layer(backend)
    failures = []

    def work():
        try:
            for _ in range(3):
                check(convolve(backend, arrays, window), arrays, window)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(cudnn.streams) == 3


def struck(cudnn, backend, dtype=np.float32):
    """What a convolution's plans may not do, under the switches as they are."""
    arrays, window = a_layer(backend, dtype)
    convolve(backend, arrays, window, (False, False, False))
    return cudnn.executed[-1][0].struck


def test_switches_strike_out_algorithms(cudnn, backend, monkeypatch):
    assert struck(cudnn, backend) == set()
    switches.allow_tf32 = False
    assert struck(cudnn, backend) == {"TENSOR_CORE", "DOWN_CONVERT_INPUTS"}
    assert struck(cudnn, backend, np.float16) == set()
    assert struck(cudnn, backend, np.float64) == set()
    switches.allow_tf32, switches.deterministic = True, True
    assert struck(cudnn, backend) == {"NONDETERMINISTIC"}
    switches.deterministic = False
    monkeypatch.setattr(determinism._Switch, "on", True)
    assert struck(cudnn, backend) == {"NONDETERMINISTIC"}
    monkeypatch.setattr(determinism._Switch, "on", False)
    with lucidlite.autograd.detect_anomaly():
        assert struck(cudnn, backend) == {"WINOGRAD", "FFT"}
    assert struck(cudnn, backend) == set()


def test_switched_off(cudnn, backend):
    switches.enabled = False
    arrays, window = a_layer(backend)
    check(convolve(backend, arrays, window), arrays, window)
    assert not cudnn.executed


def test_room_to_work_in_is_limited(cudnn, backend):
    cudnn.plans = [cudnn.Algorithm(workspace=2 << 30), cudnn.Algorithm()]
    arrays, window = a_layer(backend)
    convolve(backend, arrays, window)
    assert {index for _, index in cudnn.executed} == {1}


def test_misaligned_arrays_are_copied(cudnn, backend):
    arrays, window = a_layer(backend)
    moved = []
    for array in arrays:
        room = backend.xp.empty(array.size + 1, array.dtype)
        view = room[1:].reshape(array.shape)
        view[...] = array
        assert view.data.ptr % 16
        moved.append(view)
    # In the images' own order too, where nothing else would copy them.
    moved[0] = backend.xp.empty(arrays[0].size + 1, np.float32)[1:].reshape(2, 6, 5, 3)
    moved[0][...] = arrays[0].transpose(0, 2, 3, 1)
    moved[0] = moved[0].transpose(0, 3, 1, 2)
    check(convolve(backend, moved, window), arrays, window)
    assert len(cudnn.executed) == 3


# -- where cuDNN can't -----------------------------------------------------------------------------


def test_without_a_frontend_nothing_is_said(backend, monkeypatch):
    use_cudnn(monkeypatch, backend, None)
    assert adapter.load() == (None, "nvidia-cudnn-frontend is not installed")
    arrays, window = a_layer(backend)
    check(convolve(backend, arrays, window), arrays, window)
    assert not switches.is_available()


def test_a_frontend_without_cudnn(cudnn, backend):
    cudnn.missing = True
    module, why = adapter.load()
    assert module is None
    assert why.startswith("nvidia-cudnn-frontend finds no cuDNN: Unable to find symbol")
    arrays, window = a_layer(backend)
    check(convolve(backend, arrays, window), arrays, window)
    assert not cudnn.executed


def test_what_has_no_plan_is_computed_otherwise_and_said_once(cudnn, backend):
    cudnn.unsupported = lambda graph: graph.kind == "input_grad"
    arrays, window = a_layer(backend)
    with pytest.warns(RuntimeWarning, match="cuDNN has no plan: No valid engine.*input_grad"):
        check(convolve(backend, arrays, window), arrays, window)
    check(convolve(backend, arrays, window), arrays, window)
    assert [g.kind for g, _ in cudnn.executed] == ["forward", "weight_grad"] * 2


def test_a_bias_without_plan_is_added_after(cudnn, backend, monkeypatch):
    cudnn.unsupported = lambda graph: graph.bias_tensor is not None
    for dtype in (np.float32, np.float16):
        arrays, window = a_layer(backend, dtype)
        with launches(backend, monkeypatch) as names:
            check(convolve(backend, arrays, window), arrays, window)
        assert names == ["pack_weight", "add_bias", "column_parts", "finish"]
    assert len(cudnn.executed) == 6


def test_strict_float32_without_plan(cudnn, backend):
    cudnn.plans = [cudnn.Algorithm(frozenset({"TENSOR_CORE"}))]
    switches.allow_tf32 = False
    arrays, window = a_layer(backend)
    with pytest.warns(RuntimeWarning, match="cuDNN has no plan"):
        check(convolve(backend, arrays, window), arrays, window)
    assert not cudnn.executed


def test_a_broken_cudnn_is_left_alone(cudnn, backend):
    cudnn.broken = True
    arrays, window = a_layer(backend)
    with pytest.warns(RuntimeWarning, match="cuDNN failed: CUDNN_STATUS_EXECUTION_FAILED"):
        check(convolve(backend, arrays, window), arrays, window)
    cudnn.broken = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(convolve(backend, arrays, window), arrays, window)
    assert not cudnn.executed


def test_no_handle(cudnn, backend, monkeypatch):
    def fail():
        raise RuntimeError("cudnnHandle Create failed")

    monkeypatch.setattr(cudnn, "create_handle", fail)
    arrays, window = a_layer(backend)
    with pytest.warns(RuntimeWarning, match="cuDNN doesn't start: cudnnHandle Create failed"):
        check(convolve(backend, arrays, window), arrays, window)


def test_memory_running_out_is_no_refusal(cudnn, backend, monkeypatch):
    class Full(RuntimeError, MemoryError):
        pass

    arrays, window = a_layer(backend)
    empty = backend.xp.empty

    def full(shape, dtype=float, order="C"):
        if np.dtype(dtype) == np.uint8:
            raise Full("out of memory")
        return empty(shape, dtype, order)

    monkeypatch.setattr(backend.xp, "empty", full)
    with pytest.raises(Full):
        backend.conv2d(*arrays[:3], window, 1, False)
    monkeypatch.setattr(backend.xp, "empty", empty)
    check(convolve(backend, arrays, window), arrays, window)
    assert len(cudnn.executed) == 3


# -- the fastest algorithm -------------------------------------------------------------------------


@pytest.fixture
def clock(cudnn, backend, monkeypatch):
    """Time on the device passes as the algorithms say."""

    class Event:
        def record(self):
            self.at = sum(cudnn.plans[index].milliseconds for _, index in cudnn.executed)

        def synchronize(self):
            pass

    monkeypatch.setattr(backend.xp.cuda, "Event", Event, raising=False)
    monkeypatch.setattr(
        backend.xp.cuda, "get_elapsed_time", lambda a, b: b.at - a.at, raising=False
    )


@pytest.mark.usefixtures("clock")
def test_benchmark_takes_the_fastest(cudnn, backend):
    switches.benchmark = True
    arrays, window = a_layer(backend)
    check(convolve(backend, arrays, window), arrays, window)
    cudnn.executed.clear()
    check(convolve(backend, arrays, window), arrays, window)
    assert [index for _, index in cudnn.executed] == [1, 1, 1]
    cudnn.executed.clear()
    switches.deterministic, switches.allow_tf32 = True, False
    cudnn.plans = [plan._replace(notes=plan.notes - {"WINOGRAD"}) for plan in cudnn.plans[2:]]
    check(convolve(backend, arrays, window), arrays, window)
    assert {index for _, index in cudnn.executed} == {1}


@pytest.mark.usefixtures("clock")
def test_benchmark_waits_for_nothing_while_a_graph_is_recorded(cudnn, backend, monkeypatch):
    switches.benchmark = True
    arrays, window = a_layer(backend)
    others, _ = a_layer(backend, channels=2)
    convolve(backend, arrays, window)
    monkeypatch.setattr(type(backend), "capturing", True)
    monkeypatch.setattr(backend.xp.cuda, "Event", None)
    cudnn.executed.clear()
    check(convolve(backend, arrays, window), arrays, window)
    assert {index for _, index in cudnn.executed} == {1}  # as it was timed before
    cudnn.executed.clear()
    check(convolve(backend, others, window), others, window)
    assert {index for _, index in cudnn.executed} == {0}  # cuDNN's own choice


@pytest.mark.usefixtures("clock")
def test_benchmark_where_nothing_runs(cudnn, backend):
    switches.benchmark = True
    cudnn.broken = True
    arrays, window = a_layer(backend)
    with pytest.warns(RuntimeWarning, match="none of its algorithms runs"):
        check(convolve(backend, arrays, window), arrays, window)
