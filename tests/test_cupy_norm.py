"""Batch normalization and sums on a GPU (or its stand-in), against NumPy's backend."""

import cupy_values as cases
import numpy as np
import pytest

import lucidlite
from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import norm as cupy_norm
from lucidlite.backends.cupy_kernels import reduce as cupy_reduce

CPU = get_backend("cpu")
EPS = 1e-5
seeds = pytest.mark.parametrize("seed", cases.SEEDS)


@pytest.fixture
def gpu(cuda):
    return get_backend(cuda)


@pytest.fixture(params=[None, 4], ids=["few-blocks", "many-blocks"])
def blocks(request, monkeypatch):
    """As many blocks as such sizes get, and as many as large arrays get."""
    if request.param:
        monkeypatch.setattr(cupy_reduce, "EACH", 1)


def a_case(seed):
    """x, g and the parameters in any precision, images mostly; and a dtype."""
    rng = np.random.default_rng(seed)
    dtype = cases.FLOATS[rng.integers(3)]
    n, c = int(rng.integers(1, 6)), int(rng.choice([1, 2, 3, 5, 31, 32, 33, 70]))
    kind = rng.integers(5)
    if kind == 0:
        shape = (n * 7 + 1, c)
    elif kind == 1:
        shape = (n, c, int(rng.integers(2, 50)))
    else:
        shape = (n, c, int(rng.integers(1, 9)), int(rng.integers(2, 9)))
    x, g = rng.standard_normal(shape), rng.standard_normal(shape)
    spread = rng.standard_normal((1, c) + (1,) * (len(shape) - 2))
    x = (x + spread * rng.choice([0.1, 3.0])).astype(dtype)
    weight = None if rng.integers(4) == 0 else rng.standard_normal(c).astype(dtype)
    bias = None if rng.integers(4) == 0 else rng.standard_normal(c).astype(dtype)
    return rng, x, g.astype(dtype), weight, bias


def definition(x):
    """Mean and variance a channel, in float64, shaped to broadcast."""
    wide = x.astype(np.float64)
    axes = tuple(d for d in range(x.ndim) if d != 1)
    return wide, axes, wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True)


def row(values, x, default):
    full = np.full(x.shape[1], default) if values is None else values.astype(np.float64)
    return full.reshape((1, -1) + (1,) * (x.ndim - 2))


@pytest.mark.usefixtures("blocks")
@seeds
def test_batch_norm(seed, gpu):
    rng, x, g, weight, bias = a_case(seed)
    kind = x.dtype.type
    there = [None if a is None else gpu.asarray(a) for a in (weight, bias)]
    wide, axes, mean, var = definition(x)
    device_x, device_g = cases.on_device(gpu, rng, x), cases.on_device(gpu, rng, g)
    start = rng.standard_normal((2, x.shape[1])).astype(kind)
    running = gpu.asarray(start[0]), gpu.asarray(start[1])
    y, found_mean, invstd = gpu.batch_norm_train(device_x, *there, running, 0.25, EPS)
    xhat = (wide - mean) / np.sqrt(var + EPS)
    w, b = row(weight, x, 1.0), row(bias, x, 0.0)
    cases.close(y, xhat * w + b, kind, 4)
    assert y.dtype == x.dtype
    wider = np.float64 if kind is np.float64 else np.float32
    cases.close(found_mean, mean.reshape(-1), wider)
    cases.close(invstd, 1 / np.sqrt(var + EPS).reshape(-1), wider, 10)
    count = x.size // x.shape[1]
    unbiased = var.reshape(-1) * (count / (count - 1))
    cases.close(running[0], 0.75 * start[0].astype(np.float64) + 0.25 * mean.reshape(-1), kind)
    cases.close(running[1], 0.75 * start[1].astype(np.float64) + 0.25 * unbiased, kind, 4)

    dx, dw, db = gpu.batch_norm_backward(device_g, device_x, found_mean, invstd, there[0], True)
    gw = g.astype(np.float64)
    product = (gw * xhat).sum(axes)
    cases.close(dw, product, wider, 20)
    cases.close(db, gw.sum(axes), wider, 20)
    center = gw - gw.mean(axes, keepdims=True) - xhat * (gw * xhat).mean(axes, keepdims=True)
    cases.close(dx, center * w / np.sqrt(var + EPS), kind, 20)

    dx, dw, db = gpu.batch_norm_backward(device_g, device_x, found_mean, invstd, there[0], False)
    cases.close(dx, gw * w / np.sqrt(var + EPS), kind, 20)
    cases.close(dw, product, wider, 20)
    y = gpu.batch_norm(device_x, found_mean, invstd, *there)
    cases.close(y, xhat * w + b, kind, 4)
    found = gpu.channel_stats(device_x)
    cases.close(found[0], mean.reshape(-1), wider)
    cases.close(found[1], var.reshape(-1), wider, 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_from_zero(dtype, gpu):
    """Statistics keep their digits where the mean is large beside the spread."""
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal((40, 3, 7, 5))).astype(dtype)
    _, _, mean, var = definition(x)
    found = gpu.channel_stats(gpu.asarray(x))
    np.testing.assert_allclose(found[0].get(), mean.reshape(-1), rtol=1e-6)
    np.testing.assert_allclose(found[1].get(), var.reshape(-1), rtol=1e-4)


def test_not_finite(gpu):
    x = np.ones((4, 3, 2, 2), np.float32)
    x[0, 0, 0, 0], x[1, 1, 1, 1] = np.inf, np.nan
    out = gpu.batch_norm_train(gpu.asarray(x), None, None, (None, None), 0.1, EPS)[0].get()
    assert np.isnan(out[:, 0]).any()
    assert np.isnan(out[:, 1]).all()
    np.testing.assert_array_equal(out[:, 2], 0)


def test_layout_and_launches(fake_cupy):
    gpu = get_backend("cuda")
    rng = np.random.default_rng(1)
    image = gpu.asarray(rng.standard_normal((3, 4, 5, 6)).astype(np.float32))
    x = gpu.seen(image)
    weight, bias = gpu.asarray(np.ones(6, np.float32)), gpu.asarray(np.zeros(6, np.float32))
    running = gpu.asarray(np.zeros(6, np.float32)), gpu.asarray(np.ones(6, np.float32))
    gpu.batch_norm_train(x, weight, bias, running, 0.1, EPS)
    before = dict(fake_cupy.counts)
    y, mean, invstd = gpu.batch_norm_train(x, weight, bias, running, 0.1, EPS)
    assert fake_cupy.counts["launch"] - before["launch"] == 3
    dx, _, _ = gpu.batch_norm_backward(y, x, mean, invstd, weight, True)
    assert fake_cupy.counts["launch"] - before["launch"] == 6
    for each in (y, dx):
        assert each.shape == (3, 6, 4, 5)
        assert gpu.in_conv_layout(each)


@pytest.mark.parametrize("shape", [(0, 3, 2, 2), (4, 0, 2, 2), (0, 3)])
def test_nothing(shape, gpu):
    x = gpu.asarray(np.zeros(shape, np.float32))
    mean = gpu.asarray(np.zeros(shape[1], np.float32))
    running = gpu.asarray(np.zeros(shape[1], np.float32)), mean
    y, *_ = gpu.batch_norm_train(x, None, None, running, 0.1, EPS)
    assert y.shape == shape
    dx, dw, _ = gpu.batch_norm_backward(x, x, mean, mean, None, True)
    assert dx.shape == shape
    assert dw.get().tolist() == [0.0] * shape[1]
    assert running[0].get().tolist() == [0.0] * shape[1]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_layer(dtype, cuda):
    """Training and evaluation as on the CPU, statistics included."""
    lucidlite.manual_seed(0)
    host = lucidlite.nn.BatchNorm2d(5).to("cpu")
    device = lucidlite.nn.BatchNorm2d(5).to(cuda)
    x = lucidlite.randn(3, 5, 4, 4, device="cpu").to(getattr(lucidlite, dtype))
    for _ in range(2):
        expected, found = host(x), device(x.to(cuda))
        cases.close(found.detach().cpu().numpy(), expected.detach().numpy(), dtype, 4)
        expected.square().sum().backward()
        found.square().sum().backward()
    for a, b in zip(device.parameters(), host.parameters(), strict=True):
        cases.close(a.grad.cpu().numpy(), b.grad.numpy(), dtype, 50)
    x = x.to(lucidlite.float32).to(x.dtype).requires_grad_()
    there = x.detach().to(cuda).requires_grad_()
    for model, value in ((host, x), (device, there)):
        grad = lucidlite.autograd.grad((model(value) ** 3).sum(), value, create_graph=True)[0]
        (grad * grad).sum().backward()
    assert there.grad.dtype == x.dtype
    scale = float(x.grad.abs().max())
    cases.close(there.grad.cpu().numpy() / scale, x.grad.numpy() / scale, dtype, 20)
    for a, b in zip(device.buffers(), host.buffers(), strict=True):
        cases.close(a.cpu().numpy(), b.numpy(), np.float32, 4)
    host.eval(), device.eval()
    cases.close(device(x.to(cuda)).detach().cpu().numpy(), host(x).detach().numpy(), dtype, 4)


# -- sums ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("blocks")
@seeds
def test_sums_and_means(seed, gpu):
    rng = np.random.default_rng(seed)
    dtype = cases.FLOATS[rng.integers(3)]
    shape = cases.a_shape(rng)
    x = rng.standard_normal(shape).astype(dtype)
    axes = tuple(sorted(rng.permutation(len(shape))[: rng.integers(0, len(shape) + 1)].tolist()))
    keepdims = bool(rng.integers(2))
    device = cases.on_device(gpu, rng, x)
    total = x.astype(np.float64).sum(axes, keepdims=keepdims)
    found = gpu.reduce("sum", device, axes, keepdims)
    assert found.dtype == x.dtype
    cases.close(found, total, dtype, 10)
    mean = gpu.mean(device, axes, keepdims)
    cases.close(mean, x.astype(np.float64).mean(axes, keepdims=keepdims), dtype, 4)
    cases.same_bits(gpu.reduce("sum", device, axes, keepdims), found)
    if found.ndim != 4:
        assert found.flags.c_contiguous
    if not axes or all(shape[axis] == 1 for axis in axes):
        found.fill(3)  # its own memory
        np.testing.assert_array_equal(device.get(), x)


def test_sums_of_integers_and_nothing(gpu):
    x = gpu.asarray(np.arange(6).reshape(2, 3))
    assert gpu.reduce("sum", x, (0,)).get().tolist() == [3, 5, 7]
    assert gpu.reduce("max", x, None).get().tolist() == 5
    empty = gpu.asarray(np.zeros((0, 3), np.float32))
    assert gpu.reduce("sum", empty, (0,)).get().tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(gpu.mean(empty, (0,), False).get()).all()
    assert gpu.reduce("sum", gpu.asarray(np.float32(3)), None).get().tolist() == 3.0


@pytest.mark.parametrize(
    ("rows", "at_once", "others"),
    [(1, 8, 1), (7, 8, 1), (131072, 8, 2), (10**6, 256, 1), (9, 1, 600)],
)
def test_cut(rows, at_once, others):
    """Every block has rows, all rows are in a block, and there aren't too many blocks."""
    blocks, chunk = cupy_reduce.cut(rows, at_once, others)
    assert (blocks - 1) * chunk < rows <= blocks * chunk
    assert blocks == 1 or blocks * others <= cupy_reduce.BLOCKS
    assert cupy_norm.lanes_for(1) == 1
    assert [cupy_norm.lanes_for(c) for c in (2, 3, 31, 32, 33)] == [2, 4, 32, 32, 32]
