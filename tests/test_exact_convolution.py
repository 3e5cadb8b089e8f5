"""Where convolutions are summed directly: on request, and in a thread that looks for NaN."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import lucidlite
from lucidlite import nn
from lucidlite.autograd import detect_anomaly, set_detect_anomaly
from lucidlite.backends import cpu
from lucidlite.backends.numpy_kernels.winograd import Winograd
from lucidlite.determinism import exact_here

F = nn.functional


def operands(grad=True):
    lucidlite.manual_seed(0)
    tensors = lucidlite.randn(2, 32, 24, 24), lucidlite.randn(32, 32, 3, 3), lucidlite.randn(32)
    for tensor in tensors:
        tensor.requires_grad_(grad)
    return tensors


def forward(tensors):
    return F.conv2d(*tensors, padding=1)


def backward(y, tensors):
    """The gradients as bytes: the comparisons here are bit by bit."""
    return [g.numpy().tobytes() for g in lucidlite.autograd.grad((y * y).sum(), tensors)]


def both(tensors):
    y = forward(tensors)
    return y.detach().contiguous().numpy().tobytes(), backward(y, tensors)


@pytest.fixture
def exact(monkeypatch):
    """What both passes give with conv_algorithm = 'exact'."""
    with monkeypatch.context() as patch:
        patch.setattr(cpu, "_conv_algorithm", "exact")
        return both(operands())


@pytest.fixture
def tiled(monkeypatch):
    """A list that fills with the sizes of Winograd's tiles."""
    sizes = []
    for name in ("forward", "backward"):
        plain = getattr(Winograd, name)

        def noted(self, *args, plain=plain):
            sizes.append(self.m)
            return plain(self, *args)

        monkeypatch.setattr(Winograd, name, noted)
    return sizes


def test_detect_anomaly_sums_directly(exact, tiled):
    automatic = both(operands())
    assert tiled == [4, 4]
    with detect_anomaly():
        assert both(operands()) == exact
    assert tiled == [4, 4]
    assert both(operands()) == automatic != exact


def test_a_backward_alone_sums_directly(exact, tiled):
    """What the forward kept for its own algorithm is of no use then."""
    tensors = operands()
    y = forward(tensors)
    seed = lucidlite.ones_like(y)
    with detect_anomaly():
        found = lucidlite.autograd.grad(y, tensors, seed)
    with detect_anomaly():
        expected = lucidlite.autograd.grad(forward(tensors), tensors, seed)
    assert tiled == [4]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    with detect_anomaly():
        y = forward(tensors)
    lucidlite.autograd.grad(y, tensors, seed)
    assert tiled == [4, 4]
    assert exact


def test_other_threads_go_on_as_they_were(exact):
    automatic, found = both(operands()), []
    with detect_anomaly():
        thread = threading.Thread(target=lambda: found.append(both(operands())))
        thread.start()
        thread.join()
        assert both(operands()) == exact
    assert found == [automatic]


def test_the_switch_is_put_back():
    with detect_anomaly():
        with set_detect_anomaly(False):
            assert not exact_here.on
        with detect_anomaly(check_nan=False):
            assert not exact_here.on
        assert exact_here.on
    assert not exact_here.on
    with pytest.raises(ValueError, match="on purpose"), detect_anomaly():
        raise ValueError("on purpose")
    assert not exact_here.on
    set_detect_anomaly(True)
    assert exact_here.on
    set_detect_anomaly(False)
    assert not exact_here.on


def test_no_gradients_no_memo_in_common(exact):
    """A weight's memo holds what one algorithm derived; another doesn't take it for its own."""
    tensors = operands(grad=False)
    with lucidlite.no_grad():
        automatic = forward(tensors).contiguous().numpy().tobytes()
        for _ in range(2):
            with detect_anomaly():
                assert forward(tensors).contiguous().numpy().tobytes() == exact[0]
            assert forward(tensors).contiguous().numpy().tobytes() == automatic


# -- what isn't finite -----------------------------------------------------------------------------


def reached(value, row, column):
    """How many outputs of each channel aren't finite for one such element of the input."""
    x, w, b = operands(grad=False)
    x[0, 3, row, column] = value
    bad = ~np.isfinite(forward((x, w, b)).numpy())
    assert not bad[1].any()  # the other image
    counts = {int(n) for n in bad[0].sum((1, 2))}
    assert len(counts) == 1
    return counts.pop()


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_isnt_finite_reaches_its_tiles(value):
    """As conv2d's docstring says: without a warning, to the outputs of one to four tiles."""
    assert reached(value, 5, 5) == 16  # within a tile
    assert reached(value, 5, 4) == 32  # at the side of two
    assert reached(value, 4, 4) == 64  # in the corner of four
    assert reached(value, 0, 0) == 16
    with detect_anomaly():
        assert reached(value, 5, 5) == reached(value, 4, 4) == 9
        assert reached(value, 0, 0) == 4


def test_a_nan_is_found_where_it_arises():
    """The gradient of an infinite image is the convolution's, and so named."""
    x, w, b = operands()
    with lucidlite.no_grad():
        x[0, 0, 5, 5] = float("inf")
    with detect_anomaly():
        y = forward((x, w, b))
        assert int((~y.detach().isfinite()).sum()) == 9 * 32
        with pytest.raises(RuntimeError, match="ConvolutionBackward0' returned nan values"):
            (y * 0).sum().backward()
