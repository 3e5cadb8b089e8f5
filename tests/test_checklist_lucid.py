"""AvgPool2d as Lucid's and torch.js's pages document it: one test a row, named by the row's ID."""

import inspect
import itertools
import os
import tracemalloc
import typing

import numpy as np
import pytest

import lucidlite as torch
from lucidlite import nn
from lucidlite.autograd import gradcheck, gradgradcheck

OPTIONS = [
    dict(kernel_size=k, stride=s, padding=p, ceil_mode=c, count_include_pad=i, divisor_override=d)
    for k, s, p, c, i, d in itertools.product(
        (2, (3, 2)), (None, 1, (2, 3)), (0, 1), (False, True), (False, True), (None, 3)
    )
]


def test_L1_signature_and_base_class():
    names = list(inspect.signature(nn.AvgPool2d).parameters)
    assert names[:5] == ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"]
    assert isinstance(nn.AvgPool2d(2), nn.Module)


def test_L2_attributes():
    pool = nn.AvgPool2d((3, 2), padding=1, ceil_mode=True, count_include_pad=False)
    assert (pool.kernel_size, pool.stride, pool.padding) == ((3, 2), (3, 2), 1)
    assert (pool.ceil_mode, pool.count_include_pad) == (True, False)
    assert nn.AvgPool2d(3).kernel_size == 3


def naive_average(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    """The sum over each window by six loops, over what the document calls |W|."""
    (kh, kw), (ph, pw) = ((v, v) if isinstance(v, int) else v for v in (kernel_size, padding))
    sh, sw = (kh, kw) if stride is None else (stride, stride) if isinstance(stride, int) else stride
    n, c, height, width = x.shape

    def count(size, kernel, step, pad):
        windows = (size + 2 * pad - kernel + (step - 1 if ceil_mode else 0)) // step + 1
        return windows - 1 if (windows - 1) * step >= size + pad else windows

    out = np.zeros((n, c, count(height, kh, sh, ph), count(width, kw, sw, pw)))
    for image, channel, i, j in np.ndindex(*out.shape):
        total = real = padded = 0
        for a, b in itertools.product(range(kh), range(kw)):
            row, column = i * sh - ph + a, j * sw - pw + b
            if 0 <= row < height and 0 <= column < width:
                total += x[image, channel, row, column]
                real += 1
            padded += row < height + ph and column < width + pw
        area = divisor_override or (padded if count_include_pad else real)
        out[image, channel, i, j] = total / area
    return out


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_L3_the_documented_sum(options):
    x = np.random.default_rng(3).standard_normal((2, 2, 7, 6))
    pooled = nn.AvgPool2d(**options)(torch.from_numpy(x))
    np.testing.assert_allclose(pooled.numpy(), naive_average(x, **options), rtol=1e-12)


def test_L4_shapes():
    assert nn.AvgPool2d(2)(torch.ones(2, 3, 8, 6)).shape == (2, 3, 4, 3)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_L5_differentiable_everywhere(options):
    pool = nn.AvgPool2d(**options)
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(pool, (x,))
    assert gradgradcheck(pool, (x,))


def test_L6_a_kernel_of_the_whole_plane_is_global_pooling():
    x = torch.randn(2, 5, 7, 9)
    pooled = nn.AvgPool2d((7, 9))(x)
    assert pooled.shape == (2, 5, 1, 1)
    np.testing.assert_allclose(pooled.numpy(), x.numpy().mean((2, 3), keepdims=True), 1e-5, 1e-6)


def test_L7_downsampling_example():
    y = nn.AvgPool2d(kernel_size=2, stride=2)(torch.ones((1, 64, 56, 56)))
    assert repr(y.shape) == "(1, 64, 28, 28)"
    assert torch.equal(y, torch.ones(1, 64, 28, 28))


def test_L8_smoothing_example():
    y = nn.AvgPool2d(kernel_size=3, stride=1, padding=1)(torch.ones((4, 32, 16, 16)))
    assert repr(y.shape) == "(4, 32, 16, 16)"
    row = [4 / 9] + [6 / 9] * 14 + [4 / 9]
    inside = [6 / 9] + [1] * 14 + [6 / 9]
    np.testing.assert_allclose(y[3, 31].numpy(), [row, *[inside] * 14, row], rtol=1e-6)
    real = nn.AvgPool2d(3, 1, 1, count_include_pad=False)(torch.ones((4, 32, 16, 16)))
    assert torch.equal(real, torch.ones(4, 32, 16, 16))


def test_L9_methods():
    pool = nn.AvgPool2d(2)
    assert pool.extra_repr() == "kernel_size=2, stride=2, padding=0"
    assert repr(pool) == "AvgPool2d(kernel_size=2, stride=2, padding=0)"
    pairs = nn.AvgPool2d((3, 2), (2, 1), (1, 0))
    assert repr(pairs) == "AvgPool2d(kernel_size=(3, 2), stride=(2, 1), padding=(1, 0))"
    assert isinstance(pool.forward(torch.ones(1, 1, 2, 2)), torch.Tensor)
    assert pool.__init__(3) is None  # type: ignore[misc]


def test_L10_ties_of_a_maximum_go_to_the_first():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    nn.MaxPool2d(2)(x).sum().backward()
    assert x.grad.tolist() == [[[[1, 0, 1, 0], [0, 0, 0, 0]] * 2]]


def test_L11_type_hints():
    hints = typing.get_type_hints(nn.AvgPool2d.__init__)
    size = int | tuple[int, int]
    assert hints["kernel_size"] == hints["padding"] == size
    assert hints["stride"] == size | None
    assert hints["ceil_mode"] is hints["count_include_pad"] is bool
    assert hints["divisor_override"] == int | None
    assert hints["return"] is type(None)
    assert typing.get_type_hints(nn.AvgPool2d.forward)["return"] is torch.Tensor
    assert typing.get_type_hints(nn.AvgPool2d.extra_repr)["return"] is str


def test_J1_the_kernel_is_positional_and_the_rest_named():
    pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
    assert pool(torch.ones(1, 1, 5, 5)).tolist() == [[[[1.0] * 3] * 3]]


def test_J2_attributes_are_never_none():
    pool = nn.AvgPool2d(2)
    assert (pool.kernel_size, pool.stride, pool.padding) == (2, 2, 0)
    assert pool.count_include_pad is True


def test_J3_lists_as_pairs_and_as_shapes():
    x = torch.randn([2, 3, 8, 8])
    assert x.shape == (2, 3, 8, 8)
    assert torch.randn([2, 3]).shape == torch.randn(2, 3).shape
    for settings in (([3, 3],), ([3, 3], [2, 1]), ([3, 3], [2, 1], [1, 0])):
        tuples = [tuple(s) for s in settings]
        assert torch.equal(nn.AvgPool2d(*settings)(x), nn.AvgPool2d(*tuples)(x))
        assert torch.equal(nn.MaxPool2d(*settings)(x), nn.MaxPool2d(*tuples)(x))
    assert nn.AvgPool2d([7, 7])(torch.ones(1, 2, 7, 7)).shape == (1, 2, 1, 1)


def test_J4_stride_defaults_to_the_kernel():
    assert nn.AvgPool2d([3, 2]).stride == [3, 2]
    assert nn.AvgPool2d(4)(torch.ones(1, 1, 8, 8)).shape == (1, 1, 2, 2)


def test_J5_each_axis_by_its_own_numbers():
    pool = nn.AvgPool2d((3, 2), (2, 1), (1, 0))
    assert pool(torch.ones(1, 1, 9, 9)).shape == (1, 1, (9 + 2 - 3) // 2 + 1, 9 - 2 + 1)


def test_J6_a_large_image_without_a_matrix_of_windows():
    """The documented batch of 32 takes 411 MB: LUCIDLITE_TEST_ALL=1 runs it, else 2 images do."""
    batch = 32 if os.environ.get("LUCIDLITE_TEST_ALL") == "1" else 2
    x = torch.ones(batch, 64, 224, 224)
    tracemalloc.start()
    try:
        y = nn.AvgPool2d(2)(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert y.shape == (batch, 64, 112, 112)
    assert y[-1, -1, -1, -1].item() == 1
    # The result is a quarter of the input; im2col would be all of it once more.
    assert peak < 0.9 * x.nbytes


def test_J7_overlapping_windows():
    x = torch.zeros(32, 128, 56, 56)
    x[0, 0, 5, 5] = 9
    y = nn.AvgPool2d([3, 3], 1, 1)(x)
    assert y.shape == (32, 128, 56, 56)
    assert y[0, 0, 4:7, 4:7].tolist() == [[1.0] * 3] * 3
    assert y.sum().item() == 9


def test_J8_global_over_seven_by_seven():
    y = nn.AvgPool2d([7, 7])(torch.ones(32, 512, 7, 7))
    assert torch.equal(y, torch.ones(32, 512, 1, 1))


def test_J9_pooled_then_flattened():
    pooled = nn.AvgPool2d(7)(torch.ones(16, 1280, 7, 7))
    assert pooled.shape == (16, 1280, 1, 1)
    assert pooled.view(pooled.shape[0], -1).shape == (16, 1280)


def test_J10_padding_excluded():
    y = nn.AvgPool2d(2, 2, 1, count_include_pad=False)(torch.ones(16, 64, 32, 32))
    assert torch.equal(y, torch.ones(16, 64, 17, 17))


def test_J11_gradients_are_shared_equally():
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    nn.AvgPool2d(2)(x).sum().backward()
    assert x.grad.tolist() == [[[[0.25] * 4] * 4]]
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    nn.AvgPool2d(3, 1, 1)(x).sum().backward()
    corner, edge = 4 / 9, 6 / 9
    outer, inner = [corner, edge, edge, corner], [edge, 1, 1, edge]
    np.testing.assert_allclose(x.grad[0, 0].numpy(), [outer, inner, inner, outer], rtol=1e-6)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1)])
def test_J12_channels_are_independent(pool):
    x = torch.randn(2, 5, 9, 9)
    changed = x.clone()
    changed[:, 3] = float("inf")
    before, after = pool(x).numpy(), pool(changed).numpy()
    others = [0, 1, 2, 4]
    assert before[:, others].tobytes() == after[:, others].tobytes()
    assert not np.array_equal(before[:, 3], after[:, 3])


def test_J13_forward_is_the_call():
    pool, x = nn.AvgPool2d(2), torch.randn(2, 3, 6, 6)
    assert torch.equal(pool.forward(x), pool(x))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 6, 12, (3, 4), (2, 6)])
def test_J14_the_mean_is_preserved(kernel):
    x = torch.randn(3, 4, 12, 12, dtype=torch.float64)
    assert nn.AvgPool2d(kernel)(x).mean().item() == pytest.approx(x.mean().item(), abs=1e-14)


def test_J15_a_stride_below_the_kernel_overlaps():
    x = torch.arange(1.0, 6.0).view(1, 1, 1, 5)
    assert nn.AvgPool2d((1, 3), 1)(x).tolist() == [[[[2, 3, 4]]]]
    assert nn.AvgPool2d((1, 3), 2)(x).tolist() == [[[[2, 4]]]]
