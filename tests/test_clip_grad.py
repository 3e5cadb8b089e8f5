"""Clipping gradients: PyTorch's values, on the CPU and on a GPU."""

import numpy as np
import pytest
from parity import numpy_of

import lucidlite
from lucidlite.nn import utils

SHAPES = [(3, 4), (5,), (), (2, 3, 2, 2)]


def parameters(lib, kinds=("float32",) * 4, device="cpu", missing=()):
    rng = np.random.default_rng(2)
    made = []
    for number, (shape, kind) in enumerate(zip(SHAPES, kinds, strict=True)):
        values = rng.standard_normal(shape) * 3
        p = lib.zeros(shape, dtype=getattr(lib, kind)).to(device).requires_grad_()
        if number not in missing:
            p.grad = lib.tensor(values.tolist(), dtype=getattr(lib, kind)).to(device)
        made.append(p)
    return made


def grads(params):
    return [None if p.grad is None else numpy_of(p.grad.cpu()) for p in params]


def assert_same(one, other, rtol=2e-6):
    for a, b in zip(grads(one), grads(other), strict=True):
        if a is None or b is None:
            assert a is b
        else:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("place", ["cpu", "cuda"])
@pytest.mark.parametrize("max_norm", [1.0, 1e4])
@pytest.mark.parametrize("norm_type", [2, 2.0, 1.0, 0.5, 3, float("inf"), "inf", -1.0,
                                       float("-inf"), 0.0])  # fmt: skip
def test_norm(norm_type, max_norm, place, request):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    device = request.getfixturevalue("cuda") if place == "cuda" else place
    ours, theirs = parameters(lucidlite, device=device, missing=[1]), parameters(torch, missing=[1])
    norm = utils.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert norm.shape == ()
    assert str(norm.dtype) == str(expected.dtype)
    assert norm.device == ours[0].device
    assert norm.item() == pytest.approx(expected.item(), rel=2e-6)
    assert_same(ours, theirs)
    again = parameters(lucidlite, device=device, missing=[1])
    alone = utils.get_total_norm([p.grad for p in again if p.grad is not None], norm_type)
    assert alone.item() == pytest.approx(expected.item(), rel=2e-6)
    utils.clip_grads_with_norm_(again, max_norm, alone)
    assert_same(again, theirs)


@pytest.mark.parametrize("place", ["cpu", "cuda"])
@pytest.mark.parametrize("kinds", [("float16",) * 4, ("float64",) * 4,
                                   ("float32", "float16", "float64", "float32")])  # fmt: skip
def test_dtypes(kinds, place, request):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    device = request.getfixturevalue("cuda") if place == "cuda" else place
    ours, theirs = parameters(lucidlite, kinds, device), parameters(torch, kinds)
    norm = utils.clip_grad_norm_(ours, 0.7)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.7)
    assert str(norm.dtype) == str(expected.dtype)
    limit = 3e-3 if "float16" in kinds else 1e-12
    assert norm.item() == pytest.approx(expected.item(), rel=limit)
    assert_same(ours, theirs, limit)


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_values(place, request):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    device = request.getfixturevalue("cuda") if place == "cuda" else place
    ours, theirs = parameters(lucidlite, device=device, missing=[0]), parameters(torch, missing=[0])
    for params in (ours, theirs):
        params[1].grad[0] = float("nan")
        params[1].grad[1] = float("-inf")
    assert utils.clip_grad_value_(ours, 0.5) is None
    torch.nn.utils.clip_grad_value_(theirs, 0.5)
    assert_same(ours, theirs, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
def test_norms_that_are_not_finite(lib, bad):
    lib = pytest.importorskip(lib, reason="compares with PyTorch")
    params = parameters(lib)
    before = grads(params)
    params[1].grad[0] = bad
    with pytest.raises(RuntimeError, match=r"total norm of order 2\.0 .* is non-finite, so it can"):
        lib.nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(numpy_of(params[0].grad), before[0])
    norm = lib.nn.utils.clip_grad_norm_(params, 1.0)
    assert not np.isfinite(norm.item())
    rest = numpy_of(params[0].grad)
    assert (np.isnan(rest) if np.isnan(bad) else rest == 0).all()


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
def test_nothing_to_clip(lib):
    lib = pytest.importorskip(lib, reason="compares with PyTorch")
    p = lib.ones(2, requires_grad=True)
    for given in ([], [p], p):
        norm = lib.nn.utils.clip_grad_norm_(given, 1.0)
        assert norm.item() == 0.0
        if lib is lucidlite:  # PyTorch has an internal error here
            utils.clip_grad_value_(given, 1.0)
    assert p.grad is None
    with pytest.warns(UserWarning, match="empty generator, no gradient clipping will occur"):
        lib.nn.utils.clip_grad_norm_((each for each in ()), 1.0)


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
@pytest.mark.parametrize("norm_type", [-1.0, float("inf"), float("-inf")])
def test_a_norm_that_an_empty_gradient_has_not(norm_type, lib):
    lib = pytest.importorskip(lib, reason="compares with PyTorch")
    for shape in ((0,), (2, 0)):
        params = [lib.ones(2, requires_grad=True), lib.ones(shape, requires_grad=True)]
        for p in params:
            p.grad = lib.ones(tuple(p.shape))
        words = r"norm.* (of|on) an empty tensor"
        with pytest.raises(RuntimeError, match=words):
            lib.nn.utils.clip_grad_norm_(params, 1.0, norm_type)
        with pytest.raises(RuntimeError, match=words):
            lib.nn.utils.get_total_norm([p.grad for p in params], norm_type)
        assert params[0].grad.tolist() == [1.0, 1.0]
        assert lib.nn.utils.clip_grad_norm_(params, 10.0, 1.0).item() == 2.0


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
def test_one_tensor_and_generators(lib):
    lib = pytest.importorskip(lib, reason="compares with PyTorch")
    for wrapped in (lambda p: p, lambda p: iter([p]), lambda p: (each for each in [p])):
        p = lib.zeros(2, requires_grad=True)
        p.grad = lib.tensor([3.0, 4.0])
        assert lib.nn.utils.clip_grad_norm_(wrapped(p), 1.0).item() == 5.0
        np.testing.assert_allclose(numpy_of(p.grad), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
def test_a_parameter_given_twice_counts_twice(lib):
    lib = pytest.importorskip(lib, reason="compares with PyTorch")
    p = lib.zeros(2, requires_grad=True)
    p.grad = lib.tensor([3.0, 4.0])
    assert lib.nn.utils.clip_grad_norm_([p, p], 5.0).item() == pytest.approx(50**0.5, rel=1e-6)
    np.testing.assert_allclose(numpy_of(p.grad), [1.5, 2.0], rtol=1e-6)


def test_written_gradients_are_noticed():
    w = lucidlite.ones(3, requires_grad=True)
    (w * w).sum().backward(create_graph=True)
    product = (w.grad * w.grad).sum()
    utils.clip_grad_norm_([w], 1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_gradients_on_two_devices(cuda):
    values = []
    for device in ("cpu", cuda):
        a, b = lucidlite.zeros(2, requires_grad=True), lucidlite.zeros(2, device=device)
        b.requires_grad_()
        a.grad, b.grad = lucidlite.tensor([1.0, 2.0]), lucidlite.tensor([2.0, 4.0], device=device)
        norm = utils.clip_grad_norm_([a, b], 1.0)
        assert not norm.is_cuda
        values.append([norm.item(), *a.grad.tolist(), *b.grad.tolist()])
    np.testing.assert_allclose(values[0], [5.0, 0.2, 0.4, 0.4, 0.8], rtol=1e-6)
    np.testing.assert_allclose(values[1], values[0], rtol=1e-6)


def test_clipping_waits_for_nothing_on_a_gpu(fake_cupy):
    params = parameters(lucidlite, device="cuda")
    utils.clip_grad_norm_(params, 1.0)  # the table
    before = dict(fake_cupy.counts)
    utils.clip_grad_norm_(params, 1.0)
    utils.clip_grad_value_(params, 0.1)
    after = dict(fake_cupy.counts)
    assert {name: after[name] - before[name] for name in ("sync", "d2h", "h2d")} == {
        "sync": 0, "d2h": 0, "h2d": 0,
    }  # fmt: skip
