"""Writing into tensors: values, gradients, versions and memory, beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import Scripts, agree, finish, start

import lucidlite

works = Scripts()


# -- the tensor itself -----------------------------------------------------------------------------


@works
def every_operator(T):
    x, y = start(T)
    y += 1
    y -= x
    y *= 3
    y /= 2.0
    y **= 2
    return finish(x, y)


@works
def a_chain_on_one_tensor(T):
    x, y = start(T)
    y.add_(1).mul_(2.0).sub_(x).clamp_(-5, 5).neg_()
    return finish(x, y)


@works
def the_same_object_goes_on(T):
    x, y = start(T)
    before = y
    y += 1
    return [before is y, y.add_(1) is y, y.is_leaf, x.is_leaf, type(y.grad_fn).__name__]


@works
def operands_in_place(T):
    x, y = start(T)
    z = x * 3
    y.mul_(z)
    return finish(x, y)


@works
def itself_as_operand(T):
    x, y = start(T)
    y.add_(y)
    y.sub_(y * 0.5)
    return finish(x, y)


@works
def broadcast_operand(T):
    x, y = start(T)
    w = T.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y.mul_(w)
    return [*finish(x, y), w.grad]


@works
def modified_after_its_use(T):
    x, y = start(T)
    z = y + 1
    y.mul_(5)
    return finish(x, z, y)


@works
def modified_where_values_do_not_matter(T):
    x, y = start(T)
    z = y.sum() + y.mean() * 2
    y.zero_()
    z.backward()
    return x.grad, y.detach()


@works
def a_tensor_joins_the_graph(T):
    x, _ = start(T)
    y = T.zeros(2, 3)
    y.add_(x)
    return [*finish(x, y), y.is_leaf]


@works
def not_recorded_under_no_grad(T):
    x, y = start(T)
    with T.no_grad():
        y.mul_(10)
        x.add_(1)
    return finish(x, y)


@works
def a_leaf_under_no_grad(T):
    x, _ = start(T)
    with T.no_grad():
        x -= 0.5
        x[0] = 7.0
        x.view(-1)[1] = 8.0
        x.zero_()
        x.fill_(2.0)
    return x.detach(), x.requires_grad, x.is_leaf, x._version


@works
def filled_copied_zeroed(T):
    x, y = start(T)
    w = T.tensor(4.0, requires_grad=True)
    y[0].zero_()
    y[1].fill_(w)
    z = (x * 1).copy_(T.arange(3.0).requires_grad_())
    return [*finish(x, y, z), w.grad]


@works
def masked(T):
    x, y = start(T)
    y.masked_fill_(x.detach() > 0, -3.0)
    return finish(x, y)


@works
def a_wider_dtype_is_converted(T):
    y = T.ones(3)
    y.add_(T.ones(3, dtype=T.float64) / 3).mul_(2)
    z = T.ones(3, dtype=T.int64)
    z.add_(T.tensor(2)).mul_(3)
    return y, z


@works
def versions(T):
    x, y = start(T)
    seen = [y._version]
    y.add_(1)
    seen.append(y._version)
    y[0] = 1.0
    y.view(-1).mul_(2)
    seen += [y._version, y.detach()._version, y[1]._version, y.clone()._version, x._version]
    d = y.detach()
    d.add_(1)
    return [*seen, y._version, d._version]


# -- hooks and kept gradients ----------------------------------------------------------------------


@works
def a_hook_stays_with_the_old_value(T):
    x, y = start(T)
    seen = []
    y.register_hook(lambda g: seen.append(g.clone()))
    y.mul_(5)
    y.register_hook(lambda g: seen.append(g.clone()))
    return [*finish(x, y), *seen]


@works
def a_kept_gradient_moves_to_the_new_value(T):
    x, y = start(T)
    y.retain_grad()
    y.mul_(5)
    result = finish(x, y)
    return [*result, y.grad, y.retains_grad]


@works
def a_kept_gradient_of_a_base_written_through_a_view(T):
    x, y = start(T)
    y.retain_grad()
    y[0].mul_(5)
    return [*finish(x, y), y.grad]


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script)


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_runs_without_pytorch(script):
    script(lucidlite)


# -- memory ----------------------------------------------------------------------------------------


def test_writes_are_seen_by_numpy_and_back():
    host = np.zeros((2, 3), np.float32)
    x = lucidlite.from_numpy(host)
    x[0] += 1
    x.view(-1)[5] = 7
    assert host.tolist() == [[1, 1, 1], [0, 0, 7]]
    host[1, 0] = 4
    assert x[1, 0].item() == 4
    assert x.numpy() is not None
    assert np.shares_memory(x.numpy(), host)


def test_memory_stays_in_place():
    x = lucidlite.ones(3, requires_grad=True)
    y = x * 2
    array = y.array
    for write in (lambda: y.add_(1), lambda: y.relu_(), lambda: y.copy_(x), lambda: y.zero_()):
        write()
        assert y.array is array


def test_other_outputs_of_the_same_operation_are_untouched():
    x = lucidlite.ones(3, requires_grad=True)
    y = x * 2
    z = lucidlite.relu(y)
    before = z.detach().clone()
    y.mul_(10)
    assert z.tolist() == before.tolist()


def test_a_long_chain_of_views():
    x = lucidlite.ones(4, requires_grad=True)
    y = x * 2
    for _ in range(300):
        y = y.view(2, 2).view(4)
    y[0] *= 3
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 2.0, 2.0, 2.0]
