"""Backward passes and the gradients they leave, beside PyTorch."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from agreement import Scripts, agree, leaf

import lucidlite
from lucidlite import nn

works = Scripts()


# -- backward and grad -----------------------------------------------------------------------------


@works
def a_sum(T):
    x, y = leaf(T), leaf(T, 4.0, 5.0, 6.0)
    (x * y + x).sum().backward()
    return x.grad, y.grad


@works
def backward_with_a_gradient(T):
    x = leaf(T)
    (x * x).backward(T.tensor([1.0, 10.0, 100.0]))
    return x.grad


@works
def a_leaf_itself(T):
    x = leaf(T, 2.0)
    x.backward(T.tensor([3.0]))
    x.backward(T.tensor([4.0]))
    return x.grad


@works
def accumulation(T):
    x = leaf(T)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    return x.grad, first is x.grad, first


@works
def several_uses(T):
    x = leaf(T)
    y = x * 2
    z = y * x + y.exp() - y / x
    z.sum().backward()
    return x.grad


@works
def retained_graph(T):
    x = leaf(T)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@works
def a_second_backward_where_nothing_was_saved(T):
    x = leaf(T)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    return x.grad


@works
def two_losses_over_one_trunk(T):
    x = leaf(T)
    h = x * x
    a, b = h.sum(), (h * 2).sum()
    a.backward(retain_graph=True)
    b.backward()
    return x.grad


@works
def several_roots(T):
    x = leaf(T)
    y, z = x * 2, x * x
    T.autograd.backward([y, z.sum()], [T.ones(3), None])
    return x.grad


@works
def the_same_root_twice(T):
    x = leaf(T)
    y = (x * 2).sum()
    T.autograd.backward([y, y])
    return x.grad


@works
def a_root_below_another(T):
    x = leaf(T)
    y = x * 3
    z = (y * y).sum()
    T.autograd.backward([z, y.sum()])
    return x.grad


@works
def grad_of_several(T):
    x, y = leaf(T), leaf(T, 4.0, 5.0, 6.0)
    z = x * y
    g = T.autograd.grad([z.sum(), (x * 2).sum()], [y, x])
    return [*g, x.grad, y.grad]


@works
def grad_of_what_is_in_between(T):
    x = leaf(T)
    y = x * 2
    z = y * y
    return T.autograd.grad((z * x).sum(), [y, z, x])


@works
def grad_of_itself(T):
    x = leaf(T)
    y = x * 2
    return T.autograd.grad(y, [y], T.tensor([1.0, 2.0, 3.0]))


@works
def grad_with_unused(T):
    x, y = leaf(T), leaf(T)
    z = (x * 2).sum()
    a = T.autograd.grad(z, [x, y], allow_unused=True, retain_graph=True)
    b = T.autograd.grad(z, [x, y], materialize_grads=True)
    return [*a, *b]


@works
def grad_of_a_constant_branch(T):
    x = leaf(T)
    y = x.detach() * x
    return T.autograd.grad(y.sum(), x)


@works
def grad_leaves_no_trace(T):
    x, w = leaf(T), leaf(T)
    y = (x * w).sum()
    T.autograd.grad(y, x, retain_graph=True)
    y.backward()
    return x.grad, w.grad


@works
def backward_into_inputs(T):
    x, y = leaf(T), leaf(T)
    (x * y).sum().backward(inputs=[x])
    (x * y * 2).sum().backward(inputs=y)
    return x.grad, y.grad


@works
def integers_on_the_way(T):
    x = leaf(T)
    i = T.tensor([2, 0, 1])
    (x[i] * i).sum().backward()
    return x.grad


@works
def mixed_dtypes(T):
    x = leaf(T)
    y = x.double() * T.tensor([1.0, 2.0, 3.0], dtype=T.float64)
    (y.float() * x.half()).sum().backward()
    return x.grad, x.grad.dtype is T.float32


@works
def what_requires_grad(T):
    x = leaf(T)
    c = T.ones(3)
    return [(x * c).requires_grad, (c * c).requires_grad, (x > 1).requires_grad,
            x.detach().requires_grad, x.argmax().requires_grad, (x * 2).is_leaf, c.is_leaf,
            x.detach().is_leaf, x.requires_grad_(False).requires_grad]  # fmt: skip


@works
def edges(T):
    x, y = leaf(T), leaf(T)
    z = x * y + 1
    (product, nr), _ = z.grad_fn.next_functions
    (a, _), (b, _) = product.next_functions
    return [type(z.grad_fn).__name__, type(product).__name__, nr, type(a).__name__, a.variable is x,
            b.variable is y, a.next_functions]  # fmt: skip


@works
def one_accumulator_a_leaf(T):
    x = leaf(T)
    a, b = x * 2, x * 3
    return a.grad_fn.next_functions[0][0] is b.grad_fn.next_functions[0][0]


@works
def switched_off_and_on(T):
    x, w = leaf(T), leaf(T)
    w.requires_grad_(False)
    (x * w).sum().backward()
    w.requires_grad_(True)
    (x * w).sum().backward()
    return x.grad, w.grad


@works
def gradient_of_zero_elements(T):
    x = T.zeros(0, 3, requires_grad=True)
    (x * 2).sum().backward()
    return x.grad


@works
def broadcasting_is_summed_away(T):
    x, y = T.ones(1, 3, requires_grad=True), T.ones(2, 1, 1, requires_grad=True)
    z = T.tensor(2.0, requires_grad=True)
    (x * y * z + x).sum().backward()
    return x.grad, y.grad, z.grad


# -- gradients are their own memory ----------------------------------------------------------------


@works
def gradients_of_a_sum_are_apart(T):
    a, b, g = leaf(T), leaf(T), T.ones(3)
    (a + b).backward(g)
    a.grad.add_(10)
    return a.grad, b.grad, g


@works
def gradient_of_a_leaf_is_a_copy(T):
    a, g = leaf(T), T.ones(3)
    a.backward(g)
    a.grad.mul_(5)
    return a.grad, g


@works
def gradients_in_hooks_are_not_overwritten(T):
    x, seen = leaf(T), []
    y, z = x * 1, x * 1
    y.register_hook(seen.append)
    z.register_hook(seen.append)
    (y + z).sum().backward()
    x.grad.mul_(9)
    (x * 1).sum().backward()
    return [*seen, x.grad]


@works
def results_of_grad_are_apart(T):
    a, b = leaf(T), leaf(T)
    y = a + b
    ga, gb = T.autograd.grad(y.sum(), [a, b])
    (y2,) = T.autograd.grad((a + b).sum(), [a])
    (a + b).sum().backward()
    a.grad.mul_(3)
    return ga, gb, y2, a.grad, b.grad


@works
def a_gradient_given_by_hand(T):
    x = leaf(T)
    x.grad = T.ones(3)
    (x * 2).sum().backward()
    kept = x.grad
    x.grad.zero_()
    (x * 2).sum().backward()
    return x.grad, kept is x.grad


@works
def incoming_gradient_is_not_changed(T):
    x, g = leaf(T), T.ones(3)
    y = x + 0
    z = y + y + y
    z.backward(g)
    return x.grad, g


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script)


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_runs_without_pytorch(script):
    script(lucidlite)


def test_backward_passes_in_threads_do_not_meet():
    x = lucidlite.ones(50, requires_grad=True)
    results = {}

    def work(k):
        (g,) = lucidlite.autograd.grad((x * k).exp().log().sum(), x)
        results[k] = float(g[0])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == pytest.approx({k: float(k) for k in range(1, 9)}, rel=1e-5)


def test_gradient_of_a_view_is_no_view_of_what_came_in():
    x, g = leaf(lucidlite), lucidlite.ones(3)
    x.view(3).backward(g)
    x.grad.mul_(5)
    assert g.tolist() == [1.0, 1.0, 1.0]


def test_reruns_are_bit_equal():
    def run():
        lucidlite.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
        )
        model(lucidlite.randn(5, 2, 6, 6)).logsumexp(1).sum().backward()
        return [p.grad.numpy().tobytes() for p in model.parameters()]

    assert run() == run()


def test_numpy_operands_come_second():
    x = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    y = np.array([3.0, 4.0], np.float32) * x + np.float32(2)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
