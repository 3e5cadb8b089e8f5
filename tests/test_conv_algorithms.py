"""Each algorithm for convolutions against the readable kernel, and which is chosen for what."""

import itertools

import kernel_cases as cases
import numpy as np
import pytest

import lucidlite.backends.numpy_kernels.columns as columns
import lucidlite.backends.numpy_kernels.depthwise as depthwise
import lucidlite.backends.numpy_kernels.direct as direct
import lucidlite.backends.numpy_kernels.layout as layout
import lucidlite.backends.numpy_kernels.matmul as matmul
import lucidlite.backends.numpy_kernels.pointwise as pointwise
import lucidlite.backends.numpy_kernels.products as products
from lucidlite import threads
from lucidlite.backends.numpy_kernels.conv import ALGORITHMS, choose
from lucidlite.backends.numpy_kernels.direct import window_blocks
from lucidlite.backends.numpy_kernels.grouped import _members, _put_together
from lucidlite.backends.numpy_kernels.transposed import input_shares, shares_cover
from lucidlite.blas import blas
from lucidlite.determinism import exact_here
from lucidlite.geometry import conv_window
from lucidlite.window import Window

ALL = True, True, True
FAMILIES = ["columns", "depthwise", "direct", "few windows", "grouped", "pointwise"]
families = pytest.mark.parametrize("family", FAMILIES)


def geometry(rng, family):
    """(x shape, weight shape, window, groups) of a convolution the algorithm is for."""
    while True:
        shape, weight, window, groups = cases.a_convolution(rng)
        if family == "pointwise":
            weight = *weight[:2], 1, 1
            strides = int(rng.integers(1, 4)), int(rng.integers(1, 4))
            window = conv_window("conv2d", shape, weight, strides, 0, 1, groups)
        elif family == "grouped" and groups > 1:
            groups = groups * int(rng.integers(1, 5))  # some make one, some are left
            channels = int(rng.integers(1, 6))
            shape = shape[0], groups * channels, *shape[2:]
            weight = groups * int(rng.integers(1, 4)), channels, *weight[2:]
        fits = {"depthwise": groups > 1 and weight[1] == 1, "grouped": groups > 1}
        if shape[0] and fits.get(family, groups == 1):
            return shape, weight, window, groups


def problem(seed, family, dtype=np.float64):
    rng = np.random.default_rng([seed, FAMILIES.index(family)])
    shape, weight, window, groups = geometry(rng, family)
    x, w = cases.values(rng, shape, dtype), cases.values(rng, weight, dtype)
    bias = rng.standard_normal(weight[0]).astype(dtype) if rng.random() < 0.7 else None
    g = cases.values(rng, (shape[0], weight[0], *window.output_size(shape[2:])), dtype)
    return x, w, bias, g, window, groups


def results(family, x, w, bias, g, window, groups, keep=True):
    algorithm = ALGORITHMS[family]
    with blas:  # as the backend's kernels do
        y, state = algorithm.forward(x, w, bias, window, groups, keep)
        assert keep or state is None
        return y, *algorithm.backward(g, x, w, state, window, groups, ALL)


def small_blocks(monkeypatch):
    """Cut everything as finely as it can be, so that small arrays have many blocks."""
    monkeypatch.setattr(direct, "COLUMN_BLOCK", 1)
    monkeypatch.setattr(direct, "LEAST_WINDOWS", 3)
    monkeypatch.setattr(pointwise, "PIXELS", 3)
    monkeypatch.setattr(depthwise, "BLOCK", 1)
    monkeypatch.setattr(matmul, "TILE", 50)
    monkeypatch.setattr(matmul, "WIDE", 2)
    monkeypatch.setattr(products, "LEAST_PIECE", 1)
    monkeypatch.setattr(products, "SMALL_PRODUCT", 400)
    monkeypatch.setattr(layout, "SMALL", 0)
    monkeypatch.setattr(threads, "WORTH_SHARING", 1)
    # What is remembered was cut otherwise.
    for module in (direct, columns):
        monkeypatch.setattr(module, "window_blocks", window_blocks.__wrapped__)
    monkeypatch.setattr(columns, "_plan", columns._Plan)


@families
@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("seed", cases.SEEDS)
def test_equals_the_readable_kernel(monkeypatch, family, fine, seed):
    if fine:
        small_blocks(monkeypatch)
    x, w, bias, g, window, groups = problem(seed, family)
    y, dx, dw, db = results(family, x, w, bias, g, window, groups)
    expected_y, _ = cases.REFERENCE.conv2d(x, w, bias, window, groups, False)
    expected = cases.REFERENCE.conv2d_backward(g, x, w, None, window, groups, ALL)
    for ours, theirs in zip((y, dx, dw, db), (expected_y, *expected), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)
    assert cases.in_conv_layout(y)
    assert cases.in_conv_layout(dx)
    assert dw.flags.c_contiguous
    assert db.flags.c_contiguous
    assert all(result.flags.writeable for result in (y, dx, dw, db))


@families
@pytest.mark.parametrize("seed", range(6))
def test_the_same_bits_with_a_state_and_without_whatever_is_needed(family, seed):
    x, w, bias, g, window, groups = problem(seed, family, np.float32)
    whole = results(family, x, w, bias, g, window, groups)
    again = results(family, x, w, bias, g, window, groups, keep=False)
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for needs in itertools.product((False, True), repeat=3):
        some = ALGORITHMS[family].backward(g, x, w, None, window, groups, needs)
        assert tuple(part is not None for part in some) == needs
        for part, all_of_them in zip(some[:2], whole[1:3], strict=True):
            if part is not None:
                np.testing.assert_array_equal(part, all_of_them)
        if needs[2]:
            np.testing.assert_allclose(some[2], whole[3], rtol=1e-4, atol=1e-4)


@pytest.fixture
def _thread_count():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(1)
    threads.set_num_threads(before)


def at_each_thread_count(family, case):
    found = []
    for count in (1, 2, 3, 4):
        threads.set_num_threads(count)
        found.append(results(family, *case))
    for y, dx, dw, db in found[1:]:
        np.testing.assert_array_equal(y, found[0][0])
        np.testing.assert_array_equal(dx, found[0][1])
        for ours, one in ((dw, found[0][2]), (db, found[0][3])):
            np.testing.assert_allclose(ours, one, rtol=1e-6, atol=1e-6 * np.abs(one).max())


@families
@pytest.mark.usefixtures("_thread_count")
@pytest.mark.parametrize("seed", range(8))
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, family, seed):
    small_blocks(monkeypatch)
    at_each_thread_count(family, problem(seed, family, np.float32))


LARGE = {
    "columns": [
        ((16, 3, 32, 32), (24, 3, 3, 3), 1, 1, 1),
        ((2, 3, 64, 64), (16, 3, 7, 7), 2, 3, 1),
    ],
    "direct": [
        ((16, 16, 32, 32), (32, 16, 3, 3), 2, 1, 1),
        ((4, 32, 14, 14), (64, 32, 5, 5), 1, 2, 1),
    ],
    "few windows": [
        ((1, 128, 8, 8), (256, 128, 3, 3), 1, 1, 1),
        ((2, 64, 9, 9), (128, 64, 5, 5), 2, 1, 1),
    ],
    "pointwise": [
        ((16, 64, 16, 16), (96, 64, 1, 1), 1, 0, 1),
        ((16, 64, 33, 32), (96, 64, 1, 1), 2, 0, 1),
    ],
    "grouped": [
        ((8, 64, 16, 16), (64, 8, 3, 3), 1, 1, 8),
        ((8, 64, 15, 15), (96, 32, 3, 3), 2, 1, 2),
    ],
    "depthwise": [
        ((16, 64, 16, 16), (64, 1, 3, 3), 1, 1, 64),
        ((1, 64, 57, 57), (64, 1, 3, 3), 2, 1, 64),
    ],
}


@families
@pytest.mark.usefixtures("_thread_count")
@pytest.mark.parametrize("number", [0, 1])
def test_layers_worth_sharing_have_the_same_bits_too(family, number):
    shape, weight, stride, padding, groups = LARGE[family][number]
    window = conv_window("conv2d", shape, weight, stride, padding, 1, groups)
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (shape, weight))
    bias = rng.standard_normal(weight[0]).astype(np.float32)
    outputs = shape[0], weight[0], *window.output_size(shape[2:])
    g = rng.standard_normal(outputs).astype(np.float32)
    at_each_thread_count(family, (x, w, bias, g, window, groups))


@families
def test_what_a_thread_left_in_its_scratch_memory_changes_nothing(family):
    case = problem(3, family, np.float32)
    first = results(family, *case)
    results(family, *problem(4, family, np.float64))
    for held in layout._room.held.values():
        held[...] = 255  # NaN, whatever the dtype
    for a, b in zip(first, results(family, *case), strict=True):
        np.testing.assert_array_equal(a, b)


def test_scratch_memory_has_a_bound():
    small = layout.scratch("test", (100,), np.dtype(np.float32))
    assert np.shares_memory(small, layout.scratch("test", (50, 2), np.dtype(np.float32)))
    layout.scratch("test", (layout.KEPT_SCRATCH,), np.dtype(np.float32))
    assert layout._room.held.pop("test").nbytes <= layout.KEPT_SCRATCH


@pytest.mark.parametrize("seed", range(40))
def test_shares_of_an_input_are_disjoint_and_leave_out_what_has_no_taps(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, 5, 2)) for _ in range(3))
    padding = tuple(tuple(int(v) for v in rng.integers(0, 4, 2)) for _ in range(2))
    window = Window(kernel, stride, padding, dilation)
    size = tuple(window.extent[axis] + int(rng.integers(0, 6)) for axis in (0, 1))
    taps = np.zeros(kernel, int)
    count = np.zeros(size, int)
    for share in input_shares(window, size):
        count[share.place] += 1
        taps[share.taps] = 1
    assert count.max() <= 1
    assert taps.all() or count.size < stride[0] * stride[1] or min(size) < max(stride)
    if shares_cover(window):
        assert count.min() == 1


def test_groups_of_few_channels_are_put_together():
    # 12 groups of 3: of its divisors, 4 make the most channels that are no more than 16.
    assert _members((24, 3, 3, 3), 12) == 4
    assert _members((24, 16, 3, 3), 3) == 1
    joint = _put_together(np.ones((24, 3, 3, 3)), 12, 4)
    assert joint.shape == (24, 12, 3, 3)
    assert joint.sum() == 24 * 3 * 9


THREE = Window((3, 3), (1, 1), ((1, 1), (1, 1)))


def a_window(kernel, stride=1, padding=0, dilation=1):
    return Window((kernel,) * 2, (stride,) * 2, ((padding,) * 2,) * 2, (dilation,) * 2)


@pytest.mark.parametrize(
    ("expected", "x", "w", "window", "groups", "changes"),
    [
        ("F4", (64, 64, 16, 16), (128, 64), THREE, 1, {}),
        ("F4", (64, 64, 7, 7), (64, 64), THREE, 1, {}),  # 4 tiles of 36 products, or 16 of 16
        ("F2", (64, 64, 6, 6), (64, 64), THREE, 1, {}),  # 4 of 36, or 9 of 16
        ("F2", (64, 64, 5, 5), (64, 64), THREE, 1, {}),
        ("F4", (64, 64, 3, 3), (64, 64), THREE, 1, {}),
        ("F2", (64, 64, 2, 2), (64, 64), THREE, 1, {}),
        ("direct", (512, 64, 1, 1), (64, 64), THREE, 1, {}),
        ("F4", (64, 8, 28, 28), (2, 8), THREE, 1, {}),
        ("direct", (64, 16, 28, 28), (1, 16), THREE, 1, {}),  # one filter
        ("F4", (1, 64, 16, 16), (128, 64), THREE, 1, {}),
        ("direct", (1, 16, 16, 16), (16, 16), THREE, 1, {}),  # over soon
        ("few windows", (1, 128, 8, 8), (256, 128), THREE, 1, {}),
        ("F2", (1, 128, 8, 8), (256, 128), THREE, 1, {"cached": True}),
        ("F4", (2, 128, 8, 8), (256, 128), THREE, 1, {"cached": True}),
        ("direct", (1, 512, 4, 4), (512, 512), THREE, 1, {"cached": True}),
        ("few windows", (1, 128, 16, 16), (256, 128), THREE, 1, {"exact": True}),
        ("few windows", (4, 64, 16, 16), (64, 64), a_window(3, 2, 1), 1, {}),
        ("direct", (4, 64, 16, 16), (32, 64), a_window(3, 2, 1), 1, {}),
        ("direct", (4, 64, 16, 16), (64, 64), a_window(3, 2, 1), 1, {"cached": True}),
        ("direct", (1, 6, 14, 14), (16, 6), a_window(5), 1, {}),
        ("few windows", (1, 3, 8, 8), (16, 3), THREE, 1, {}),
        ("direct", (64, 64, 16, 16), (64, 64), THREE, 1, {"exact": True}),
        ("direct", (64, 64, 16, 16), (64, 64), THREE, 1, {"dtype": np.float64}),
        ("direct", (64, 64, 16, 16), (64, 64), THREE, 1, {"dtype": np.float16}),
        ("direct", (64, 64, 16, 16), (64, 64), THREE, 1, {"dtype": np.int32}),
        ("direct", (64, 64, 16, 16), (64, 64), a_window(3, 2, 1), 1, {}),
        ("direct", (64, 64, 16, 16), (64, 64), a_window(3, 1, 2, 2), 1, {}),
        ("direct", (64, 64, 16, 16), (64, 64), a_window(3, 1, 3), 1, {}),
        ("direct", (64, 64, 16, 16), (64, 64), a_window(5, 1, 2), 1, {}),
        ("direct", (64, 64, 16, 16), (64, 64), a_window(1, 1, 1), 1, {}),
        ("pointwise", (64, 64, 16, 16), (64, 64), a_window(1), 1, {}),
        ("pointwise", (64, 3, 16, 16), (64, 3), a_window(1, 2), 1, {"dtype": np.float64}),
        ("columns", (64, 1, 28, 28), (32, 1), THREE, 1, {}),
        ("columns", (64, 7, 16, 16), (64, 7), THREE, 1, {"exact": True}),
        ("columns", (64, 8, 16, 16), (64, 8), THREE, 1, {"exact": True}),
        ("columns", (64, 3, 224, 224), (64, 3), a_window(7, 2, 3), 1, {}),
        ("columns", (64, 15, 14, 14), (16, 15), a_window(5), 1, {}),
        ("direct", (64, 16, 14, 14), (16, 16), a_window(5), 1, {}),
        ("depthwise", (64, 64, 16, 16), (64, 1), THREE, 64, {}),
        ("depthwise", (64, 64, 16, 16), (128, 1), a_window(1), 64, {}),
        ("grouped", (64, 64, 16, 16), (64, 2), THREE, 32, {}),
        ("grouped", (64, 64, 16, 16), (64, 32), a_window(1), 2, {}),
    ],
)
def test_choose(expected, x, w, window, groups, changes):
    changes = {"dtype": np.float32, **changes}
    changes["dtype"] = np.dtype(changes["dtype"])
    assert choose(x, (*w, *window.kernel_size), window, groups, **changes) == expected


@pytest.fixture
def _auto():
    yield
    cases.CPU.conv_algorithm = "auto"


def tiled_case():
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((2, 32, 16, 16), (32, 32, 3, 3)))
    return x, w, rng.standard_normal((2, 32, 16, 16)).astype(np.float32)


def one_infinity(kernels):
    x, w, _ = tiled_case()
    x[0, 0, 7, 7] = np.inf
    y, _ = kernels.conv2d(x, np.abs(w), None, THREE, 1, False)
    return int((~np.isfinite(y)).sum())


@pytest.mark.usefixtures("_auto")
def test_conv_algorithm():
    assert cases.CPU.conv_algorithm == "auto"
    assert one_infinity(cases.CPU) > 9 * 32
    cases.CPU.conv_algorithm = "exact"
    assert cases.CPU.conv_algorithm == "exact"
    assert one_infinity(cases.CPU) == 9 * 32
    with pytest.raises(ValueError, match="expects 'auto' or 'exact', got conv_algorithm='fast'"):
        cases.CPU.conv_algorithm = "fast"
    assert cases.CPU.conv_algorithm == "exact"


def test_a_thread_can_ask_for_exact_sums(monkeypatch):
    monkeypatch.setattr(exact_here, "on", True)
    assert one_infinity(cases.CPU) == 9 * 32


@pytest.mark.usefixtures("_auto")
@pytest.mark.parametrize(("forward", "backward"), [("auto", "exact"), ("exact", "auto")])
def test_exactness_may_change_between_forward_and_backward(forward, backward):
    x, w, g = tiled_case()
    cases.CPU.conv_algorithm = backward
    expected = cases.CPU.conv2d_backward(g, x, w, None, THREE, 1, ALL)
    cases.CPU.conv_algorithm = forward
    _, state = cases.CPU.conv2d(x, w, None, THREE, 1, True)
    cases.CPU.conv_algorithm = backward
    found = cases.CPU.conv2d_backward(g, x, w, state, THREE, 1, ALL)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("_auto")
def test_tiles_are_close_to_exact_sums():
    x, w, g = tiled_case()
    y, state = cases.CPU.conv2d(x, w, None, THREE, 1, True)
    tiled = y, *cases.CPU.conv2d_backward(g, x, w, state, THREE, 1, ALL)
    cases.CPU.conv_algorithm = "exact"
    y, _ = cases.CPU.conv2d(x, w, None, THREE, 1, False)
    exact = y, *cases.CPU.conv2d_backward(g, x, w, None, THREE, 1, ALL)
    for a, b in zip(tiled, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


def test_the_state_is_counted_and_only_where_it_is_kept():
    x = np.ones((8, 3, 8, 8), np.float32)
    w = np.ones((4, 3, 3, 3), np.float32)
    _, state = cases.CPU.conv2d(x, w, None, THREE, 1, True)
    assert isinstance(state, tuple)
    assert [array.nbytes for array in state] == [3 * 10 * 10 * 8 * 4]
    assert cases.CPU.conv2d(x, w, None, THREE, 1, False)[1] is None


@pytest.mark.parametrize("channels", [3, 20])
def test_no_channels_leaves_the_bias(channels):
    x, w = np.ones((2, 0, 4, 4), np.float32), np.ones((channels, 0, 3, 3), np.float32)
    bias = np.arange(channels, dtype=np.float32)
    y, state = cases.CPU.conv2d(x, w, bias, THREE, 1, True)
    assert state is None
    np.testing.assert_array_equal(y, np.broadcast_to(bias[:, None, None], (2, channels, 4, 4)))
    dx, dw, db = cases.CPU.conv2d_backward(y, x, w, None, THREE, 1, ALL)
    assert dx.shape == x.shape
    assert dw.shape == w.shape
    np.testing.assert_array_equal(db, 32 * bias)


@pytest.mark.parametrize("groups", [1, 2])
def test_what_a_memo_holds_gives_the_same_bits(groups):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 32 * groups, 9, 9)).astype(np.float32)
    w = rng.standard_normal((8, 32, 3, 3)).astype(np.float32)
    window, memo = a_window(3, 2, 1), {}
    first, _ = cases.CPU.conv2d(x, w, None, window, groups, False, memo)
    assert memo
    again, _ = cases.CPU.conv2d(x, w, None, window, groups, False, memo)
    without, _ = cases.CPU.conv2d(x, w, None, window, groups, False)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, without)
