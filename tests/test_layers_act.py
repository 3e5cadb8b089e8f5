"""Dropout of channels, alpha dropout, and activations that draw, learn or take old names."""

import numpy as np
import pytest
from parity import numpy_of

import lucidlite
from lucidlite import nn


def both():
    return lucidlite, pytest.importorskip("torch", reason="compares with PyTorch")


@pytest.mark.parametrize(("name", "shape"), [
    ("Dropout1d", (40, 50, 7)), ("Dropout2d", (40, 50, 3, 4)), ("Dropout3d", (40, 50, 2, 3, 2)),
])  # fmt: skip
def test_whole_channels_are_dropped(name, shape):
    lucidlite.manual_seed(0)
    out = numpy_of(getattr(nn, name)(0.3)(lucidlite.ones(*shape)))
    flat = out.reshape(*shape[:2], -1)
    assert (flat == flat[..., :1]).all()
    first = flat[..., 0]
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.7], rtol=1e-6)
    assert (first == 0).mean() == pytest.approx(0.3, abs=0.05)
    x = lucidlite.ones(*shape)
    assert getattr(nn, name)(0.3).eval()(x) is x
    lucidlite.manual_seed(0)
    again = getattr(nn, name)(0.3, inplace=True)(x)
    assert again is x
    assert np.array_equal(numpy_of(x), out)


@pytest.mark.parametrize("name", ["AlphaDropout", "FeatureAlphaDropout"])
def test_alpha_dropout_keeps_mean_and_variance(name):
    lucidlite.manual_seed(0)
    x = lucidlite.randn(200, 300)
    out = numpy_of(getattr(nn, name)(0.4)(x))
    assert abs(out.mean()) < 0.02
    assert out.std() == pytest.approx(1, abs=0.02)
    low, share = np.unique(out, return_counts=True)
    most = np.argmax(share)  # what dropped elements are set to
    assert share[most] / out.size == pytest.approx(0.4, abs=0.02)
    a = (1.7580993408473766**2 * 0.4 + 1) * 0.6
    assert low[most] == pytest.approx(1.7580993408473766 * (0.4 - 1) / a**0.5, rel=1e-5)


def test_dropout2d_of_other_ranks_warns_as_in_torch():
    for T in both():
        with pytest.warns(UserWarning, match="3D input to dropout2d"):
            assert T.nn.Dropout2d(1.0)(T.ones(2, 3, 4)).abs().sum() == 0
        with pytest.warns(UserWarning, match="2-D input to dropout2d"):
            T.nn.Dropout2d(0.5)(T.ones(2, 3))
        with pytest.warns(UserWarning, match="3-D input to dropout3d"):
            T.nn.Dropout3d(0.5)(T.ones(2, 3, 4))


def test_rrelu_draws_within_its_bounds():
    lucidlite.manual_seed(0)
    x = -lucidlite.ones(100, 100)
    out = numpy_of(nn.RReLU(0.2, 0.6)(x))
    assert out.min() > -0.6
    assert out.max() <= -0.2
    assert out.mean() == pytest.approx(-0.4, abs=0.01)
    np.testing.assert_allclose(numpy_of(nn.RReLU(0.2, 0.6).eval()(x)), -0.4, rtol=1e-6)


def test_prelu_starts_and_learns():
    layer = nn.PReLU(2, init=0.5)
    assert layer.weight.tolist() == [0.5, 0.5]
    x = lucidlite.tensor([[-1.0, 2.0], [-3.0, -4.0]])
    layer(x).sum().backward()
    assert layer.weight.grad.tolist() == [-4, -4]


def test_hardtanh_takes_its_old_names():
    for T in both():
        with pytest.warns(FutureWarning, match="renamed to `min_val`"):
            layer = T.nn.Hardtanh(min_value=-2.0)
        assert layer(T.tensor([-3.0])).item() == -2


def test_hardsigmoid():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    values = np.linspace(-4, 4, 33)
    x, y = lucidlite.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    layers = nn.Hardsigmoid(), torch.nn.Hardsigmoid(inplace=False)
    assert repr(layers[0]) == repr(layers[1])
    for layer, t in zip(layers, (x, y), strict=True):
        layer(t).sum().backward()
    # PyTorch has 1/6 in float32.
    np.testing.assert_allclose(numpy_of(x.grad), numpy_of(y.grad), rtol=1e-7)
    np.testing.assert_allclose(numpy_of(layers[0](x)), numpy_of(layers[1](y)), rtol=1e-7)


def test_gumbel_softmax_draws_classes_by_their_share():
    lucidlite.manual_seed(0)
    shares = np.array([0.1, 0.6, 0.3])
    logits = lucidlite.tensor(np.tile(np.log(shares), (5000, 1)), requires_grad=True)
    drawn = lucidlite.nn.functional.gumbel_softmax(logits, hard=True)
    np.testing.assert_allclose(numpy_of(drawn).mean(0), shares, atol=0.03)
    np.testing.assert_allclose(np.unique(numpy_of(drawn)), [0, 1], atol=1e-12)
    drawn[:, 1].sum().backward()
    assert (numpy_of(logits.grad) != 0).all()
    soft = numpy_of(lucidlite.nn.functional.gumbel_softmax(logits, tau=0.5))
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-12)
    for T in both():
        with pytest.warns(UserWarning, match="`eps` parameter is deprecated"):
            T.nn.functional.gumbel_softmax(T.ones(2), eps=1e-3)
