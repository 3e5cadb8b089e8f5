"""Winograd's convolution: matrices, against sums over the taps, as a transpose, with threads."""

import itertools
import threading

import kernel_cases as cases
import numpy as np
import pytest

import lucidlite.backends.numpy_kernels.winograd_plan as winograd_plan
from lucidlite import threads
from lucidlite.backends.numpy_kernels.winograd import Winograd
from lucidlite.backends.numpy_kernels.winograd_transforms import MATRICES, transform
from lucidlite.blas import blas
from lucidlite.window import Window

ALL = True, True, True
# Largest error over the largest value (or 1): what rounding of float32 costs.
ERROR = {2: 2e-6, 4: 2e-5}
both = pytest.mark.parametrize("m", [2, 4])

# N, C, K, (OH, OW), padding: tiles cut off, borders of all kinds, several blocks and images.
SHAPES = [
    (1, 1, 1, (1, 1), ((1, 1), (1, 1))),
    (1, 1, 3, (1, 7), ((0, 0), (2, 2))),
    (2, 3, 1, (5, 1), ((2, 2), (1, 0))),
    (3, 5, 4, (4, 4), ((0, 0), (0, 0))),
    (2, 8, 8, (7, 9), ((1, 1), (1, 1))),
    (1, 16, 24, (33, 18), ((0, 2), (2, 1))),
    (5, 9, 17, (12, 16), ((1, 1), (1, 1))),
    (9, 64, 32, (16, 16), ((1, 1), (1, 1))),
    (34, 8, 12, (9, 10), ((2, 0), (0, 2))),
    (70, 13, 7, (6, 5), ((1, 1), (2, 2))),
    (3, 40, 70, (8, 8), ((1, 1), (1, 1))),
    (2, 64, 96, (20, 20), ((1, 1), (1, 1))),
]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
# For what needs several blocks, and parts that begin between them.
LARGE = [(9, 64, 64, (28, 28), ((1, 1), (1, 1))), (1, 64, 64, (95, 62), ((1, 2), (0, 1)))]
large = pytest.mark.parametrize("shape", LARGE, ids=str)


@pytest.fixture
def set_threads():
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):  # as the dispatcher has it
        yield


def drawn(shape, seed=0, small_integers=False):
    """x, w, bias, g and the window of a convolution with outputs of the given size."""
    n, c, k, (height, width), padding = shape
    rng = np.random.default_rng(seed)
    size = tuple(o + 2 - sum(pad) for o, pad in zip((height, width), padding, strict=True))

    def values(*shape):
        return cases.values(rng, shape, np.float32, small_integers)

    w = rng.integers(-3, 4, (k, c, 3, 3)) if small_integers else rng.standard_normal((k, c, 3, 3))
    w = (w if small_integers else w / np.sqrt(9 * c)).astype(np.float32)
    bias = rng.integers(-3, 4, k).astype(np.float32)
    return values(n, c, *size), w, bias, values(n, k, height, width), window_of(padding)


def window_of(padding):
    return Window((3, 3), (1, 1), padding)


def summed(x, w, bias, g, window):
    """(y, dx, dw, db) as sums over the taps, in float64."""
    (top, bottom), (left, right) = window.padding
    x, w, g = (np.asarray(a, np.float64) for a in (x, w, g))
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = g.shape[2:]
    y = np.zeros(g.shape) + bias[:, None, None]
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i, j in itertools.product(range(3), repeat=2):
        at = np.s_[:, :, i : i + height, j : j + width]
        y += np.einsum("nchw,kc->nkhw", padded[at], w[:, :, i, j], optimize=True)
        dpadded[at] += np.einsum("nkhw,kc->nchw", g, w[:, :, i, j], optimize=True)
        dw[:, :, i, j] = np.einsum("nchw,nkhw->kc", padded[at], g, optimize=True)
    dx = dpadded[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    return y, dx, dw, g.sum((0, 2, 3))


def computed(m, x, w, bias, g, window):
    algorithm = Winograd(m)
    with blas:  # as the backend's kernels do
        y, state = algorithm.forward(x, w, bias, window, 1, True)
        return y, *algorithm.backward(g, x, w, state, window, 1, ALL)


def check(results, expected, limit):
    for name, actual, wanted in zip(("y", "dx", "dw", "db"), results, expected, strict=True):
        assert actual.dtype == np.float32
        assert actual.shape == wanted.shape
        error = np.abs(actual - wanted).max() / max(1, np.abs(wanted).max())
        # A bias's gradient is a plain sum of many, whatever the tiles.
        assert error < (max(limit, 1e-5) if name == "db" else limit), f"{name}: {error}"


def relative_error(actual, wanted):
    return np.linalg.norm(actual - wanted) / np.linalg.norm(wanted)


@both
def test_matrices_filter_a_row_exactly(m):
    rng = np.random.default_rng(m)
    evaluate, filters, interpolate = (np.array(matrix) for matrix in MATRICES[m])
    d, g = rng.integers(-9, 9, m + 2), rng.integers(-9, 9, 3)
    y = interpolate @ ((filters @ g) * (evaluate @ d))
    np.testing.assert_allclose(y, np.correlate(d, g), atol=1e-13)


@both
def test_a_constant_at_the_point_1_1_is_added_to_all_outputs(m):
    np.testing.assert_array_equal(transform(m).interpolate[:, 1], 1)


@both
@shapes
def test_forward_and_gradients_are_sums_over_taps(m, shape):
    for seed in range(3):
        arguments = drawn(shape, seed)
        check(computed(m, *arguments), summed(*arguments), ERROR[m])


@both
@pytest.mark.parametrize("seed", range(200 if cases.ALL else 20))
def test_drawn_shapes_are_sums_over_taps(m, seed):
    rng = np.random.default_rng(seed)
    padding = tuple(tuple(map(int, pair)) for pair in rng.integers(0, 3, (2, 2)))
    outputs = tuple(
        max(int(rng.integers(1, 24)), sum(pad) - 1) for pad in padding
    )  # at least one input on each axis
    n, c, k = (int(rng.integers(1, high)) for high in (40, 24, 24))
    arguments = drawn((n, c, k, outputs, padding), seed)
    check(computed(m, *arguments), summed(*arguments), ERROR[m])


@shapes
def test_f2_is_exact_on_small_integers(shape):
    arguments = drawn(shape, small_integers=True)
    results, expected = computed(2, *arguments), summed(*arguments)
    for actual, wanted in zip(results, expected, strict=True):
        # Sums stay below 2**24 quarters, which float32 holds.
        np.testing.assert_array_equal(actual, wanted)


@both
@large
def test_f2_is_as_exact_as_sums_in_float32_and_f4_a_digit_less(m, shape):
    x, w, bias, g, window = drawn(shape)
    rng = np.random.default_rng(1)
    x, g = (rng.standard_normal(a.shape).astype(np.float32) for a in (x, g))
    results, expected = computed(m, x, w, bias, g, window), summed(x, w, bias, g, window)
    for actual, wanted in zip(results, expected, strict=True):
        assert relative_error(actual, wanted) < {2: 6e-7, 4: 6e-6}[m]


@both
@shapes
def test_gradients_are_the_transpose_of_forward(m, shape):
    x, w, _, g, window = drawn(shape)
    y, dx, dw, _ = (np.asarray(a, np.float64) for a in computed(m, x, w, None, g, window))
    products = [(y * g).sum(), (dx * x).sum(), (dw * w).sum()]
    # The terms' sizes add up as a random walk; their rounding errors do.
    scale = ERROR[m] * np.sqrt((y**2).sum() * (np.asarray(g, np.float64) ** 2).sum())
    np.testing.assert_allclose(products[1:], products[0], rtol=0, atol=scale)


@both
@large
@pytest.mark.parametrize("needs", list(itertools.product([True, False], repeat=3)), ids=str)
def test_only_what_is_needed_is_computed_and_the_same(m, shape, needs):
    x, w, _, g, window = drawn(shape)
    everything = Winograd(m).backward(g, x, w, None, window, 1, ALL)
    results = Winograd(m).backward(g, x, w, None, window, 1, needs)
    for needed, result, full in zip(needs, results, everything, strict=True):
        assert (result is not None) == needed
        if needed:
            assert relative_error(result, full) < 1e-5
    for index in (0, 1):
        if needs[index]:
            np.testing.assert_array_equal(results[index], everything[index])


@both
def test_input_gradient_needs_the_inputs_shape_alone(m):
    x, w, bias, g, window = drawn(LARGE[0])
    shape_only = np.broadcast_to(np.float32(np.nan), x.shape)
    dx = Winograd(m).backward(g, shape_only, w, None, window, 1, (True, False, False))[0]
    np.testing.assert_array_equal(dx, computed(m, x, w, bias, g, window)[1])


@both
@shapes
def test_memory_order_of_results_and_of_arguments(m, shape):
    x, w, bias, g, window = drawn(shape)
    results = computed(m, x, w, bias, g, window)
    plain = computed(m, *(np.ascontiguousarray(a) for a in (x, w, bias, g)), window)
    for result, same in zip(results, plain, strict=True):
        np.testing.assert_array_equal(result, same)
    assert cases.in_conv_layout(results[0])
    assert cases.in_conv_layout(results[1])
    assert results[2].flags.c_contiguous
    assert results[3].flags.c_contiguous
    turned = w.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(computed(m, x, turned, bias, g, window)[0], results[0])


@both
@pytest.mark.parametrize("axes", [(2, 3), (0,), (1,), (0, 1, 2, 3), (2,), (3,)], ids=str)
def test_broadcast_gradients(m, axes):
    x, w, _, g, window = drawn(LARGE[0])
    one = g[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(4))]
    g = np.broadcast_to(one, g.shape)
    results = Winograd(m).backward(g, x, w, None, window, 1, ALL)
    same = Winograd(m).backward(g.copy(), x, w, None, window, 1, ALL)
    for result, expected in zip(results, same, strict=True):
        np.testing.assert_array_equal(result, expected)


@both
@large
def test_threads_change_no_bit_of_outputs_and_input_gradients(m, shape, set_threads):
    arguments = drawn(shape)
    set_threads(1)
    y, dx, dw, db = computed(m, *arguments)
    assert len(winograd_plan.plan_of(m, arguments[0].shape, shape[2], shape[4]).blocks) > 2
    for count in (2, 3, 4, 8):
        set_threads(count)
        results = computed(m, *arguments)
        np.testing.assert_array_equal(results[0], y)
        np.testing.assert_array_equal(results[1], dx)
        for result, one in zip(results[2:], (dw, db), strict=True):
            assert relative_error(result, one) < 1e-6
        for result, again in zip(results, computed(m, *arguments), strict=True):
            np.testing.assert_array_equal(result, again)


@both
def test_memo_keeps_the_transformed_weights(m):
    x, w, bias, _, window = drawn(LARGE[0])
    memo = {}
    first, _ = Winograd(m).forward(x, w, bias, window, 1, False, memo)
    ((key, u),) = memo.items()
    assert key == (f"F{m}", "U")
    again, _ = Winograd(m).forward(x, np.full_like(w, np.nan), bias, window, 1, False, memo)
    assert memo[key] is u
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, Winograd(m).forward(x, w, bias, window, 1, False)[0])
    other, _ = Winograd(6 - m).forward(x, w, bias, window, 1, False, memo)
    assert len(memo) == 2
    np.testing.assert_array_equal(other, Winograd(6 - m).forward(x, w, bias, window, 1, False)[0])


@both
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_spreads_over_tiles_and_no_further(m, value):
    x, w, bias, g, window = drawn((2, 8, 8, (16, 16), ((1, 1), (1, 1))))
    clean = computed(m, x, w, bias, g, window)
    spoilt = np.array(x)
    spoilt[1, 3, 8, 8] = value
    y, dx, dw, db = computed(m, spoilt, w, bias, g, window)
    # A tile reads two elements more than it writes, so at most two tiles on an axis meet it.
    near = slice(8 - m - 1, 8 + m + 2)
    assert not np.isfinite(y[1, :, 8, 8]).any()
    finite = np.ones(y.shape, bool)
    finite[1, :, near, near] = False
    np.testing.assert_array_equal(y[finite], clean[0][finite])
    np.testing.assert_array_equal(dx, clean[1])
    assert not np.isfinite(dw[:, 3]).all()
    np.testing.assert_array_equal(db, clean[3])
    # Nothing of it stays in the scratch memory.
    for result, expected in zip(computed(m, x, w, bias, g, window), clean, strict=True):
        np.testing.assert_array_equal(result, expected)


@both
def test_results_are_no_scratch_memory(m):
    arguments = drawn(LARGE[0])
    first = computed(m, *arguments)
    copies = [np.array(result) for result in first]
    for second in computed(m, *drawn(LARGE[0], seed=1)):
        assert not any(np.shares_memory(second, result) for result in first)
    for result, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(result, copy)


@both
def test_user_threads_do_not_disturb_each_other(m):
    several = [drawn(shape, seed) for seed, shape in enumerate([*LARGE, *SHAPES[-3:]])]
    expected = [computed(m, *arguments) for arguments in several]
    wrong = []

    def run(index):
        with np.errstate(all="ignore"):
            for _ in range(3):
                results = computed(m, *several[index])
                if not all(map(np.array_equal, results, expected[index])):
                    wrong.append(index)

    users = [threading.Thread(target=run, args=(index,)) for index in range(len(several))]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not wrong


@both
def test_scratch_memory_is_bounded(m, monkeypatch):
    kept = winograd_plan.Scratch()
    monkeypatch.setattr(winograd_plan, "_scratch", kept)
    monkeypatch.setattr(winograd_plan, "KEPT_SHAPES", 5)
    for shape in SHAPES:
        computed(m, *drawn(shape))
    assert len(kept.workspaces) <= 5
    assert all(len(kept.buffer) >= space.size for space in kept.workspaces.values())
    # What is larger than may be kept is given back.
    monkeypatch.setattr(winograd_plan, "KEPT", 1000)
    monkeypatch.setattr(winograd_plan, "_scratch", kept := winograd_plan.Scratch())
    arguments = drawn(LARGE[0])
    check(computed(m, *arguments), summed(*arguments), ERROR[m])
    assert not kept.workspaces
    assert not len(kept.buffer)


@both
@pytest.mark.parametrize("limits", [{"AT_ONCE": 0}, {"AT_ONCE": 1 << 30}, {"SHORTEST": 1}], ids=str)
def test_any_way_to_cut_the_work_gives_the_same(m, limits, monkeypatch):
    arguments = drawn(LARGE[0])
    expected = computed(m, *arguments)
    for name, value in limits.items():
        monkeypatch.setattr(winograd_plan, name, value)
    monkeypatch.setattr(winograd_plan, "_scratch", winograd_plan.Scratch())
    for result, wanted in zip(computed(m, *arguments), expected, strict=True):
        assert relative_error(result, wanted) < 1e-5


@both
@shapes
def test_forward_and_gradients_equal_torch(m, shape):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, w, bias, g, window = drawn(shape, seed=3)
    (top, bottom), (left, right) = window.padding
    tx, tw, tb = (torch.from_numpy(np.array(a)).requires_grad_() for a in (x, w, bias))
    padded = torch.nn.functional.pad(tx, (left, right, top, bottom))
    ty = torch.nn.functional.conv2d(padded, tw, tb)
    ty.backward(torch.from_numpy(np.array(g)))
    expected = [a.detach().numpy() for a in (ty, tx.grad, tw.grad, tb.grad)]
    check(computed(m, x, w, bias, g, window), expected, 2 * ERROR[m])
