"""Softmax and cross-entropy on a GPU (or its stand-in), against NumPy's backend."""

import cupy_values as cases
import numpy as np
import pytest

import lucidlite
from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import loss as cupy_loss

F = lucidlite.nn.functional
seeds = pytest.mark.parametrize("seed", cases.SEEDS)


@pytest.fixture
def gpu(cuda):
    return get_backend(cuda)


@pytest.fixture(params=[1024, 4], ids=["warps", "blocks"])
def long_row(request, monkeypatch):
    """Rows as a warp's work and as a block's."""
    monkeypatch.setattr(cupy_loss, "LONG_ROW", request.param)


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.usefixtures("long_row")
@seeds
def test_softmax(seed, gpu):
    rng = np.random.default_rng(seed)
    dtype = cases.FLOATS[rng.integers(3)]
    shape = cases.a_shape(rng, 1)
    x = (rng.standard_normal(shape) * rng.choice([1.0, 20.0])).astype(dtype)
    axis = int(rng.integers(len(shape)))
    device, wide = cases.on_device(gpu, rng, x), x.astype(np.float64)
    found = gpu.softmax(device, axis)
    assert found.dtype == x.dtype
    cases.close(found, softmax(wide, axis), dtype)
    expected = wide - wide.max(axis, keepdims=True)
    expected = expected - np.log(np.exp(expected).sum(axis, keepdims=True))
    cases.close(gpu.log_softmax(device, axis), expected, dtype)
    g = rng.standard_normal(shape).astype(dtype)
    device_g = cases.on_device(gpu, rng, g)
    for logarithm, y in enumerate((softmax(wide, axis), expected)):
        given = y.astype(dtype)
        found = gpu.softmax_grad(device_g, cases.on_device(gpu, rng, given), axis, bool(logarithm))
        gw, y = g.astype(np.float64), given.astype(np.float64)
        total = (gw if logarithm else gw * y).sum(axis, keepdims=True)
        cases.close(found, gw - np.exp(y) * total if logarithm else y * (gw - total), dtype, 10)
        assert found.dtype == g.dtype
    axes = tuple(sorted(rng.permutation(len(shape))[: rng.integers(1, len(shape) + 1)].tolist()))
    keepdims = bool(rng.integers(2))
    top = wide.max(axes, keepdims=True)
    expected = np.log(np.exp(wide - top).sum(axes, keepdims=True)) + top
    expected = expected if keepdims else expected.squeeze(axes)
    cases.close(gpu.logsumexp(device, axes, keepdims), expected, dtype)


def test_softmax_keeps_the_layout(gpu):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    image = gpu.seen(gpu.asarray(x))
    for axis in range(4):
        out = gpu.softmax(image, axis)
        assert out.shape == image.shape
        assert gpu.in_conv_layout(out)


def test_edges(gpu):
    def values(x, name, *args):
        return getattr(gpu, name)(gpu.asarray(np.asarray(x, np.float32)), *args).get()

    inf = np.inf
    rows = [[inf, 1.0], [-inf, -inf], [np.nan, 1.0], [-inf, 2.0], [1e4, -1e4]]
    found = values(rows, "softmax", 1)
    assert np.isnan(found[:3]).any(1).all()
    np.testing.assert_array_equal(found[3:], [[0, 1], [1, 0]])
    found = values(rows, "logsumexp", (1,), False)
    np.testing.assert_array_equal(found, [inf, -inf, np.nan, 2.0, 1e4])
    assert values(np.zeros((0, 3)), "softmax", 1).shape == (0, 3)
    assert values(np.zeros((3, 0)), "log_softmax", 1).shape == (3, 0)
    assert values(5.0, "softmax", 0) == 1.0
    assert values(5.0, "log_softmax", 0) == 0.0
    assert values(5.0, "logsumexp", (0,), False) == 5.0
    np.testing.assert_array_equal(values(np.zeros((2, 0)), "logsumexp", (1,), False), [-inf, -inf])
    assert values(np.zeros((0, 2)), "logsumexp", (1,), True).shape == (0, 1)


def an_entropy(seed):
    rng = np.random.default_rng(seed)
    dtype = cases.FLOATS[rng.integers(3)]
    n, classes = int(rng.integers(1, 40)), int(rng.choice([1, 2, 5, 10, 33, 70]))
    x = (rng.standard_normal((n, classes)) * rng.choice([1.0, 20.0])).astype(dtype)
    target = rng.integers(0, classes, n)
    ignore = (None, -100, int(rng.integers(classes)))[rng.integers(3)]
    if ignore is not None:
        target[rng.random(n) < 0.3] = ignore
    return rng, x, target, ignore, bool(rng.integers(2))


def entropy(x, target, ignore, mean):
    """The loss and its gradient in float64."""
    p = softmax(x.astype(np.float64), 1)
    kept = np.ones(len(x), bool) if ignore is None else target != ignore
    at = np.where(kept, target, 0)
    shifted = x.astype(np.float64) - x.max(1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    count = kept.sum() if mean else 1
    with np.errstate(all="ignore"):
        loss = -(logp[np.arange(len(x)), at] * kept).sum() / count
        grad = np.where(kept[:, None], (p - np.eye(x.shape[1])[at]) / count, 0)
    return loss, grad


@pytest.mark.usefixtures("long_row")
@seeds
def test_cross_entropy(seed, gpu):
    rng, x, target, ignore, mean = an_entropy(seed)
    dtype = x.dtype.type
    device, labels = cases.on_device(gpu, rng, x), gpu.asarray(target)
    loss, state = gpu.cross_entropy(device, labels, ignore, mean, True)
    expected, grad = entropy(x, target, ignore, mean)
    assert loss.shape == ()
    assert loss.dtype == x.dtype
    cases.close(loss, expected, dtype, 2)
    seed_grad = gpu.asarray(np.asarray(1.5, dtype))
    found = gpu.cross_entropy_backward(seed_grad, state, device, labels, ignore)
    assert found.dtype == x.dtype
    cases.close(found, 1.5 * grad, dtype, 2)
    alone, nothing = gpu.cross_entropy(device, labels, ignore, mean, False)
    assert nothing is None
    cases.same_bits(alone, loss)
    cases.same_bits(gpu.cross_entropy_backward(seed_grad, state, device, labels, ignore), found)
    gpu.check_alarms()


def test_many_rows(gpu, monkeypatch):
    """Blocks that take several rounds."""
    monkeypatch.setattr(cupy_loss, "MOST_BLOCKS", 2)
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((100, 7)).astype(np.float32), rng.integers(0, 7, 100)
    device, labels = gpu.asarray(x), gpu.asarray(target)
    loss, _ = gpu.cross_entropy(device, labels, 3, True, True)
    cases.close(loss, entropy(x, target, 3, True)[0], np.float32)
    cases.close(gpu.softmax(device, 1), softmax(x.astype(np.float64), 1), np.float32)


def test_nothing_counts(gpu):
    """No row: a mean of NaN, as PyTorch has it, and no gradient."""
    one = gpu.asarray(np.float32(1))
    x, target = gpu.asarray(np.ones((2, 3), np.float32)), gpu.asarray(np.full(2, -100))
    loss, state = gpu.cross_entropy(x, target, -100, True, True)
    assert np.isnan(loss.get())
    found = gpu.cross_entropy_backward(one, state, x, target, -100).get()
    np.testing.assert_array_equal(found, 0)
    assert gpu.cross_entropy(x, target, -100, False, True)[0].get() == 0
    empty = gpu.asarray(np.ones((0, 3), np.float32)), gpu.asarray(np.zeros(0, np.int64))
    assert np.isnan(gpu.cross_entropy(*empty, -100, True, True)[0].get())
    assert gpu.cross_entropy(*empty, -100, False, True)[0].get() == 0


def test_a_label_of_bytes(gpu):
    x, target = np.eye(3, dtype=np.float32), np.array([0, 2, 1], np.uint8)
    loss, _ = gpu.cross_entropy(gpu.asarray(x), gpu.asarray(target), -100, True, False)
    cases.close(loss, entropy(x, target.astype(int), None, True)[0], np.float32)


CALLS = {
    "plain": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "ignore": {"ignore_index": 2},
    "weight": {"weight": [1.0, 2.0, 0.5, 0.25]},
    "smoothing": {"label_smoothing": 0.1},
}


@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3, 2), (4,)])
@pytest.mark.parametrize("name", CALLS)
def test_the_op(name, shape, cuda):
    """As on the CPU, gradients of first and second order included."""
    rng = np.random.default_rng(4)
    scores = rng.standard_normal(shape).astype(np.float64)
    labels = rng.integers(0, 4, () if len(shape) == 1 else (shape[0], *shape[2:]))
    results = []
    for device in ("cpu", cuda):
        options = dict(CALLS[name])
        if "weight" in options:
            options["weight"] = lucidlite.tensor(options["weight"], dtype=lucidlite.float64,
                                                 device=device)  # fmt: skip
        x = lucidlite.tensor(scores, device=device, requires_grad=True)
        loss = F.cross_entropy(x, lucidlite.tensor(labels, device=device), **options)
        grad = lucidlite.autograd.grad(loss.sum() * 2, x, create_graph=True)[0]
        plain = lucidlite.autograd.grad(loss.sum() * 2, x, retain_graph=True)[0]
        second = lucidlite.autograd.grad(grad.square().sum(), x)[0]
        results.append([t.detach().cpu().numpy() for t in (loss, grad, plain, second)])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_step_waits_for_nothing(fake_cupy):
    gpu = get_backend("cuda")
    x = lucidlite.randn(8, 5, device="cuda").requires_grad_()
    target = lucidlite.tensor([0, 1, 2, 3, 4, 0, 1, 2], device="cuda")
    F.cross_entropy(x, target).backward()
    before = dict(fake_cupy.counts)
    loss = F.cross_entropy(x, target)
    assert fake_cupy.counts["launch"] - before["launch"] == 2
    loss.backward()
    F.cross_entropy(x, target, weight=lucidlite.ones(5, device="cuda")).backward()
    F.nll_loss(x, target).backward()
    assert {key: fake_cupy.counts[key] - before[key] for key in ("d2h", "sync")} == {
        "d2h": 0, "sync": 0
    }  # fmt: skip
    assert gpu.alarms._armed
