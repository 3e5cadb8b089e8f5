"""Writing through views and under them: values, gradients and names, beside PyTorch."""

from __future__ import annotations

import pytest
from agreement import Scripts, agree, finish, start

import lucidlite

works = Scripts()


@works
def add_to_a_row(T):
    x, y = start(T)
    y[0] += 1
    return finish(x, y)


@works
def multiply_a_column(T):
    x, y = start(T)
    y[:, 0].mul_(3)
    return finish(x, y)


@works
def relu_of_the_base_under_a_view(T):
    x, y = start(T)
    v = y.view(-1)
    y.relu_()
    return finish(x, v, y)


@works
def relu_of_a_view(T):
    x, y = start(T)
    v = y.view(-1)
    v.relu_()
    return finish(x, v, y)


@works
def relu_in_place_after_flatten(T):
    x, y = start(T, (2, 3, 2))
    z = T.nn.functional.relu(y.flatten(1), inplace=True)
    return finish(x, z, y)


@works
def a_chain_of_views(T):
    x, y = start(T, (4, 6))
    w = T.tensor([2.0, 3.0], requires_grad=True)
    v = y[1:].t()[::3].t()[1:]
    v.mul_(w)
    return [*finish(x, y, v), w.grad]


@works
def views_taken_before_and_after(T):
    x, y = start(T)
    before = y[0]
    y[:, 1] *= 10
    after = y[0]
    return finish(x, before, after, y)


@works
def views_of_views_written_in_turn(T):
    x, y = start(T)
    a = y[0]
    b = a[1:]
    b += 1
    a *= 2
    b -= 3
    y += 1
    return finish(x, y, a, b)


@works
def overlapping_views(T):
    x, y = start(T, (6,))
    a, b = y[:4], y[2:]
    a.mul_(2)
    b.add_(a.sum())
    return finish(x, y, a, b)


@works
def a_view_of_a_tensor_that_joins_the_graph(T):
    x, _ = start(T)
    base = T.zeros(2, 3)
    v = base[1]
    base.copy_(x)
    return [*finish(x, v), base.is_leaf, v.is_leaf]


@works
def a_late_view_as_the_second_operand(T):
    """The first operand requires a gradient anyway: the second must be asked all the same."""
    x, y = start(T)
    v = T.zeros(6).reshape(2, 3)
    v.add_(x)
    z = y + v
    w = T.cat([y, v])
    return finish(x, z, w)


@works
def a_base_joins_the_graph_through_its_view(T):
    x, _ = start(T)
    base = T.zeros(3, 3)
    view = base[:2]
    view.copy_(x)
    other = base[1]
    return finish(x, base, view, other)


@works
def a_base_without_gradient_multiplied_through_a_view(T):
    w = T.tensor([2.0, 3.0], requires_grad=True)
    base = T.ones(3)
    base[:2].mul_(w)
    base.sum().backward()
    return w.grad, base.detach(), base.requires_grad


@works
def transposed_and_expanded_dims(T):
    x, y = start(T)
    y.t()[1].add_(5)
    y.unsqueeze(0)[0, :, 2].mul_(2)
    y.permute(1, 0).squeeze()[0] -= 1
    return finish(x, y)


@works
def shifted_onto_itself(T):
    x, y = start(T, (6,))
    y[1:] += y[:-1].clone()
    y[:-1] = y[1:].clone() * 2
    return finish(x, y)


@works
def rows_in_a_loop(T):
    x, y = start(T, (4, 3))
    for i in range(4):
        y[i] = y[i] * (i + 1)
    return finish(x, y)


@works
def cumulative_in_place(T):
    x, y = start(T, (5, 2))
    out = T.zeros(5, 2)
    out[0] = y[0]
    for i in range(1, 5):
        out[i] = out[i - 1] * 0.5 + y[i]
    return finish(x, out)


@works
def assigned_by_index_and_mask(T):
    x, y = start(T)
    w = T.tensor([5.0, 6.0], requires_grad=True)
    y[T.tensor([0, 1]), T.tensor([2, 0])] = w
    y[y.detach() > 5] = 1.0
    y[..., 1] = 0
    return [*finish(x, y), w.grad]


@works
def assigned_by_index_through_a_view(T):
    x, y = start(T, (3, 4))
    v = y[1:]
    v[T.tensor([1, 0])] = T.ones(2, 4)
    v[:, T.tensor([3])] *= 2
    return finish(x, y, v)


@works
def added_by_index(T):
    x, y = start(T)
    y[T.tensor([1])] += 3
    y[:, [0, 2]] *= 2
    return finish(x, y)


@works
def values_broadcast_into_a_slice(T):
    x, y = start(T)
    y[:] = T.tensor([1.0, 2.0, 3.0])
    y[0, 1:] = 9
    y[1] = x[0, :1] * 3
    return finish(x, y)


@works
def written_under_no_grad_through_a_view(T):
    x, y = start(T)
    v = y[0]
    with T.no_grad():
        v.mul_(10)
    return finish(x, y, v)


@works
def a_view_made_under_no_grad_is_written_there(T):
    x, y = start(T)
    with T.no_grad():
        v = y[0]
        v.mul_(10)
    return finish(x, y)


@works
def detached_memory_is_shared(T):
    x, y = start(T)
    z = y + 1
    y.detach().mul_(3)
    return finish(x, z, y)


@works
def names_after_writes(T):
    _, y = start(T)
    y[0].exp_()
    names = [type(y.grad_fn).__name__]
    y.add_(1)
    names.append(type(y.grad_fn).__name__)
    y[T.tensor([0])] = 1.0
    return [*names, type(y.grad_fn).__name__, type(y.view(-1).grad_fn).__name__]


@works
def second_order(T):
    x, y = start(T, (4,))
    y[1:].mul_(x[:-1] * x[1:])
    y.view(2, 2)[0] *= x[0]
    (first,) = T.autograd.grad((y * y).sum(), x, create_graph=True)
    first.sum().backward()
    return first.detach(), x.grad


@works
def gradients_of_views_and_base_by_grad(T):
    _, y = start(T)
    v = y[0]
    v.mul_(3)
    g = T.autograd.grad((y * y.detach()).sum(), [v, y], allow_unused=True, retain_graph=True)
    h = T.autograd.grad((v * 2).sum(), [y], allow_unused=True)
    return [*g, *h]


@works
def a_leaf_that_is_a_view(T):
    """What requires_grad_() makes a leaf stays one, though it sees another tensor's memory."""
    x = T.arange(6.0).reshape(2, 3).requires_grad_()
    (x * x).sum().backward()
    with T.no_grad():
        x -= 0.25 * x.grad
        x[0] = 7.0
    facts = [x.requires_grad, x.is_leaf, x.grad_fn]
    x.grad = None
    (x * x).sum().backward()
    return [x.detach(), x.grad, *facts]


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script)


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_runs_without_pytorch(script):
    script(lucidlite)
