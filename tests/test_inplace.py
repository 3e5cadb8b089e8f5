"""Writing into tensors: values, gradients, views and versions, beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import Scripts, agree

import lucidlite

works = Scripts(
    a_late_view_as_the_second_operand="tape._edges reads _requires_grad without refreshing a view"
)
refused = Scripts()


def start(T, shape=(2, 3)):
    """A leaf and something computed from it, with whole numbers in it."""
    x = T.ones(shape)
    x.copy_((T.arange(x.numel(), dtype=T.float32) - 2).reshape(shape))
    x.requires_grad_()
    return x, x * 2


def finish(x, *tensors):
    """Gradients of all tensors' weighted sums, and their values."""
    total = sum((t * (i + 2) * t.detach()).sum() for i, t in enumerate(tensors))
    total.backward()
    return [x.grad, *(t.detach() for t in tensors), *(t.requires_grad for t in tensors)]


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


# -- views -----------------------------------------------------------------------------------------


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


# -- what is refused -------------------------------------------------------------------------------


@refused
def a_leaf(T):
    x, _ = start(T)
    x.add_(1)


@refused
def a_leaf_by_operator(T):
    x, _ = start(T)
    x *= 2


@refused
def an_element_of_a_leaf(T):
    x, _ = start(T)
    x[0] = 1.0


@refused
def an_element_of_a_leaf_by_tensor(T):
    x, _ = start(T)
    x[T.tensor([0])] = 1.0


@refused
def a_view_of_a_leaf(T):
    x, _ = start(T)
    x.view(-1).mul_(2)


@refused
def a_leaf_that_is_a_view_itself(T):
    x = T.arange(6.0).reshape(2, 3).requires_grad_()
    x.add_(1)


@refused
def an_element_of_a_leaf_that_is_a_view(T):
    x = T.arange(6.0).reshape(2, 3).requires_grad_()
    x[0] = 1.0


@refused
def a_saved_input(T):
    _, y = start(T)
    z = y * y
    y.add_(1)
    z.sum().backward()


@refused
def a_saved_output(T):
    _, y = start(T)
    z = y.exp()
    z.add_(1)
    z.sum().backward()


@refused
def a_saved_output_by_the_same_operation_again(T):
    _, y = start(T)
    y.relu_()
    y.relu_()
    y.sum().backward()


@refused
def a_saved_output_through_a_view(T):
    _, y = start(T)
    z = y.sigmoid()
    z[0] = 0.0
    z.sum().backward()


@refused
def a_saved_input_through_detach(T):
    _, y = start(T)
    z = y * y
    y.detach().zero_()
    z.sum().backward()


@refused
def a_saved_parameter(T):
    x, y = start(T)
    z = (y * x).sum()
    with T.no_grad():
        x.add_(1)
    z.backward()


@refused
def itself_as_factor(T):
    _, y = start(T)
    y.mul_(y)
    y.sum().backward()


@refused
def an_index_saved_for_backward(T):
    _, y = start(T)
    index = T.tensor([0, 1])
    z = y[index]
    index.zero_()
    z.sum().backward()


@refused
def a_piece_of_split(T):
    _, y = start(T)
    y.split(1)[0].add_(1)


@refused
def a_piece_of_chunk(T):
    _, y = start(T)
    y.chunk(2)[0].mul_(2)


@refused
def a_piece_of_unbind(T):
    _, y = start(T)
    y.unbind()[0].mul_(2)


@refused
def a_row_in_a_loop(T):
    _, y = start(T)
    for row in y:
        row += 1


@refused
def an_expanded_tensor(T):
    _, y = start(T, (1, 3))
    y.expand(2, 3).add_(1)


@refused
def an_expanded_constant(T):
    T.ones(1, 3).expand(2, 3).add_(1)


@refused
def a_view_made_under_no_grad(T):
    _, y = start(T)
    with T.no_grad():
        v = y[0]
    v.mul_(2)


@refused
def a_result_that_grows(T):
    T.ones(3).add_(T.ones(2, 3))


@refused
def a_float_into_integers(T):
    T.ones(3, dtype=T.int64).add_(0.5)


@refused
def an_integer_into_bools(T):
    T.ones(3, dtype=T.bool).add_(1)


@refused
def a_division_of_integers(T):
    T.ones(3, dtype=T.int64).div_(2)


@refused
def a_value_that_does_not_fit(T):
    y = T.ones(2, 3)
    y[0] = T.ones(2)


@refused
def a_copy_that_does_not_fit(T):
    T.ones(2, 3).copy_(T.ones(2))


@refused
def an_inference_tensor(T):
    with T.inference_mode():
        y = T.ones(3)
    y.add_(1)


@refused
def an_index_out_of_range(T):
    T.ones(3)[3] = 1.0


@refused
def a_detached_view(T):
    _, y = start(T)
    y[0].detach_()


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script)


@refused.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_refused_as_in_pytorch(script):
    agree(script, (RuntimeError, IndexError))


@works.each
def test_runs_without_pytorch(script):
    script(lucidlite)


@refused.each
def test_refused_without_pytorch(script):
    with pytest.raises((RuntimeError, IndexError)):
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
