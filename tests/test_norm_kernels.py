"""The CPU's batch normalization: against its definition in float64, and for any thread count."""

import kernel_cases as cases
import numpy as np
import pytest

from lucidlite import threads
from lucidlite.backends.numpy_kernels import norm

seeds = pytest.mark.parametrize("seed", cases.SEEDS)
EPS = 1e-5


@pytest.fixture(params=[None, 64], ids=["blocks", "small-blocks"])
def blocks(request, monkeypatch):
    """The usual size of blocks and rows, and sizes that cut even small images."""
    if request.param:
        monkeypatch.setattr(norm, "BLOCK", request.param)
        monkeypatch.setattr(norm, "RUN", 16)
        monkeypatch.setattr(norm, "LITTLE", 0)
    norm.repeats.cache_clear()
    norm._channels_of.cache_clear()
    yield
    norm.repeats.cache_clear()
    norm._channels_of.cache_clear()


@pytest.fixture
def shared_work(monkeypatch):
    """Every piece of work is worth sharing; the number of threads is put back."""
    before = threads.get_num_threads()
    monkeypatch.setattr(threads, "WORTH_SHARING", 1)
    yield
    threads.set_num_threads(before)


def a_case(seed):
    """x, g, weight, bias (or None): images in any memory order, rows, series."""
    rng = np.random.default_rng(seed)
    dtype = (np.float32, np.float64)[rng.integers(2)]
    kind = rng.integers(6)
    n, c = int(rng.integers(1, 7)), int(rng.integers(1, 6))
    if kind == 0:
        shape = (n + 1, c)
    elif kind == 1:
        shape = (n, c, int(rng.integers(2, 50)))
    else:
        shape = (n, c, int(rng.integers(1, 9)), int(rng.integers(2, 9)))
    draw = cases.values if len(shape) == 4 else lambda r, s, d: r.standard_normal(s).astype(d)
    x, g = draw(rng, shape, dtype), draw(rng, shape, dtype)
    spread = rng.standard_normal((1, c) + (1,) * (len(shape) - 2)) * rng.choice([0.1, 3.0, 30.0])
    if rng.integers(2):
        x = x + spread.astype(dtype)
    weight = None if rng.integers(4) == 0 else rng.standard_normal(c).astype(dtype)
    bias = None if rng.integers(4) == 0 else rng.standard_normal(c).astype(dtype)
    return x, g, weight, bias


def others(x):
    return tuple(d for d in range(x.ndim) if d != 1)


def row(values, x):
    return values.reshape((1, -1) + (1,) * (x.ndim - 2))


def by_definition(x, weight, bias, mean, var):
    xhat = (x - row(mean, x)) / np.sqrt(row(var, x) + EPS)
    out = xhat if weight is None else xhat * row(weight, x)
    return xhat, out if bias is None else out + row(bias, x)


def close(found, want, dtype, scale=1.0):
    limit = {np.dtype("f4"): 3e-6, np.dtype("f8"): 1e-12}[np.dtype(dtype)]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, want, rtol=limit * scale, atol=limit * scale)


@pytest.mark.usefixtures("blocks")
@seeds
def test_training_is_its_definition(seed):
    x, g, weight, bias = a_case(seed)
    wide, axes = x.astype(np.float64), others(x)
    mean, var = wide.mean(axes), wide.var(axes)
    # What a rounding of x itself would do to the result, and to sums of it.
    size = 1 + np.abs(wide).max() / np.sqrt(var.min() + EPS)
    running = np.full(x.shape[1], 2, x.dtype), np.full(x.shape[1], 3, x.dtype)
    out, found_mean, invstd = cases.CPU.batch_norm_train(x, weight, bias, running, 0.25, EPS)
    xhat, want = by_definition(wide, weight, bias, mean, var)
    close(found_mean, mean, x.dtype, 1 + np.abs(mean).max())
    ratio = (invstd * np.sqrt(var + EPS)).astype(x.dtype)
    close(ratio, np.ones_like(var), x.dtype, size)
    close(out, want, x.dtype, size)
    count = x.size // x.shape[1]
    close(running[0], 1.5 + 0.25 * mean, x.dtype, 1 + np.abs(mean).max())
    unbiased = var * count / max(count - 1, 1)
    close(running[1], 2.25 + 0.25 * unbiased, x.dtype, 1 + unbiased.max())

    arguments = g, x, found_mean, invstd, weight, True
    dx, dw, db = cases.CPU.batch_norm_backward(*arguments)
    wide_g = g.astype(np.float64)
    close(db, wide_g.sum(axes), x.dtype, count)
    close(dw, (wide_g * xhat).sum(axes), x.dtype, count * size)
    scale = 1 / np.sqrt(var + EPS) * (1 if weight is None else weight)
    means = wide_g.mean(axes, keepdims=True), (wide_g * xhat).mean(axes, keepdims=True)
    want = row(scale, x) * (wide_g - means[0] - xhat * means[1])
    close(dx, want, x.dtype, size * (1 + np.abs(scale).max()) * (1 + np.abs(xhat).max()))


@pytest.mark.usefixtures("blocks")
@seeds
def test_evaluation_is_the_reference(seed):
    x, g, weight, bias = a_case(seed)
    rng = np.random.default_rng(seed)
    mean, invstd = rng.standard_normal(x.shape[1]), rng.random(x.shape[1]) + 0.5
    mean, invstd = mean.astype(x.dtype), invstd.astype(x.dtype)
    arguments = x, mean, invstd, weight, bias
    assert np.array_equal(cases.CPU.batch_norm(*arguments), cases.REFERENCE.batch_norm(*arguments))
    arguments = g, x, mean, invstd, weight, False
    count = x.size // x.shape[1]
    found, want = (k.batch_norm_backward(*arguments) for k in (cases.CPU, cases.REFERENCE))
    for one, other in zip(found, want, strict=True):
        close(one, other, x.dtype, count * (1 + np.abs(x).max()))


@pytest.mark.usefixtures("shared_work", "blocks")
@pytest.mark.parametrize("shape", [(6, 3, 8, 8), (40, 5), (7, 3, 33)])
@pytest.mark.parametrize("conv_layout", [True, False])
def test_any_number_of_threads_gives_the_same_bits(shape, conv_layout):
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    if conv_layout and len(shape) == 4:
        x, g = (cases.CPU.to_conv_layout(a) for a in (x, g))
    weight = rng.standard_normal(shape[1]).astype(np.float32)

    def results():
        out, mean, invstd = cases.CPU.batch_norm_train(x, weight, weight, (None, None), 0.1, EPS)
        far = cases.CPU.batch_norm_train(x + 100, weight, weight, (None, None), 0.1, EPS)
        back = cases.CPU.batch_norm_backward(g, x, mean, invstd, weight, True)
        rest = cases.CPU.batch_norm_backward(g, x, mean + 100, invstd, weight, True)
        evaluated = cases.CPU.batch_norm(x, mean, invstd, weight, weight)
        return [a.tobytes() for a in (out, mean, invstd, *far, *back, *rest, evaluated)]

    threads.set_num_threads(1)
    one = results()
    for count in (2, 3, 4):
        threads.set_num_threads(count)
        assert results() == one


@pytest.mark.parametrize("offset", [0.0, 3.0, 100.0, 1e4])
def test_a_mean_far_from_zero_costs_no_digits(offset):
    rng = np.random.default_rng(1)
    x = cases.CPU.to_conv_layout(rng.standard_normal((16, 4, 12, 12)).astype(np.float32))
    x = x + np.float32(offset)
    _, mean, invstd = cases.CPU.batch_norm_train(x, None, None, (None, None), 0.1, EPS)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean((0, 2, 3)), rtol=2e-7, atol=1e-7)
    want = 1 / np.sqrt(wide.var((0, 2, 3)) + EPS)
    np.testing.assert_allclose(invstd, want, rtol=1e-6)


def test_channels_of_one_value_have_no_spread():
    x = np.empty((4, 3, 5, 5), np.float32)
    x[...] = np.array([0, 0.1, 1e3], np.float32).reshape(1, 3, 1, 1)
    out, _, invstd = cases.CPU.batch_norm_train(x, None, None, (None, None), 0.1, EPS)
    np.testing.assert_allclose(invstd, np.full(3, 1 / np.sqrt(EPS)), rtol=1e-3)
    assert np.isfinite(out).all()
    assert np.abs(out[:, :2]).max() < 1e-5


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (4, 3, 2, 2), (40, 3)])
def test_nothing_is_written_to_and_the_memory_order_stays(shape):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape).astype(np.float32)
    x.flags.writeable = False
    out, mean, invstd = cases.CPU.batch_norm_train(x, None, None, (None, None), 0.1, EPS)
    assert out.shape == x.shape
    if x[0, 0].size != 4:  # short planes change to conv layout
        assert out.flags.c_contiguous
    if x.ndim == 4:
        inside = cases.CPU.to_conv_layout(x)
        again, *_ = cases.CPU.batch_norm_train(inside, None, None, (None, None), 0.1, EPS)
        assert cases.in_conv_layout(again)
        dx, *_ = cases.CPU.batch_norm_backward(x, inside, mean, invstd, None, True)
        assert cases.in_conv_layout(dx)


def test_nan_and_infinity_stay_in_their_channel():
    x = np.random.default_rng(3).standard_normal((4, 3, 5, 5)).astype(np.float32)
    x[1, 0, 2, 2], x[1, 2, 2, 2] = np.nan, np.inf
    out, *_ = cases.CPU.batch_norm_train(x, None, None, (None, None), 0.1, EPS)
    assert np.isnan(out[:, 0]).all()
    assert np.isfinite(out[:, 1]).all()
    assert np.isnan(out[:, 2]).any()


def test_rows_hold_whole_pixels():
    for pixels, channels in [(1, 3), (12, 5), (4096, 16), (8191, 3), (6 * 7 * 5, 64), (1000, 8192)]:
        repeats = norm.repeats(pixels, channels)
        assert pixels % repeats == 0
        assert repeats == 1 or repeats * channels <= norm.RUN
