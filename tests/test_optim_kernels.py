"""The CPU's optimizer steps: the bits of the reference, in blocks and for any thread count."""

import itertools

import kernel_cases as cases
import numpy as np
import pytest

from lucidlite import threads
from lucidlite.backends.numpy_kernels import optim

SHAPES = [(), (3,), (5, 7), (40, 11), (0,)]


@pytest.fixture(params=[(1 << 17, 1 << 14), (50, 20), (50, 0)], ids=["usual", "cut", "scratch"])
def blocks(request, monkeypatch):
    """The usual sizes, and sizes that cut small parameters, each block worth sharing."""
    before = threads.get_num_threads()
    monkeypatch.setattr(optim, "BLOCK", request.param[0])
    monkeypatch.setattr(optim, "SMALL", request.param[1])
    monkeypatch.setattr(optim, "PLAIN", 2 * request.param[0])
    monkeypatch.setattr(optim, "_scratch", optim._Scratch())
    if request.param[0] < 1 << 17:
        monkeypatch.setattr(threads, "WORTH_SHARING", 1)
    yield
    threads.set_num_threads(before)


def arrays(count, dtype, turned):
    """``count`` arrays for each shape, positive; ``turned`` ones are not contiguous."""
    rng = np.random.default_rng(0)
    made = [[np.asarray(rng.random(shape) + 0.1, dtype) for _ in range(count)]
            for shape in SHAPES]  # fmt: skip
    return [[a.T for a in row] for row in made] if turned else made


def same(run, count, dtype, turned):
    """``run(kernels, items)`` twice on each: what it leaves in the arrays."""
    left = []
    for kernels in cases.KERNELS:
        made = arrays(count, dtype, turned)
        for row in made:
            row[1].flags.writeable = False
        run(kernels, made)
        left.append(made)
    for one, other in zip(*left, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("threads_used", [1, 3])
def test_sgd(dtype, turned, threads_used):
    threads.set_num_threads(threads_used)
    settings = itertools.product([0.0, 0.9], [0.0, 0.2], [0.0, 0.1], [False, True], [False, True])
    for momentum, dampening, decay, nesterov, maximize in settings:

        def run(kernels, made, momentum=momentum, dampening=dampening, decay=decay,
                nesterov=nesterov, maximize=maximize):  # fmt: skip
            for first in (True, False):
                items = [(p, g, b if momentum else None, first) for p, g, b in made]
                kernels.sgd_steps(
                    items, lr=0.1, momentum=momentum, dampening=dampening, weight_decay=decay,
                    nesterov=nesterov, maximize=maximize,
                )  # fmt: skip

        same(run, 3, dtype, turned)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("threads_used", [1, 3])
def test_adam(dtype, turned, threads_used):
    threads.set_num_threads(threads_used)
    settings = itertools.product([0.9, 0.3], [0.0, 0.1], [False, True], [False, True])
    for beta1, decay, decoupled, maximize in settings:
        for largest in (False, True):

            def run(kernels, made, beta1=beta1, decay=decay, decoupled=decoupled,
                    maximize=maximize, largest=largest):  # fmt: skip
                for number in (1.0, 2.0):
                    items = [(*row[:4], row[4] if largest else None, number) for row in made]
                    kernels.adam_steps(
                        items, lr=0.1, beta1=beta1, beta2=0.99, eps=1e-6, weight_decay=decay,
                        decoupled=decoupled, maximize=maximize,
                    )  # fmt: skip

            same(run, 5, dtype, turned)


def test_parameters_of_several_dtypes_step_together():
    rows = [row for dtype in (np.float32, np.float64, np.float16, np.float32)
            for row in arrays(2, dtype, False)[:3]]  # fmt: skip
    want = [p.astype(np.float64) - 0.5 * g.astype(np.float64) for p, g in rows]
    items = [(p, g, None, False) for p, g in rows]
    cases.CPU.sgd_steps(
        items, lr=0.5, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
        maximize=False,
    )  # fmt: skip
    for (p, _), value in zip(rows, want, strict=True):
        np.testing.assert_allclose(p, value, rtol=2e-3 if p.dtype == np.float16 else 1e-6)
