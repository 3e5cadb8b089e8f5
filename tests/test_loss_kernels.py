"""The CPU's softmax and cross entropy: against the reference and float64, for any thread count."""

import kernel_cases as cases
import numpy as np
import pytest

import lucidlite
from lucidlite import threads
from lucidlite.backends.numpy_kernels import loss

F = lucidlite.nn.functional
SHAPES = [(1, 1), (1, 7), (64, 10), (3, 64), (3, 65), (40, 200), (500, 3)]


@pytest.fixture(params=[None, 128], ids=["blocks", "small-blocks"])
def blocks(request, monkeypatch):
    """The usual size of blocks, and one that cuts small scores, each block worth sharing."""
    before = threads.get_num_threads()
    if request.param:
        monkeypatch.setattr(loss, "BLOCK", request.param)
        monkeypatch.setattr(threads, "WORTH_SHARING", 1)
    yield
    threads.set_num_threads(before)


def scores(shape, dtype, order="C"):
    x = (np.random.default_rng(0).standard_normal(shape) * 10).astype(dtype)
    return {"C": x, "F": np.asfortranarray(x), "flipped": x[::-1, ::-1]}[order]


def log_softmax(x):
    wide = x.astype(np.float64)
    shifted = wide - wide.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("order", ["C", "F", "flipped"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_and_its_logarithm(shape, dtype, order):
    x = scores(shape, dtype, order)
    x.flags.writeable = False
    limit = {"rtol": 1e-5, "atol": 5e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-14}
    want = log_softmax(x)
    for axes in (1, 0):
        turned = x if axes else x.T
        for kernel, value in (("softmax", np.exp(want)), ("log_softmax", want)):
            found = getattr(cases.CPU, kernel)(turned, axes)
            assert found.dtype == dtype
            np.testing.assert_allclose(found, value if axes else value.T, **limit)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_is_the_reference(shape, dtype, mean):
    x = scores(shape, dtype)
    x.flags.writeable = False
    target = np.random.default_rng(1).integers(0, shape[1], shape[0])
    found = cases.CPU.cross_entropy(x, target, None, mean, True)
    want = cases.REFERENCE.cross_entropy(x.astype(np.float64), target, -100, mean, True)
    limit = 2e-6 if dtype == np.float32 else 1e-13
    for one, other in zip(found, want, strict=True):
        assert (one.dtype, one.shape) == (dtype, other.shape)
        np.testing.assert_allclose(one, other, rtol=limit * 5, atol=limit)
    alone, nothing = cases.CPU.cross_entropy(x, target, None, mean, False)
    assert nothing is None
    assert alone == found[0]


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("shape", [(500, 3), (40, 200)])
def test_any_number_of_threads_gives_the_same_bits(shape):
    x, target = scores(shape, np.float32), np.arange(shape[0]) % shape[1]
    results = set()
    for count in (1, 2, 3, 4):
        threads.set_num_threads(count)
        found = [*cases.CPU.cross_entropy(x, target, None, True, True)]
        found += [cases.CPU.softmax(x, 1), cases.CPU.log_softmax(x, 1)]
        results.add(tuple(a.tobytes() for a in found))
    assert len(results) == 1


@pytest.mark.parametrize(("targets", "ignore"), [([0, 2, 1], 1), ([0, -1, 2], -1),
                                                 ([0, 1, 2], -100), ([1, 1, 1], 1)])  # fmt: skip
def test_ignored_targets(targets, ignore):
    x = scores((3, 3), np.float64)
    leaf = lucidlite.from_numpy(x).requires_grad_()
    F.cross_entropy(leaf, lucidlite.tensor(targets), ignore_index=ignore).backward()
    kept = [n for n, t in enumerate(targets) if t != ignore]
    want = np.zeros((3, 3))
    for n in kept:
        want[n] = np.exp(log_softmax(x[n])) - np.eye(3)[targets[n]]
    np.testing.assert_allclose(leaf.grad.numpy(), want / max(len(kept), 1), atol=1e-12)


def test_infinite_scores():
    x = np.array([[0.0, -np.inf, 1.0], [np.inf, 0.0, 0.0], [np.nan, 0.0, 0.0]], np.float32)
    found = cases.CPU.softmax(x, 1)
    np.testing.assert_allclose(found[0], [0.26894142, 0, 0.7310586], rtol=1e-6)
    assert np.isnan(found[1:]).any(1).all()
    value, grad = cases.CPU.cross_entropy(x[:1], np.array([1]), None, True, True)
    assert value == np.inf
    np.testing.assert_allclose(grad[0], [0.26894142, -1, 0.7310586], rtol=1e-6)


def test_the_gradient_is_scaled_by_what_comes_in():
    x = scores((4, 3), np.float64)
    target = lucidlite.tensor([0, 1, 2, 0])
    grads = []
    for factor in (1.0, -2.5):
        leaf = lucidlite.from_numpy(x).requires_grad_()
        value = F.cross_entropy(leaf, target)
        value.backward(lucidlite.tensor(factor, dtype=lucidlite.float64), retain_graph=True)
        value.backward(lucidlite.tensor(factor, dtype=lucidlite.float64))
        grads.append(leaf.grad.numpy() / factor)
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-14)
    np.testing.assert_allclose(grads[0].sum(1), np.zeros(4), atol=1e-15)
