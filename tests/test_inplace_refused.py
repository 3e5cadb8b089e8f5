"""Writes that are refused, at once or when their gradient is asked for, as in PyTorch."""

from __future__ import annotations

import pytest
from agreement import Scripts, agree, start

import lucidlite

refused = Scripts()


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


@refused.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script, (RuntimeError, IndexError))


@refused.each
def test_refused_without_pytorch(script):
    with pytest.raises((RuntimeError, IndexError)):
        script(lucidlite)
