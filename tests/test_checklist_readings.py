"""Where the documents disagree, the reading chosen: one test a row, named by the row's ID."""

import inspect

import numpy as np
import pytest
from seed_examples import QUIZ_MAX, with_imports

import lucidlite as torch
from lucidlite import nn


def grid(n):
    """1, 2, 3, ... as an (1, 1, n, n) image."""
    return torch.arange(1.0, n * n + 1).view(1, 1, n, n)


def test_C1_shapes_print_as_plain_tuples(capsys):
    shape = nn.AvgPool2d(2)(torch.ones(1, 64, 56, 56)).shape
    assert isinstance(shape, tuple)
    assert repr(shape) == str(shape) == "(1, 64, 28, 28)"
    assert shape == (1, 64, 28, 28)
    assert shape.numel() == 64 * 28 * 28
    exec(with_imports(QUIZ_MAX, "lucidlite"), {"__name__": "__main__"})
    assert capsys.readouterr().out == "(1, 1, 3, 3)\n"


def test_C1_shapes_equal_torchs():
    theirs = pytest.importorskip("torch", reason="compares with PyTorch")
    shape = nn.MaxPool2d(2)(torch.ones(1, 1, 6, 6)).shape
    assert theirs.Size([1, 1, 3, 3]) == shape
    assert shape == theirs.Size([1, 1, 3, 3])


def test_C2_input_without_a_batch():
    for layer in (nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2), nn.Conv2d(3, 3, 3, 2)):
        x = torch.randn(3, 5, 5)
        assert layer(x).shape == (3, 2, 2)
        assert torch.equal(layer(x), layer(x.unsqueeze(0))[0])


def test_C3_ceil_mode_drops_a_window_in_the_right_padding():
    def rows(n, kernel, stride, padding):
        pool = nn.AvgPool2d((kernel, 1), (stride, 1), (padding, 0), ceil_mode=True)
        return pool(torch.ones(1, 1, n, 1)).shape[2]

    assert rows(3, 2, 2, 1) == 2  # the plain ceiling says 3
    assert rows(6, 2, 3, 0) == 2  # the plain ceiling says 3
    assert "right padding" in nn.functional.avg_pool2d.__doc__


def test_C3_the_divisor_counts_no_overhang():
    x = torch.arange(49.0).view(1, 1, 7, 7)
    for include in (True, False):
        pool = nn.AvgPool2d(2, 3, ceil_mode=True, count_include_pad=include)
        assert pool(x).tolist() == [[[[4, 7, 9.5], [25, 28, 30.5], [42.5, 45.5, 48]]]]


def test_C4_stride_is_resolved():
    assert (nn.AvgPool2d(2).stride, nn.MaxPool2d(2).stride) == (2, 2)
    assert nn.AvgPool2d(2).extra_repr() == "kernel_size=2, stride=2, padding=0"


def test_C5_the_fourth_argument_is_ceil_mode():
    positional = nn.AvgPool2d(2, 2, 1, False)
    assert positional.ceil_mode is False
    assert positional.count_include_pad is True
    ones = torch.ones(16, 64, 32, 32)
    named = nn.AvgPool2d(2, 2, 1, count_include_pad=False)
    assert positional(ones).shape == named(ones).shape == (16, 64, 17, 17)
    assert torch.equal(named(ones), torch.ones(16, 64, 17, 17))
    assert positional(ones)[0, 0, 0, :3].tolist() == [0.25, 0.5, 0.5]


def test_C6_divisor_override():
    pooled = nn.AvgPool2d(2, divisor_override=1)(torch.ones(1, 1, 4, 4))
    assert pooled.tolist() == [[[[4, 4], [4, 4]]]]


def test_C7_a_kernel_below_the_stride_is_legal():
    pooled = nn.MaxPool2d(stride=3, kernel_size=2)(grid(8))
    assert pooled.tolist() == [[[[10, 13, 16], [34, 37, 40], [58, 61, 64]]]]


@pytest.mark.parametrize("layer", [nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)])
def test_C8_forward_takes_its_input_by_position(layer):
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(layer.forward(x), layer(x))
    assert torch.equal(layer(input=x), layer(x))
    assert list(inspect.signature(layer.forward).parameters) == ["input"]


def test_C9_windows_overlap_where_the_stride_is_below_the_kernel():
    x = np.random.default_rng(0).standard_normal((1, 1, 1, 6), dtype=np.float32)
    pooled = nn.AvgPool2d((1, 2), 1)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(pooled, (x[..., 1:] + x[..., :-1]) / 2, rtol=1e-6)
