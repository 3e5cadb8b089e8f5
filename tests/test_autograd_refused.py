"""What the engine refuses, with PyTorch's classes of exceptions."""

from __future__ import annotations

import copy

import pytest
from agreement import Scripts, agree, leaf

import lucidlite

refused = Scripts()


@refused
def a_second_backward(T):
    x = leaf(T)
    y = (x * x).sum()
    y.backward()
    y.backward()


@refused
def a_second_backward_through_a_shared_part(T):
    x = leaf(T)
    h = x.exp()
    h.sum().backward()
    (h * 2).sum().backward()


@refused
def saved_tensors_after_release(T):
    x = leaf(T)
    y = (x * x).sum()
    T.autograd.grad(y, x)
    T.autograd.grad(y, x)


@refused
def no_graph(T):
    T.ones(1).backward()


@refused
def no_graph_after_detach(T):
    (leaf(T) * 2).detach().sum().backward()


@refused
def several_elements(T):
    (leaf(T) * 2).backward()


@refused
def a_gradient_of_another_shape(T):
    (leaf(T) * 2).backward(T.ones(2))


@refused
def a_gradient_that_is_no_tensor(T):
    (leaf(T) * 2).sum().backward(1.0)


@refused
def unused_input(T):
    T.autograd.grad(leaf(T).sum(), leaf(T))


@refused
def input_without_gradient(T):
    T.autograd.grad(leaf(T).sum(), T.ones(3))


@refused
def no_inputs(T):
    T.autograd.grad(leaf(T).sum(), [])


@refused
def no_inputs_to_backward(T):
    leaf(T).sum().backward(inputs=[])


@refused
def fewer_gradients_than_roots(T):
    x = leaf(T)
    T.autograd.backward([x.sum(), x.sum()], [T.tensor(1.0)])


@refused
def an_integer_that_requires_grad(T):
    T.tensor([1, 2]).requires_grad_()


@refused
def an_integer_made_to_require_grad(T):
    T.ones(2, dtype=T.int64, requires_grad=True)


@refused
def switching_off_what_is_computed(T):
    (leaf(T) * 2).requires_grad_(False)


@refused
def a_hook_without_gradient(T):
    T.ones(2).register_hook(print)


@refused
def a_post_hook_of_a_result(T):
    (leaf(T) * 2).register_post_accumulate_grad_hook(print)


@refused
def a_kept_gradient_without_graph(T):
    T.ones(2).retain_grad()


@refused
def a_hook_that_changes_the_shape(T):
    x = leaf(T)
    y = x * 2
    y.register_hook(lambda g: g[:2])
    y.sum().backward()


@refused
def a_hook_that_returns_a_number(T):
    x = leaf(T)
    y = x * 2
    y.register_hook(lambda _: 3.0)
    y.sum().backward()


@refused
def a_gradient_by_hand_of_another_shape(T):
    leaf(T).grad = T.ones(2)


@refused
def a_gradient_by_hand_of_another_dtype(T):
    leaf(T).grad = T.ones(3, dtype=T.float64)


@refused
def a_gradient_by_hand_that_is_no_tensor(T):
    leaf(T).grad = 3.0


@refused
def numpy_of_what_requires_grad(T):
    leaf(T).numpy()


@refused
def a_deep_copy_of_a_result(T):
    copy.deepcopy(leaf(T) * 2)


@refused
def an_inference_tensor_saved_for_backward(T):
    x = leaf(T)
    with T.inference_mode():
        y = T.ones(3)
    x * y


@refused
def an_inference_tensor_that_requires_grad(T):
    with T.inference_mode():
        y = T.ones(3)
    y.requires_grad_()


def hooked(T, before, hook):
    """A node's hook that returns what it shouldn't; the gradient would be wrong, not refused."""
    y = leaf(T) * 2
    register = y.grad_fn.register_prehook if before else y.grad_fn.register_hook
    register(lambda *grads: hook(grads[0]))
    y.backward(T.tensor([1.0, 2.0, 3.0]))


@refused
def a_prehook_that_returns_a_tensor(T):
    hooked(T, True, lambda grads: grads[0])


@refused
def a_prehook_that_returns_too_many(T):
    hooked(T, True, lambda grads: (grads[0], grads[0]))


@refused
def a_prehook_that_returns_none_at_all(T):
    hooked(T, True, lambda _: ())


@refused
def a_prehook_that_returns_a_number(T):
    hooked(T, True, lambda _: (2.0,))


@refused
def a_prehook_that_changes_the_shape(T):
    hooked(T, True, lambda grads: (grads[0][:1],))


@refused
def a_nodes_hook_that_returns_a_tensor(T):
    hooked(T, False, lambda grads: grads[0])


@refused
def a_nodes_hook_that_returns_too_many(T):
    hooked(T, False, lambda grads: (*grads, None))


@refused
def a_nodes_hook_that_returns_a_number(T):
    hooked(T, False, lambda grads: (2.0, *grads[1:]))


@refused
def gradients_of_a_number(T):
    T.autograd.grad(leaf(T).sum(), [3])


@refused
def backward_to_a_number(T):
    leaf(T).sum().backward(inputs=[3])


@refused
def backward_to_what_requires_no_gradient(T):
    leaf(T).sum().backward(inputs=[T.ones(3)])


@refused.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script, (RuntimeError, ValueError, TypeError))


@refused.each
def test_refused_without_pytorch(script):
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        script(lucidlite)
