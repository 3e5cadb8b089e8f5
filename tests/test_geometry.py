"""Windows: sizes, bounds, divisors, and every refusal of pools and convolutions."""

import itertools
import warnings

import numpy as np
import pytest

from lucidlite.geometry import (
    Window,
    adaptive_bins,
    adaptive_output_size,
    adaptive_window,
    conv_window,
    pair,
    pool_divisor,
    pool_window,
)

IMAGE = (1, 1, 8, 8)


def test_ceil_mode_drops_a_window_that_starts_in_the_right_padding():
    def rows(n, kernel, stride, padding):
        sides = (padding, padding)
        window = Window((kernel, 1), (stride, 1), (sides, (0, 0)), (1, 1), True)
        return window.output_size((n, 1))[0]

    assert rows(3, 2, 2, 1) == 2  # the plain ceiling says 3
    assert rows(6, 2, 3, 0) == 2  # the plain ceiling says 3
    assert rows(7, 2, 3, 0) == 3


def test_output_size_counts_the_windows_that_start_on_the_plane():
    for n, k, s, p, d, ceil in itertools.product(
        range(1, 9), range(1, 5), range(1, 4), range(3), range(1, 3), (False, True)
    ):
        if p > k // 2:
            continue
        window = Window((k, 1), (s, 1), ((p, p), (0, 0)), (d, 1), ceil)
        extent = (k - 1) * d + 1
        end = n + 2 * p
        starts = [i * s for i in range(n + 2 * p)]
        if ceil:
            # The first that reaches the end is the last, if it starts before the far padding.
            count = sum(start < end - extent for start in starts) + 1
            count -= starts[count - 1] >= n + p
            if extent - end >= s:  # even the first window overhangs by a stride
                continue
        else:
            count = sum(start + extent <= end for start in starts)
        assert max(0, window.output_size((n, 1))[0]) == count, window


@pytest.mark.parametrize("ceil", [False, True])
def test_taps_find_exactly_the_elements_of_each_window(ceil):
    for (k, s, p, d), n in itertools.product(
        itertools.product(range(1, 4), range(1, 4), range(2), range(1, 3)), range(1, 8)
    ):
        window = Window((k, k), (s, s), ((p, p), (p, p)), (d, d), ceil)
        outputs = window.output_size((n, n))
        if outputs[0] < 1 or p > k // 2:
            continue
        found = {i: [] for i in range(outputs[0])}
        for tap in range(k):
            first, end, at = window.tap_span(0, tap, n, outputs[0])
            for i in range(first, end):
                found[i].append(at + (i - first) * s)
        first_taps = window.first_taps(0, outputs[0])
        for i in range(outputs[0]):
            every = [i * s - p + tap * d for tap in range(k)]
            assert found[i] == [at for at in every if 0 <= at < n]
            if found[i]:
                assert every[first_taps[i]] == found[i][0]
        plane = np.zeros(outputs, int)
        for tap in range(window.taps):
            slices = window.tap_slices(tap, (n, n), outputs)
            if slices is not None:
                assert plane[slices[0]].shape == np.zeros((n, n))[slices[1]].shape
                plane[slices[0]] += 1
        assert plane.tolist() == np.outer(*[[len(f) for f in found.values()]] * 2).tolist()


def test_counts_are_pytorchs_divisors():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for k, s, p, n, ceil, include in itertools.product(
        range(1, 5), range(1, 4), range(3), range(1, 9), (False, True), (False, True)
    ):
        window = Window((k, k), (s, s), ((p, p), (p, p)), (1, 1), ceil)
        outputs = window.output_size((n, n))
        if outputs[0] < 1 or p > k // 2:
            continue
        x = torch.ones(1, 1, n, n, dtype=torch.float64)
        sums = torch.nn.functional.avg_pool2d(x, k, s, p, ceil, True, 1)
        means = torch.nn.functional.avg_pool2d(x, k, s, p, ceil, include)
        counts = window.counts(0, n, outputs[0], include)
        np.testing.assert_allclose(np.outer(counts, counts), (sums / means)[0, 0].numpy())


def test_adaptive_bins():
    assert adaptive_bins(5, 3) == ((0, 2), (1, 4), (3, 5))
    assert adaptive_bins(2, 4) == ((0, 1), (0, 1), (1, 2), (1, 2))
    assert adaptive_bins(7, 0) == ()
    assert adaptive_window((32, 16), (2, 4)).kernel_size == (16, 4)
    assert adaptive_window((10, 20), (1, 7)) is None
    assert adaptive_window((4, 4), (8, 8)) is None
    assert adaptive_window((4, 4), (0, 4)) is None


def test_windows_are_values():
    one, other = (pool_window("pool", IMAGE, 3, 2, 1) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert (one.taps, one.extent, one.disjoint, one.padded) == (9, (3, 3), False, True)
    assert pool_window("pool", IMAGE, 2).disjoint
    with pytest.raises(AttributeError):
        one.stride = (1, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, (3, 3)),
        ((2,), (2, 2)),
        ([2, 3], (2, 3)),
        (np.int64(4), (4, 4)),
        ((np.int32(1), np.uint8(2)), (1, 2)),
        (np.array(5), (5, 5)),
    ],
)
def test_pair_takes_whole_numbers(value, expected):
    found = pair("op", "kernel_size", value)
    assert found == expected
    assert [type(n) for n in found] == [int, int]


@pytest.mark.parametrize(
    "value", [2.0, 2.5, "2", None, True, (2.0, 2), (1, True), np.float64(2), np.array([2, 2])]
)
def test_pair_refuses_other_types(value):
    with pytest.raises(TypeError, match="op: kernel_size must be an int or a tuple of ints"):
        pair("op", "kernel_size", value)


@pytest.mark.parametrize("value", [(), (1, 2, 3), [1, 2, 3]])
def test_pair_refuses_other_lengths(value):
    rule = "op: kernel_size must either be a single int, or a tuple of two ints"
    with pytest.raises(RuntimeError, match=rule):
        pair("op", "kernel_size", value)


POOL_REFUSALS = [
    (dict(kernel_size=(2, 2, 2)), "must either be a single int, or a tuple of two ints"),
    (dict(kernel_size=0), "kernel size should be greater than zero"),
    (dict(kernel_size=-1), "kernel size should be greater than zero"),
    (dict(kernel_size=(2, 0), stride=1), "kernel size should be greater than zero"),
    (dict(kernel_size=4, stride=0), "stride should not be zero"),
    (dict(kernel_size=4, stride=(1, -1)), "stride should be greater than zero"),
    (dict(kernel_size=4, stride=(1, 2, 3)), "stride must either be a single int"),
    (dict(kernel_size=4, padding=-1), "pad must be non-negative, but got pad: -1"),
    (dict(kernel_size=4, padding=(0, -2)), "pad must be non-negative, but got pad: -2"),
    (
        dict(kernel_size=4, padding=3),
        "pad should be at most half of effective kernel size, but got pad=3, kernel_size=4 and "
        "dilation=1",
    ),
    (dict(kernel_size=4, padding=(2, 3)), "but got pad=3, kernel_size=4 and dilation=1"),
    (
        dict(kernel_size=9),
        r"Given input size: \(1x8x8\). Calculated output size: \(1x0x0\). "
        "Output size is too small",
    ),
    (dict(kernel_size=(2, 9)), r"Calculated output size: \(1x4x0\)"),
    (dict(shape=(8, 8), kernel_size=2), r"Expected 3D or 4D .* but got:\[8, 8\]"),
    (dict(shape=(1, 1, 1, 8, 8), kernel_size=2), "Expected 3D or 4D"),
    (dict(shape=(1, 0, 8, 8), kernel_size=2), "Expected 3D or 4D"),
    (dict(shape=(0, 8, 8), kernel_size=2), "Expected 3D or 4D"),
    (dict(shape=(1, 1, 0, 8), kernel_size=2), "Expected 3D or 4D"),
]
MAX_REFUSALS = [
    (dict(kernel_size=3, dilation=0), "dilation should be greater than zero"),
    (dict(kernel_size=3, dilation=(1, -1)), "dilation should be greater than zero"),
    (
        dict(kernel_size=3, padding=2, dilation=2),
        "pad should be smaller than or equal to half of kernel size",
    ),
]


@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize(("settings", "message"), POOL_REFUSALS + MAX_REFUSALS)
def test_pool_refusals_x2(op, settings, message):
    settings = dict(settings)
    shape = settings.pop("shape", IMAGE)
    with pytest.raises(RuntimeError, match=f"{op}: .*{message}"):
        pool_window(op, shape, **settings)
    if op == "avg_pool2d" and ("dilation" in settings or len(shape) == 2):
        return  # torch's avg_pool2d has no dilation, and says IndexError of two dimensions
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises(RuntimeError):
        getattr(torch.nn.functional, op)(torch.zeros(shape), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        dict(kernel_size=2.0),
        dict(kernel_size=None),
        dict(kernel_size=True),
        dict(kernel_size="2"),
        dict(kernel_size=2, stride=1.5),
        dict(kernel_size=2, padding=1.0),
        dict(kernel_size=2, padding=None),
        dict(kernel_size=2, dilation=1.0),
    ],
)
def test_pool_settings_of_another_type(settings):
    with pytest.raises(TypeError, match=r"max_pool2d: .* must be an int or a tuple of ints"):
        pool_window("max_pool2d", IMAGE, **settings)
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises(TypeError):
        torch.nn.functional.max_pool2d(torch.zeros(IMAGE), **settings)


@pytest.mark.parametrize("stride", [None, (), []])
def test_stride_defaults_to_the_kernel(stride):
    assert pool_window("max_pool2d", IMAGE, (2, 3), stride).stride == (2, 3)


def test_pool_takes_unbatched_and_empty_batches():
    assert pool_window("max_pool2d", (3, 8, 8), 2).output_size((8, 8)) == (4, 4)
    assert pool_window("max_pool2d", (0, 1, 8, 8), 2).output_size((8, 8)) == (4, 4)


def test_divisor_override():
    assert pool_divisor("avg_pool2d", None) is None
    assert pool_divisor("avg_pool2d", -1) == -1
    with pytest.raises(RuntimeError, match="avg_pool2d: divisor must be not zero"):
        pool_divisor("avg_pool2d", 0)
    with pytest.raises(TypeError):
        pool_divisor("avg_pool2d", 1.5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(2, (2, 2)), ((2, 3), (2, 3)), ([2, 3], (2, 3)), ((None, 7), (6, 7)), (0, (0, 0))],
)
def test_adaptive_output_size(given, expected):
    assert adaptive_output_size("adaptive_avg_pool2d", (1, 1, 6, 5), given) == expected
    assert adaptive_output_size("adaptive_avg_pool2d", (1, 6, 5), given) == expected


@pytest.mark.parametrize("given", [(1, 2, 3), (2,), -1, (2, -1)])
def test_adaptive_output_size_refusals(given):
    with pytest.raises(RuntimeError, match="output_size"):
        adaptive_output_size("adaptive_avg_pool2d", IMAGE, given)
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises(RuntimeError):
        torch.nn.functional.adaptive_avg_pool2d(torch.zeros(IMAGE), given)


@pytest.mark.parametrize("given", [1.5, None, (2.0, 1), "2"])
def test_adaptive_output_size_of_another_type(given):
    with pytest.raises(TypeError):
        adaptive_output_size("adaptive_avg_pool2d", IMAGE, given)


@pytest.mark.parametrize("shape", [(8, 8), (1, 1, 1, 8, 8), (1, 1, 0, 8), (1, 8, 0)])
def test_adaptive_shapes_refused(shape):
    with pytest.raises(RuntimeError, match="adaptive_avg_pool2d: Expected"):
        adaptive_output_size("adaptive_avg_pool2d", shape, 2)


WEIGHT = (3, 2, 3, 3)
CONV_REFUSALS = [
    (dict(stride=0), "stride should be greater than zero"),
    (dict(stride=(1, -1)), "stride should be greater than zero"),
    (dict(dilation=0), "dilation should be greater than zero"),
    (dict(padding=-1), "negative padding is not supported"),
    (dict(padding=(1, 2, 3)), "padding must either be a single int"),
    (dict(stride=(1, 2, 3)), "stride must either be a single int"),
    (dict(padding="foo"), "Invalid padding string 'foo'"),
    (dict(padding="same", stride=2), "padding='same' is not supported for strided convolutions"),
    (
        dict(weight=(3, 2, 9, 3), padding=(0, 1)),
        r"Calculated padded input size per channel: \(8 x 10\). Kernel size: \(9 x 3\). "
        "Kernel size can't be greater than actual input size",
    ),
    (dict(weight=(3, 2, 5, 3), dilation=2), r"Kernel size: \(9 x 5\)"),
    (dict(weight=(3, 2, 0, 3)), "kernel size should be greater than zero"),
    (dict(weight=(3, 1, 3, 3)), "to have 1 channels, but got 2"),
    (dict(groups=0), "non-positive groups is not supported"),
    (dict(groups=2), "expected weight to be divisible by 2"),
    (dict(weight=(0, 2, 3, 3)), "at least 1 at dimension 0"),
    (dict(groups=3), "to have 6 channels, but got 2"),
    (dict(shape=(8, 8)), "Expected 3D .unbatched. or 4D .batched. input"),
    (dict(shape=(1, 1, 2, 8, 8)), "Expected 3D"),
    (dict(shape=(1, 2, 0, 8), padding=3), "Only zero batch or zero channel inputs are supported"),
    (dict(weight=(3, 2, 3)), "Expected a 4D weight"),
]


@pytest.mark.parametrize(("settings", "message"), CONV_REFUSALS)
def test_conv_refusals(settings, message):
    settings = dict(settings)
    shape, weight = settings.pop("shape", (1, 2, 8, 8)), settings.pop("weight", WEIGHT)
    with pytest.raises(RuntimeError, match=f"conv2d: .*{message}"):
        conv_window("conv2d", shape, weight, **settings)
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises(RuntimeError):
        torch.nn.functional.conv2d(torch.zeros(shape), torch.zeros(weight), **settings)


@pytest.mark.parametrize("name", ["stride", "padding", "dilation", "groups"])
@pytest.mark.parametrize("value", [1.5, None, True])
def test_conv_settings_of_another_type(name, value):
    with pytest.raises(TypeError, match=f"conv2d: {name} must be an int"):
        conv_window("conv2d", (1, 2, 8, 8), WEIGHT, **{name: value})


def test_same_padding_equals_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x = torch.arange(56.0, dtype=torch.float64).reshape(1, 1, 8, 7)
    for kh, kw, d in itertools.product(range(1, 5), range(1, 5), range(1, 3)):
        weight = torch.arange(1.0, kh * kw + 1, dtype=torch.float64).reshape(1, 1, kh, kw)
        window = conv_window("conv2d", x.shape, weight.shape, 1, "same", d)
        assert window.output_size((8, 7)) == (8, 7)
        with warnings.catch_warnings():
            # torch warns that even kernels cost it a padded copy.
            warnings.simplefilter("ignore", UserWarning)
            expected = torch.nn.functional.conv2d(x, weight, padding="same", dilation=d)
        (top, bottom), (left, right) = window.padding
        padded = torch.nn.functional.pad(x, (left, right, top, bottom))
        assert torch.equal(torch.nn.functional.conv2d(padded, weight, dilation=d), expected)


def test_valid_padding_is_none():
    assert not conv_window("conv2d", (1, 2, 8, 8), WEIGHT, 2, "valid").padded


def test_refusals_name_the_users_line():
    with pytest.raises(RuntimeError, match=r"at .*test_geometry\.py:\d+ in test_refusals_name"):
        pool_window("max_pool2d", IMAGE, 9)
