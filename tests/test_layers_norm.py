"""BatchNorm: what is normalized by what, running statistics, and PyTorch's answers."""

import numpy as np
import pytest
from parity import assert_close, libraries, numpy_of

import lucidlite as torch
from lucidlite import nn


def images(seed=0, shape=(4, 3, 5, 6), dtype=np.float32):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 3 + np.arange(3).reshape(1, 3, 1, 1)).astype(dtype)


def test_training_normalizes_by_the_batch():
    x = images(dtype=np.float64)
    layer = nn.BatchNorm2d(3, dtype=torch.float64)
    out = numpy_of(layer(torch.from_numpy(x)))
    mean = x.mean((0, 2, 3), keepdims=True)
    var = x.var((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(out, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-10)


def test_running_statistics_move_by_momentum_and_use_the_unbiased_variance():
    layer = nn.BatchNorm2d(3, momentum=0.3, dtype=torch.float64)
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = images(seed, dtype=np.float64)
        layer(torch.from_numpy(x))
        mean = 0.7 * mean + 0.3 * x.mean((0, 2, 3))
        var = 0.7 * var + 0.3 * x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3
    assert layer.num_batches_tracked.dtype is torch.int64


def test_momentum_none_is_the_mean_over_all_batches():
    layer = nn.BatchNorm2d(3, momentum=None, dtype=torch.float64)
    seen = [images(seed, dtype=np.float64) for seed in range(4)]
    for x in seen:
        layer(torch.from_numpy(x))
    np.testing.assert_allclose(
        layer.running_mean.numpy(), np.mean([x.mean((0, 2, 3)) for x in seen], 0), rtol=1e-12
    )
    np.testing.assert_allclose(
        layer.running_var.numpy(), np.mean([x.var((0, 2, 3), ddof=1) for x in seen], 0), rtol=1e-12
    )


def test_evaluation_normalizes_by_the_running_statistics_and_leaves_them():
    layer = nn.BatchNorm2d(3).eval()
    layer.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    layer.running_var.fill_(4.0)
    before = {name: numpy_of(t).copy() for name, t in layer.state_dict().items()}
    x = images()
    out = numpy_of(layer(torch.from_numpy(x)))
    want = (x - np.array([1, 2, 3]).reshape(1, 3, 1, 1)) / np.sqrt(4 + 1e-5)
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)
    for name, tensor in layer.state_dict().items():
        assert np.array_equal(before[name], numpy_of(tensor))


def test_without_running_statistics_the_batch_counts_in_evaluation_too():
    layer = nn.BatchNorm2d(3, track_running_stats=False)
    assert (layer.running_mean, layer.running_var, layer.num_batches_tracked) == (None,) * 3
    x = torch.from_numpy(images())
    assert torch.equal(layer(x), layer.eval()(x))


def test_tracking_turned_off_later_leaves_the_statistics():
    layer = nn.BatchNorm2d(3)
    layer.track_running_stats = False
    layer(torch.from_numpy(images()))
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.num_batches_tracked.item() == 0


def test_reset():
    layer = nn.BatchNorm2d(3)
    layer(torch.from_numpy(images()))
    with torch.no_grad():
        layer.weight.fill_(5)
        layer.bias.fill_(5)
    layer.reset_running_stats()
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.running_var.tolist() == [1, 1, 1]
    assert layer.num_batches_tracked.item() == 0
    assert layer.weight.tolist() == [5, 5, 5]
    layer.reset_parameters()
    assert (layer.weight.tolist(), layer.bias.tolist()) == ([1, 1, 1], [0, 0, 0])


def test_backward_in_evaluation_uses_the_statistics_of_its_forward():
    layer = nn.BatchNorm2d(3, dtype=torch.float64).eval()
    x = torch.from_numpy(images(dtype=np.float64))
    loss = (layer(x) * x).sum()
    layer.train()
    layer(x)  # moves the running statistics
    loss.backward()
    xhat = x.numpy() / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(layer.weight.grad.numpy(), (x.numpy() * xhat).sum((0, 2, 3)))


@pytest.mark.parametrize("weights", ["float16", "float32"])
@pytest.mark.parametrize("training", [True, False])
def test_float16_images(weights, training):
    theirs = pytest.importorskip("torch", reason="compares with PyTorch")
    x = images(dtype=np.float16)
    results = []
    for lib in (torch, theirs):
        layer = lib.nn.BatchNorm2d(3, dtype=getattr(lib, weights)).train(training)
        out = layer(lib.from_numpy(x))
        results.append([numpy_of(out), numpy_of(layer.running_mean), numpy_of(layer.running_var)])
    for ours, want in zip(*results, strict=True):
        assert_close(ours, want, 4e-3, 4e-3)


RUNS = [
    dict(),
    dict(affine=False),
    dict(momentum=None),
    dict(momentum=0.0),
    dict(momentum=1.0),
    dict(eps=0.1),
    dict(track_running_stats=False),
    dict(bias=False),
]


@pytest.mark.parametrize("settings", RUNS, ids=str)
@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchNorm2d"])
def test_a_life_of_training_and_evaluation_follows_torch(kind, settings):
    pytest.importorskip("torch", reason="compares with PyTorch")
    shape = (6, 3, 4) if kind == "BatchNorm1d" else (4, 3, 5, 6)
    rng = np.random.default_rng(0)
    inputs = [(rng.standard_normal(shape) * 2 + 1).astype(np.float32) for _ in range(6)]
    start = rng.standard_normal(3).astype(np.float32)
    lives = []
    for side in libraries():
        layer = getattr(side.nn, kind)(3, **settings)
        if layer.weight is not None:
            with side.lib.no_grad():
                layer.weight.copy_(side.lib.from_numpy(start))
        seen = []
        for step, x in enumerate(inputs):
            layer.train(step not in (2, 5))
            tensor = side.lib.from_numpy(x).requires_grad_()
            out = layer(tensor)
            (out * out * tensor.detach()).sum().backward()
            seen += [out, tensor.grad, *layer.buffers(), *(p.grad for p in layer.parameters())]
            seen = [numpy_of(t).copy() if hasattr(t, "detach") else t for t in seen]
        lives.append(seen)
    assert len(lives[0]) == len(lives[1])
    for ours, theirs in zip(*lives, strict=True):
        assert_close(ours, theirs, 2e-4, 2e-4)


REFUSED = {
    "rank-2d": (
        lambda T: T.nn.BatchNorm2d(3)(T.ones(2, 3)),
        ValueError,
        r"expected 4D input \(got 2D input\)",
    ),
    "rank-1d": (
        lambda T: T.nn.BatchNorm1d(3)(T.ones(2, 3, 4, 4)),
        ValueError,
        r"expected 2D or 3D input \(got 4D input\)",
    ),
    "channels": (
        lambda T: T.nn.BatchNorm1d(3)(T.ones(2, 4)),
        RuntimeError,
        "running_mean should contain 4 elements",
    ),
    "one-value": (
        lambda T: T.nn.BatchNorm2d(3)(T.ones(1, 3, 1, 1)),
        ValueError,
        "more than 1 value per channel when training",
    ),
    "dtype": (
        lambda T: T.nn.BatchNorm1d(3)(T.ones(2, 3).double()),
        RuntimeError,
        "input=torch.float64, running_mean=torch.float32",
    ),
    "int": (lambda T: T.nn.BatchNorm1d(3)(T.ones(2, 3).long()), NotImplementedError, "int64"),
    "eps": (
        lambda T: T.nn.BatchNorm1d(3, eps=0)(T.ones(2, 3)),
        ValueError,
        "eps must be positive during training, but got eps=0",
    ),
    "one-statistic": (
        lambda T: T.nn.functional.batch_norm(T.ones(2, 3), T.ones(3), None, training=True),
        ValueError,
        "must either both be None or neither be None",
    ),
    "no-statistics": (
        lambda T: T.nn.functional.batch_norm(T.ones(2, 3), None, None),
        RuntimeError,
        "running_mean and running_var when training=False",
    ),
}
CASES = [pytest.param(*row, id=name) for name, row in REFUSED.items()]


@pytest.mark.parametrize(("call", "kind", "gist"), CASES)
def test_refusal(call, kind, gist):
    with pytest.raises(kind, match=gist) as refusal:
        call(torch)
    assert f"at {__file__}:" in str(refusal.value)


@pytest.mark.parametrize(("call", "kind", "gist"), CASES)
def test_torch_refuses_in_the_same_class(call, kind, gist):
    theirs = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises(kind) as refusal:
        call(theirs)
    assert type(refusal.value) is kind, gist


def test_one_value_is_enough_in_evaluation():
    out = nn.BatchNorm2d(3).eval()(torch.ones(1, 3, 1, 1))
    np.testing.assert_allclose(numpy_of(out), 1 / np.sqrt(1 + 1e-5), rtol=1e-6)
