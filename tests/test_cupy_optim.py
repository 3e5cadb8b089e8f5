"""The GPU's optimizer steps and gradient clipping, against the CPU's kernels."""

import itertools

import numpy as np
import pytest

from lucidlite import optim
from lucidlite.backends import cpu, get_backend
from lucidlite.backends.cupy_kernels import optim as kernels

SHAPES = [(), (3,), (5, 7), (70, 61), (0,), (4096,), (4097,), (2, 3, 4, 5)]
TOLERANCE = {"e": 2e-3, "f": 2e-6, "d": 1e-14}
DTYPES = [np.float16, np.float32, np.float64]


@pytest.fixture
def gpu(cuda):
    return get_backend(cuda)


def rows(count, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [[np.asarray(rng.random(shape) + 0.1, dtype) for _ in range(count)] for shape in SHAPES]


def both(gpu, count, dtype, run):
    """What ``run(backend, rows)`` leaves in the arrays on the CPU, and on the GPU, compared."""
    host = rows(count, dtype)
    device = [[gpu.asarray(a) for a in row] for row in rows(count, dtype)]
    run(cpu, host)
    run(gpu, device)
    limit = TOLERANCE[np.dtype(dtype).char]
    for place, (one, other) in enumerate(zip(host, device, strict=True)):
        for a, b in zip(one, other, strict=True):
            back = gpu.to_numpy(b)
            assert back.dtype == a.dtype
            np.testing.assert_allclose(back, a, rtol=limit, atol=limit, err_msg=f"row {place}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd(gpu, dtype):
    settings = itertools.product([0.0, 0.9], [0.0, 0.2], [0.0, 0.1], [False, True], [False, True])
    for momentum, dampening, decay, nesterov, maximize in settings:

        def run(backend, made, momentum=momentum, dampening=dampening, decay=decay,
                nesterov=nesterov, maximize=maximize):  # fmt: skip
            for first in (True, False):
                items = [(p, g, b if momentum else None, first) for p, g, b in made]
                backend.sgd_steps(
                    items, lr=0.1, momentum=momentum, dampening=dampening, weight_decay=decay,
                    nesterov=nesterov, maximize=maximize,
                )  # fmt: skip

        both(gpu, 3, dtype, run)


@pytest.mark.parametrize("dtype", DTYPES)
def test_adam(gpu, dtype):
    settings = itertools.product([0.9, 0.3], [0.0, 0.1], [False, True], [False, True],
                                 [False, True])  # fmt: skip
    for beta1, decay, decoupled, maximize, largest in settings:

        def run(backend, made, beta1=beta1, decay=decay, decoupled=decoupled, maximize=maximize,
                largest=largest):  # fmt: skip
            for number in (1.0, 2.0):
                # A parameter that joined late counts its own steps.
                items = [(*row[:4], row[4] if largest else None, number + (place == 2))
                         for place, row in enumerate(made)]  # fmt: skip
                backend.adam_steps(
                    items, lr=0.1, beta1=beta1, beta2=0.99, eps=1e-6, weight_decay=decay,
                    decoupled=decoupled, maximize=maximize,
                )  # fmt: skip

        both(gpu, 5, dtype, run)


SGD = {"lr": 0.5, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False,
       "maximize": False}  # fmt: skip


def test_nan_and_infinity_arrive(gpu):
    p = gpu.asarray(np.array([1.0, 2.0, 3.0], np.float32))
    g = gpu.asarray(np.array([np.nan, np.inf, 2.0], np.float32))
    gpu.sgd_steps([(p, g, None, False)], **SGD)
    assert gpu.to_numpy(p).tolist()[1:] == [-np.inf, 2.0]
    assert np.isnan(gpu.to_numpy(p)[0])


def test_dtypes_and_orders_of_memory_mix(gpu):
    want, items, device = [], [], []
    for dtype, turned in itertools.product(DTYPES, (False, True)):
        for p, g in rows(2, dtype, seed=3):
            want.append(p.T.astype(np.float64) - 0.5 * g.T.astype(np.float64))
            placed = [gpu.asarray(a) for a in (p, g)]
            if turned:
                placed = [a.T for a in placed]
            else:
                placed[1] = gpu.asarray(g.T.copy()).T  # the gradient alone
            device.append((placed[0], turned))
            items.append((*placed, None, False))
    gpu.sgd_steps(items, **SGD)
    for (p, turned), value in zip(device, want, strict=True):
        back = gpu.to_numpy(p) if turned else gpu.to_numpy(p).T
        limit = TOLERANCE[back.dtype.char]
        np.testing.assert_allclose(back, value, rtol=limit, atol=limit)


def test_a_parameter_given_twice_is_stepped_twice(gpu):
    p = gpu.asarray(np.array([1.0, 2.0], np.float32))
    g = gpu.asarray(np.array([1.0, 1.0], np.float32))
    gpu.sgd_steps([(p, g, None, False), (p, g, None, False)], **SGD)
    assert gpu.to_numpy(p).tolist() == [0.0, 1.0]


def test_one_launch_for_all_and_no_copies_once_steady(gpu, monkeypatch):
    calls = []
    launch = gpu.launch
    monkeypatch.setattr(gpu, "launch", lambda *a, **k: (calls.append(a[1]), launch(*a, **k)))
    uploads = []
    upload = type(gpu).upload
    monkeypatch.setattr(
        type(gpu), "upload", lambda self, host: (uploads.append(host), upload(self, host))[1]
    )
    made = [[gpu.asarray(a) for a in row] for row in rows(5, np.float32)]
    adam = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1,
            "decoupled": True, "maximize": False}  # fmt: skip
    for step in range(1, 6):
        gpu.adam_steps([(*row, float(step)) for row in made], **adam)
        gpu.sgd_steps([(row[0], row[1], None, False) for row in made], **SGD)
    assert calls == ["adam_steps", "sgd_steps"] * 5
    assert len(uploads) == 2
    gpu.sgd_steps([], **SGD)
    gpu.sgd_steps([(made[4][0], made[4][1], None, False)], **SGD)  # without elements
    assert len(calls) == 10


def test_few_tables_are_kept(gpu):
    for seed in range(kernels.MOST_TABLES + 5):
        p = gpu.asarray(np.full(seed + 1, 2.0, np.float32))
        g = gpu.asarray(np.ones(seed + 1, np.float32))
        gpu.sgd_steps([(p, g, None, False)], **SGD)
        assert gpu.to_numpy(p).tolist() == [1.5] * (seed + 1)
    assert len(gpu._tables) <= kernels.MOST_TABLES


@pytest.mark.parametrize("make", [
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
])  # fmt: skip
def test_optimizers_take_several_groups_and_missing_gradients(make, cuda):
    import lucidlite

    results = []
    for device in ("cpu", cuda):
        lucidlite.manual_seed(1)
        params = [lucidlite.randn(3, 4), lucidlite.randn(5), lucidlite.randn(2, 2)]
        params = [p.to(device).requires_grad_() for p in params]
        optimizer = make([{"params": params[:2]}, {"params": params[2:], "lr": 0.5}])
        for step in range(4):
            for number, p in enumerate(params):
                missing = number == 1 and step % 2
                p.grad = None if missing else (p.detach() * 0.3 + step)
            optimizer.step()
        results.append([p.detach().cpu().numpy() for p in params])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# -- clipping --------------------------------------------------------------------------------------


def gradients(backend, dtype, scale=1.0):
    rng = np.random.default_rng(4)
    host = [np.asarray((rng.random(shape) - 0.5) * scale, dtype) for shape in SHAPES]
    return [backend.asarray(a.copy()) for a in host]


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 0.5, float("inf"), 0.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_norms(gpu, dtype, p):
    norms = []
    for backend in (cpu, gpu):
        # Elements without a p-norm (inf of nothing) are refused on both: leave the empty one out.
        given = [g for g in gradients(backend, dtype) if g.size]
        norms.append(backend.to_numpy(backend.total_norm(given, p)))
        assert norms[-1].dtype == dtype
        assert norms[-1].shape == ()
    np.testing.assert_allclose(*norms, rtol=5 * TOLERANCE[np.dtype(dtype).char])


@pytest.mark.parametrize("most", [0.5, 1e6])
@pytest.mark.parametrize("p", [1.0, 2.0, float("inf"), 3.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping_by_norm(gpu, dtype, p, most):
    left = []
    for backend in (cpu, gpu):
        given = [g for g in gradients(backend, dtype) if g.size]
        norm = backend.clip_norm(given, most, p)
        left.append([backend.to_numpy(a) for a in (norm, *given)])
        again = [g for g in gradients(backend, dtype) if g.size]
        backend.scale_to_norm(again, most, norm)
        for a, b in zip(given, again, strict=True):
            np.testing.assert_array_equal(backend.to_numpy(a), backend.to_numpy(b))
    for a, b in zip(*left, strict=True):
        limit = 3 * TOLERANCE[np.dtype(dtype).char]
        np.testing.assert_allclose(a, b, rtol=limit, atol=limit * min(most, 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("p", [1.0, 2.0, float("inf")])
def test_gradients_that_are_not_finite(gpu, p, bad):
    left = []
    for backend in (cpu, gpu):
        g = backend.asarray(np.array([1.0, bad, 2.0], np.float32))
        norm = backend.clip_norm([g], 1.0, p)
        left.append([backend.to_numpy(norm), backend.to_numpy(g)])
    np.testing.assert_array_equal(left[0][0], left[1][0])
    np.testing.assert_array_equal(left[0][1], left[1][1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping_values(gpu, dtype):
    left = []
    for backend in (cpu, gpu):
        given = gradients(backend, dtype, 4.0)
        given[1][...] = backend.asarray(np.array([np.nan, np.inf, -np.inf], dtype))
        backend.clip_values(given, 0.7)
        left.append([backend.to_numpy(g) for g in given])
    for a, b in zip(*left, strict=True):
        np.testing.assert_array_equal(a, b)


def test_norm_of_more_chunks_than_blocks(gpu, monkeypatch):
    monkeypatch.setattr(kernels, "MOST_PARTS", 3)
    host = np.random.default_rng(1).random((9, 4099), np.float32)
    given = [gpu.asarray(row.copy()) for row in host]
    norm = gpu.clip_norm(given, 1.0, 2.0)
    want = np.linalg.norm(host.astype(np.float64))
    assert float(gpu.to_numpy(norm)) == pytest.approx(want, rel=1e-6)
    for row, g in zip(host, given, strict=True):
        np.testing.assert_allclose(gpu.to_numpy(g), row / want, rtol=1e-5)


def test_clipping_takes_two_launches(gpu, monkeypatch):
    calls = []
    launch = gpu.launch
    monkeypatch.setattr(gpu, "launch", lambda *a, **k: (calls.append(a[1]), launch(*a, **k)))
    gpu.clip_norm(gradients(gpu, np.float32), 1.0, 2.0)
    assert calls == ["norm_parts", "clip_norm"]
