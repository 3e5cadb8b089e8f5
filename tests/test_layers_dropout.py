"""Dropout: how much is dropped, what is kept, and the same mask from the same seed."""

import numpy as np
import pytest
from parity import numpy_of

import lucidlite as torch
from lucidlite import nn
from lucidlite.nn import functional as F


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_share_dropped_and_scale_of_the_rest(p):
    torch.manual_seed(0)
    x = torch.randn(100, 200) + 3
    out = numpy_of(nn.Dropout(p)(x))
    dropped = (out == 0).mean()
    assert dropped == pytest.approx(p, abs=5 * (p * (1 - p) / x.numel()) ** 0.5)
    kept = out != 0
    np.testing.assert_allclose(out[kept], numpy_of(x)[kept] / (1 - p), rtol=1e-6)
    # Rows and columns are dropped alike.
    assert np.abs(kept.mean(0) - (1 - p)).max() < 0.3
    assert np.abs(kept.mean(1) - (1 - p)).max() < 0.2
    assert out.mean() == pytest.approx(numpy_of(x).mean(), rel=0.05)


def test_same_seed_same_mask_whatever_the_layout():
    def mask(x):
        torch.manual_seed(5)
        return numpy_of(F.dropout(x, 0.5)) != 0

    plain = torch.ones(2, 3, 8, 8)
    once = mask(plain)
    assert np.array_equal(once, mask(plain))
    assert np.array_equal(once, mask(torch.ones(2, 3, 8, 8).double()))
    assert np.array_equal(once, mask(torch.ones(8, 8, 3, 2).permute(3, 2, 1, 0)))
    conv_layout = nn.AvgPool2d(1)(torch.ones(2, 3, 8, 8))
    assert np.array_equal(once, mask(conv_layout))
    torch.manual_seed(6)
    assert not np.array_equal(once, numpy_of(F.dropout(plain, 0.5)) != 0)


def test_two_calls_drop_different_elements():
    layer, x = nn.Dropout(), torch.ones(1000)
    assert not torch.equal(layer(x), layer(x))


def test_evaluation_and_p_zero_return_the_input():
    x = torch.randn(3, 4)
    assert nn.Dropout().eval()(x) is x
    assert torch.equal(nn.Dropout(0.0)(x), x)
    assert torch.equal(F.dropout(x, training=False), x)
    state = torch.get_rng_state()
    nn.Dropout().eval()(x)
    assert torch.get_rng_state() == state


def test_p_one_drops_everything():
    x = torch.ones(4, requires_grad=True)
    out = nn.Dropout(1.0)(x)
    assert out.tolist() == [0, 0, 0, 0]
    out.sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_gradient_is_dropped_alike():
    x = torch.ones(50, requires_grad=True)
    out = nn.Dropout(0.4)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_in_place():
    x = torch.ones(1000)
    torch.manual_seed(1)
    out = nn.Dropout(0.5, inplace=True)(x)
    assert out is x
    torch.manual_seed(1)
    assert torch.equal(x, nn.Dropout(0.5)(torch.ones(1000)))
    y = torch.ones(100, requires_grad=True)
    z = y * 2
    kept = F.dropout(z, 0.5, inplace=True)
    assert kept is z
    kept.sum().backward()
    assert set(y.grad.tolist()) == {0.0, 4.0}


def test_dtype_is_kept():
    for dtype in (torch.float16, torch.float32, torch.float64):
        out = nn.Dropout(0.5)(torch.ones(50, dtype=dtype))
        assert out.dtype is dtype
        assert set(out.tolist()) <= {0.0, 2.0}


def test_printing():
    assert repr(nn.Dropout()) == "Dropout(p=0.5, inplace=False)"
    assert repr(nn.Dropout(0.2, True)) == "Dropout(p=0.2, inplace=True)"


@pytest.mark.parametrize("name", ["lucidlite", "torch"])
def test_refusals(name):
    lib = pytest.importorskip(name, reason="compares with PyTorch")
    for p in (1.5, -0.1):
        with pytest.raises(ValueError, match="has to be between 0 and 1, but got"):
            lib.nn.Dropout(p)
        with pytest.raises(ValueError, match="has to be between 0 and 1, but got"):
            lib.nn.functional.dropout(lib.ones(3), p)
    with pytest.raises(RuntimeError, match="result type"):
        lib.nn.functional.dropout(lib.ones(3).long(), 0.5)
    assert lib.nn.functional.dropout(lib.ones(3).long(), 0.5, training=False).tolist() == [1, 1, 1]


@pytest.mark.parametrize("layer", [nn.ReLU(inplace=True), nn.LeakyReLU(0.1, inplace=True)])
def test_activations_in_place(layer):
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    y = x * 3
    out = layer(y)
    assert out is y
    slope = getattr(layer, "negative_slope", 0.0)
    np.testing.assert_allclose(numpy_of(out), [-3 * slope, 6], rtol=1e-6)
    out.sum().backward()
    np.testing.assert_allclose(numpy_of(x.grad), [3 * slope, 3], rtol=1e-6)
    memory = torch.tensor([-1.0, 2.0])
    view = memory.view(2, 1)
    layer(memory)
    np.testing.assert_allclose(numpy_of(view).ravel(), [-slope, 2], rtol=1e-6)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_softmax_without_dim_warns_and_chooses_as_torch(name):
    theirs = pytest.importorskip("torch", reason="compares with PyTorch")
    for shape in ((3,), (2, 3), (2, 3, 2), (2, 3, 2, 2)):
        x = np.random.default_rng(0).standard_normal(shape)
        found = []
        for lib in (torch, theirs):
            with pytest.warns(UserWarning, match="Implicit dimension choice") as warned:
                found.append(numpy_of(getattr(lib.nn, name)()(lib.from_numpy(x))))
            if lib is torch:
                assert warned[0].filename == __file__
        np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
