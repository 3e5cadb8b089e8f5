"""Derivatives of second and higher order, beside PyTorch, and the numerical checks of both."""

from __future__ import annotations

import pytest
from agreement import Scripts, agree, leaf

import lucidlite
from lucidlite.autograd import gradcheck, gradgradcheck

works = Scripts()


@works
def a_target_keeps_what_it_saved(T):
    """grad() stops at an intermediate, whose own part of the graph can still be walked."""
    x = T.ones(3, requires_grad=True)
    y = x.exp()
    (first,) = T.autograd.grad((y * y).sum(), y)
    y.sum().backward()
    return first, x.grad


@works
def derivatives_of_a_power(T):
    x = T.tensor(2.0, requires_grad=True)
    found, y = [], x**5
    for _ in range(5):
        (y,) = T.autograd.grad(y, x, create_graph=True)
        found.append(y.detach())
    return found


@works
def derivatives_of_a_sine(T):
    x = T.tensor(0.7, requires_grad=True)
    found, y = [], T.sin(x) * T.exp(x)
    for _ in range(4):
        (y,) = T.autograd.grad(y, x, create_graph=True)
        found.append(y.detach())
    return found


@works
def third_order_through_layers(T):
    x = (T.arange(8.0) / 8 - 0.4).reshape(1, 1, 2, 4).requires_grad_()
    w = (T.arange(4.0) / 4 - 0.3).reshape(1, 1, 2, 2).requires_grad_()
    y = T.tanh(T.nn.functional.conv2d(x, w, padding=1))
    z = (T.nn.functional.avg_pool2d(y, 2) ** 3).sum()
    (a,) = T.autograd.grad(z, x, create_graph=True)
    (b,) = T.autograd.grad((a * a).sum(), w, create_graph=True)
    (b * b * b).sum().backward()
    return x.grad, w.grad


@works
def mixed_partials(T):
    x, y = leaf(T), leaf(T, 4.0, 5.0, 6.0)
    (dx,) = T.autograd.grad((x * x * y * y).sum(), x, create_graph=True)
    (dxy,) = T.autograd.grad(dx.sum(), y, create_graph=True)
    (dxyx,) = T.autograd.grad(dxy.sum(), x)
    return dx.detach(), dxy.detach(), dxyx


@works
def backward_with_create_graph(T):
    x = leaf(T)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    x.grad = None
    (first * first).sum().backward()
    return first.detach(), first.requires_grad, x.grad.detach()


@works
def accumulation_into_a_taped_gradient(T):
    x = leaf(T)
    (x**3).sum().backward(create_graph=True)
    (x**2).sum().backward()
    result = x.grad.detach().clone()
    x.grad = None
    return result


@works
def gradient_penalty(T):
    x, w = leaf(T), leaf(T, 0.5, -0.5, 1.0)
    (g,) = T.autograd.grad((x * w).sum().tanh(), x, create_graph=True)
    ((g.norm() - 1) ** 2).backward()
    return w.grad


@works
def hessian_times_vector(T):
    x, v = leaf(T), T.tensor([1.0, 0.0, -1.0])
    y = (x[0] * x[1] ** 2 + x[2] ** 3 * x[0]).exp().log()
    (g,) = T.autograd.grad(y, x, create_graph=True)
    return T.autograd.grad(g, x, v)


@works
def first_order_of_a_second_order_graph(T):
    x = leaf(T)
    (g,) = T.autograd.grad((x**3).sum(), x, create_graph=True)
    y = (g * x).sum()
    y.backward()
    return x.grad


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script)


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_runs_without_pytorch(script):
    script(lucidlite)


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(lucidlite.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x * 2.01

    x = lucidlite.tensor([1.0, -2.0], dtype=lucidlite.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"gradcheck: .* disagree"):
        gradcheck(Wrong.apply, (x,))
    assert not gradcheck(Wrong.apply, (x,), raise_exception=False)
    assert gradcheck(lambda t: t * t, (x,))


def test_gradgradcheck_finds_a_wrong_second_gradient():
    class Cut(lucidlite.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x.detach() * x

    x = lucidlite.tensor([1.0, -2.0], dtype=lucidlite.float64, requires_grad=True)
    assert gradcheck(Cut.apply, (x,))
    with pytest.raises(RuntimeError, match="disagree"):
        gradgradcheck(Cut.apply, (x,))
    assert not gradgradcheck(Cut.apply, (x,), raise_exception=False)
    assert gradgradcheck(lambda t: t**3, (x,))


def test_gradcheck_needs_something_to_check():
    with pytest.raises(ValueError, match="at least one input must require grad"):
        gradcheck(lucidlite.exp, (lucidlite.ones(2),))
