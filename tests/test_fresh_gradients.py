"""Gradients that nobody else sees may be kept or written to; all others stay as they were."""

from __future__ import annotations

import numpy as np
import pytest

import lucidlite
import lucidlite.nn.functional as F
from lucidlite.autograd import Function

SHAPE = (8, 16, 16, 16)  # large enough for the kernels that write in place


def images(seed: int = 0) -> lucidlite.Tensor:
    lucidlite.manual_seed(seed)
    return lucidlite.randn(*SHAPE, requires_grad=True)


def pooled_relu(x):
    """A pool's gradient is fresh, and relu's gradient is written over it."""
    y = F.relu(x)
    return y, F.max_pool2d(y, 2)


def expected(x):
    y, z = pooled_relu(x.detach().requires_grad_())
    chosen = np.repeat(np.repeat(z.detach().numpy(), 2, 2), 2, 3) == y.detach().numpy()
    return chosen & (y.detach().numpy() > 0)


def test_relu_writes_over_the_pool_s_gradient(monkeypatch):
    kernel, seen = lucidlite.backends.cpu.relu_grad, []

    def spy(g, y, out=None):
        seen.append(out is g)
        return kernel(g, y, out)

    monkeypatch.setattr(lucidlite.backends.cpu, "relu_grad", spy)
    x = images()
    pooled_relu(x)[1].sum().backward()
    assert seen == [True]
    np.testing.assert_array_equal(x.grad.numpy(), expected(x))


def test_the_caller_s_gradient_is_left_alone():
    x = images()
    y = F.relu(x)
    given = lucidlite.ones_like(y)
    y.backward(given)
    assert bool((given == 1).all())
    np.testing.assert_array_equal(x.grad.numpy(), x.detach().numpy() > 0)


@pytest.mark.parametrize("keep", ["hook", "retain_grad", "node", "pre"])
def test_what_a_hook_kept_is_left_alone(keep):
    x = images()
    y, z = pooled_relu(x)
    kept = []
    if keep == "hook":
        y.register_hook(kept.append)
    elif keep == "retain_grad":
        y.retain_grad()
    elif keep == "node":
        y.grad_fn.register_hook(lambda _, grads: kept.extend(grads))
    else:
        y.grad_fn.register_prehook(lambda grads: kept.extend(grads))
    z.sum().backward()
    grad = y.grad if keep == "retain_grad" else kept[0]
    # One element a window, whether or not relu lets it through.
    assert float(grad.sum()) == z.numel()
    np.testing.assert_array_equal(x.grad.numpy(), expected(x))


def test_what_the_pool_s_hook_kept_is_left_alone():
    x = images()
    _, z = pooled_relu(x)
    kept = []
    z.grad_fn.register_hook(lambda inputs, _: kept.extend(inputs))
    z.sum().backward()
    assert float(kept[0].sum()) == z.numel()
    np.testing.assert_array_equal(x.grad.numpy(), expected(x))


def test_a_captured_gradient_is_left_alone():
    x = images()
    y, z = pooled_relu(x)
    dy, dx = lucidlite.autograd.grad(z.sum(), [y, x])
    assert float(dy.sum()) == z.numel()
    np.testing.assert_array_equal(dx.numpy(), expected(x))


def test_a_gradient_passed_on_to_two_inputs():
    a, b = images(0), images(1)
    y = F.relu(a) + F.relu(b)
    F.max_pool2d(y, 2).sum().backward()
    chosen = np.repeat(np.repeat(F.max_pool2d(y, 2).detach().numpy(), 2, 2), 2, 3)
    chosen = chosen == y.detach().numpy()
    np.testing.assert_array_equal(a.grad.numpy(), chosen & (a.detach().numpy() > 0))
    np.testing.assert_array_equal(b.grad.numpy(), chosen & (b.detach().numpy() > 0))


def test_a_function_that_keeps_its_gradient():
    kept = []

    class Same(Function):
        @staticmethod
        def forward(ctx, x):  # noqa: ARG004
            return x * 1

        @staticmethod
        def backward(ctx, grad):  # noqa: ARG004
            kept.append(grad)
            return grad

    x = images()
    F.max_pool2d(Same.apply(F.relu(x)), 2).sum().backward()
    assert float(kept[0].sum()) == kept[0].numel() / 4


def test_two_uses_are_summed_once_and_exactly():
    x = images()
    y = F.relu(x)
    total = F.max_pool2d(y, 2).sum() + 2 * F.max_pool2d(y, 2).sum() + 4 * F.max_pool2d(y, 2).sum()
    total.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 7 * expected(x))


def test_a_leaf_keeps_a_fresh_gradient_and_only_that():
    weight = lucidlite.randn(16, 16, 3, 3, requires_grad=True)
    x = images()
    F.conv2d(x, weight, padding=1).sum().backward()
    first = weight.grad.clone()
    F.conv2d(x, weight, padding=1).sum().backward()
    np.testing.assert_allclose(weight.grad.numpy(), 2 * first.numpy(), rtol=1e-6)
    assert weight.grad.is_contiguous()


def test_a_leaf_s_hook_may_keep_its_gradient():
    kept = []
    weight = lucidlite.randn(16, 16, 3, 3, requires_grad=True)
    weight.register_hook(kept.append)
    F.conv2d(images(), weight).sum().backward()
    before = kept[0].clone()
    weight.grad.zero_()
    np.testing.assert_array_equal(kept[0].numpy(), before.numpy())
