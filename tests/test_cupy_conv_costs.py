"""What a convolution on a GPU costs: launches, waits, conversions; and that a graph may hold it."""

from __future__ import annotations

import numpy as np
import pytest
from cupy_arrays import get, launches, put, use_cudnn, use_fake_cudnn

import lucidlite
from lucidlite.backends import cudnn as switches
from lucidlite.backends import get_backend
from lucidlite.geometry import conv_window

EVERY = True, True, True


@pytest.fixture
def backend(cuda):
    return get_backend(cuda)


@pytest.fixture
def no_cudnn(backend, monkeypatch):
    use_cudnn(monkeypatch, backend, None)


def a_layer(backend):
    rng = np.random.default_rng(0)
    shapes = (4, 3, 8, 8), (5, 3, 3, 3), (5,), (4, 5, 8, 8)
    x, w, b, g = (put(backend, rng.standard_normal(s).astype(np.float32), "images")
                  for s in shapes)  # fmt: skip
    w = put(backend, get(w))
    return x, w, b, g, conv_window("conv2d", shapes[0], shapes[1], 1, 1)


@pytest.mark.usefixtures("no_cudnn")
def test_launches_through_columns(backend, monkeypatch):
    x, w, b, g, window = a_layer(backend)
    with launches(backend, monkeypatch) as names:
        _, state = backend.conv2d(x, w, b, window, 1, True)
        assert names == ["pack_weight", "im2col", "gemm"]
        backend.conv2d_backward(g, x, w, state, window, 1, EVERY)
    assert names[3:] == ["gemm", "col2im", "im2col", "gemm", "column_parts", "finish"]


def test_a_batch_in_row_major_order_is_turned_once(fake_cupy, monkeypatch):
    backend = get_backend("cuda")
    use_fake_cudnn(monkeypatch, backend)
    _, w, b, g, window = a_layer(backend)
    x = put(backend, np.ones((4, 3, 8, 8), np.float32))
    with fake_cupy.counted() as forward:
        _, state = backend.conv2d(x, w, b, window, 1, True)
    with fake_cupy.counted() as backward:
        backend.conv2d_backward(g, x, w, state, window, 1, (False, True, True))
    assert (forward["launch"], backward["launch"]) == (3, 3)


@pytest.mark.parametrize("by_cudnn", [False, True])
def test_nothing_else_is_launched_and_nobody_waits(by_cudnn, fake_cupy, monkeypatch):
    backend = get_backend("cuda")
    cudnn = use_fake_cudnn(monkeypatch, backend)
    monkeypatch.setattr(switches, "enabled", by_cudnn)
    x, w, b, g, window = a_layer(backend)
    with fake_cupy.counted() as forward, fake_cupy.no_sync():
        _, state = backend.conv2d(x, w, b, window, 1, True)
    with fake_cupy.counted() as backward, fake_cupy.no_sync():
        backend.conv2d_backward(g, x, w, state, window, 1, EVERY)
    expected = (2, 4) if by_cudnn else (3, 6)
    assert (forward.pop("launch"), backward.pop("launch")) == expected
    assert not any((*forward.values(), *backward.values()))
    kinds = ["forward", "input_grad", "weight_grad"] if by_cudnn else []
    assert [graph.kind for graph, _ in cudnn.executed] == kinds


@pytest.mark.parametrize("by_cudnn", [False, True])
def test_a_recorded_graph_convolves_what_its_input_holds_then(by_cudnn, fake_cupy, monkeypatch):
    backend = get_backend("cuda")
    use_fake_cudnn(monkeypatch, backend)
    monkeypatch.setattr(switches, "enabled", by_cudnn)
    x, w, b, g, window = a_layer(backend)
    m = put(backend, np.ones((6, 5), np.float32))

    def step():
        y, state = backend.conv2d(x, w, b, window, 1, True)
        return (y, *backend.conv2d_backward(g, x, w, state, window, 1, EVERY),
                backend.linear(m, m, None))  # fmt: skip

    step()  # compiles and plans
    xp, pool = backend.xp, fake_cupy.cuda.MemoryPool()
    monkeypatch.setattr(type(backend), "capturing", True)
    with xp.cuda.using_allocator(pool.malloc), backend.stream:
        backend.stream.begin_capture()
        recorded = step()
        graph = backend.stream.end_capture()
    monkeypatch.setattr(type(backend), "capturing", False)
    x[...] = x * 3
    w[...] = w - 1
    graph.launch(backend.stream)
    for ours, theirs in zip(recorded, step(), strict=True):
        np.testing.assert_array_equal(get(ours), get(theirs))


def test_a_weight_is_packed_once_while_it_stays(backend, monkeypatch):
    x = lucidlite.ones(1, 3, 4, 4, device="cuda")
    layer = lucidlite.nn.Conv2d(3, 2, 3, device="cuda")
    with launches(backend, monkeypatch) as names, lucidlite.no_grad():
        first = layer(x)
        again = layer(x)
        assert names.count("pack_weight") == 1
        np.testing.assert_array_equal(first.cpu().numpy(), again.cpu().numpy())
        layer.weight.mul_(2.0)
        layer(x)
        assert names.count("pack_weight") == 2
