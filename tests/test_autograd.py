"""Backward passes of any order, hooks, modes and the errors of the engine, beside PyTorch."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from agreement import Scripts, agree

import lucidlite
from lucidlite import nn
from lucidlite.autograd import gradcheck, gradgradcheck

works, refused = Scripts(), Scripts()


def leaf(T, *values):
    return T.tensor(list(values) or [1.0, 2.0, 3.0], requires_grad=True)


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


# -- higher order ----------------------------------------------------------------------------------


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


# -- hooks -----------------------------------------------------------------------------------------


@works
def hook_of_a_leaf(T):
    x, seen = leaf(T), []
    x.register_hook(lambda g: seen.append(g.clone()))
    (x * 2 + x * 3).sum().backward()
    return [*seen, x.grad]


@works
def hook_of_an_intermediate(T):
    x, seen = leaf(T), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.clone()))
    (y * 3 + y * y).sum().backward()
    return [*seen, x.grad]


@works
def hooks_replace_in_turn(T):
    x, order = leaf(T), []
    y = x * 2

    def named(name, factor):
        def hook(g):
            order.append(name)
            return None if factor is None else g * factor

        return hook

    y.register_hook(named("a", 2))
    y.register_hook(named("b", None))
    y.register_hook(named("c", 5))
    x.register_hook(named("d", -1))
    y.sum().backward()
    return [*order, x.grad]


@works
def hook_removed(T):
    x = leaf(T)
    handle = x.register_hook(lambda g: g * 10)
    (x * 1).sum().backward()
    handle.remove()
    handle.remove()
    (x * 1).sum().backward()
    return x.grad


@works
def hook_removed_by_itself(T):
    x, seen = leaf(T), []
    y = x * 2

    def once(g):
        seen.append(g.clone())
        handle.remove()

    handle = y.register_hook(once)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    return [*seen, x.grad]


@works
def hook_as_a_context(T):
    x = leaf(T)
    with x.register_hook(lambda g: g * 10):
        (x * 1).sum().backward()
    (x * 1).sum().backward()
    return x.grad


@works
def hooks_run_for_grad_too(T):
    x = leaf(T)
    y = x * 2
    x.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g * 7)
    return T.autograd.grad(y.sum(), [x])


@works
def hooks_run_before_a_result_is_taken(T):
    x = leaf(T)
    y = x * 2
    y.register_hook(lambda g: g * 7)
    return T.autograd.grad(y.sum(), [y])


@works
def kept_gradients(T):
    x = leaf(T)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    z = y * y
    z.retain_grad()
    z.sum().backward()
    return y.grad, z.grad, x.grad, y.retains_grad, x.retains_grad


@works
def kept_gradient_sees_hooks(T):
    x = leaf(T)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 100)
    y.sum().backward()
    return y.grad, x.grad


@works
def kept_gradients_accumulate(T):
    x = leaf(T)
    y = x * 2
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    return y.grad, x.grad


@works
def post_accumulate_hook(T):
    x, seen = leaf(T), []
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.clone()))
    (x * 2 + x * 3).sum().backward()
    (x * 2).sum().backward()
    return [*seen, x.grad]


@works
def post_accumulate_hook_steps(T):
    x = leaf(T)

    def step(parameter):
        with T.no_grad():
            parameter -= 0.1 * parameter.grad
        parameter.grad = None

    handle = x.register_post_accumulate_grad_hook(step)
    (x * x).sum().backward()
    (x * x).sum().backward()
    handle.remove()
    (x * x).sum().backward()
    return x.detach(), x.grad


@works
def hooks_of_nodes(T):
    x, order = leaf(T), []
    y = x * 2
    node = y.grad_fn

    def before(grads):
        order.append(("pre", len(grads)))
        return (grads[0] * 3,)

    def after(ins, outs):
        order.append(("post", len(ins), outs[0].clone()))
        return (ins[0] * 5, *ins[1:])

    node.register_prehook(before)
    node.register_hook(after)
    y.register_hook(lambda g: order.append("tensor") or g * 7)
    y.sum().backward()
    return [*order, x.grad]


@works
def hook_on_a_view(T):
    x, seen = leaf(T), []
    y = x * 2
    v = y[1:]
    v.register_hook(lambda g: seen.append(g.clone()))
    (v * 3 + y[:2]).sum().backward()
    return [*seen, x.grad]


@works
def hook_with_create_graph(T):
    x = leaf(T)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = T.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    return g.detach(), x.grad


# -- modes -----------------------------------------------------------------------------------------


@works
def modes(T):
    x = leaf(T)
    seen = [T.is_grad_enabled()]
    with T.no_grad():
        seen += [T.is_grad_enabled(), (x * 2).requires_grad]
        with T.enable_grad():
            seen += [T.is_grad_enabled(), (x * 2).requires_grad]
        seen.append(T.is_grad_enabled())
        made = T.ones(2, requires_grad=True)
    seen += [T.is_grad_enabled(), made.requires_grad]
    with T.set_grad_enabled(False):
        seen.append(T.is_grad_enabled())
    T.set_grad_enabled(False)
    seen.append(T.is_grad_enabled())
    T.set_grad_enabled(True)
    return [*seen, T.is_grad_enabled()]


@works
def modes_as_decorators(T):
    x = leaf(T)

    @T.no_grad()
    def quiet(y):
        return (y * 2).requires_grad

    @T.no_grad
    def quieter(y):
        return (y * 2).requires_grad

    @T.set_grad_enabled(False)
    def off(y):
        return (y * 2).requires_grad

    @T.enable_grad()
    def on(y):
        return (y * 2).requires_grad

    with T.no_grad():
        inside = on(x)
    return [quiet(x), quieter(x), off(x), inside, T.is_grad_enabled(), quiet.__name__]


@works
def modes_end_with_exceptions(T):
    try:
        with T.no_grad():
            raise KeyError
    except KeyError:
        return T.is_grad_enabled()


@works
def a_generator_keeps_its_mode(T):
    @T.no_grad()
    def values():
        yield T.is_grad_enabled()
        yield T.is_grad_enabled()

    found = []
    for value in values():
        found += [value, T.is_grad_enabled()]
    return found


@works
def inference(T):
    x = leaf(T)
    with T.inference_mode():
        y = x * 2
        v = x.view(3)
        seen = [T.is_grad_enabled(), T.is_inference_mode_enabled()]
        seen += [y.requires_grad, y.is_inference()]
        y.add_(1)
        with T.inference_mode(False):
            seen.append(T.is_inference_mode_enabled())
    z = y.clone()
    seen += [z.is_inference(), y[0].is_inference(), v.is_inference(), (y + 1).requires_grad]
    (x * z).sum().backward()
    return [*seen, x.grad]


@works
def gradients_of_modes(T):
    x = leaf(T)
    y = x * 2
    with T.no_grad():
        z = y * 3
    (y + z).sum().backward()
    return x.grad


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


# -- what is refused -------------------------------------------------------------------------------


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
    import copy

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


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script)


@refused.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_refused_as_in_pytorch(script):
    agree(script, (RuntimeError, ValueError, TypeError))


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_runs_without_pytorch(script):
    script(lucidlite)


@refused.each
def test_refused_without_pytorch(script):
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        script(lucidlite)


# -- beyond PyTorch's word -------------------------------------------------------------------------


def test_modes_belong_to_their_thread():
    seen = []
    with lucidlite.no_grad():
        thread = threading.Thread(target=lambda: seen.append(lucidlite.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_mode_may_be_entered_again():
    """One object, nested: PyTorch forgets what was before."""
    mode = lucidlite.no_grad()
    with mode:
        with mode:
            assert not lucidlite.is_grad_enabled()
        assert not lucidlite.is_grad_enabled()
    assert lucidlite.is_grad_enabled()


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


def test_backward_inside_a_hook():
    x = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    other = lucidlite.tensor([3.0], requires_grad=True)
    y = x * 2

    @lucidlite.enable_grad()
    def hook(_):
        (other * other).sum().backward()

    y.register_hook(hook)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert other.grad.tolist() == [6.0]


def test_an_error_in_backward_leaves_the_modes():
    x = lucidlite.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert lucidlite.is_grad_enabled()
    with lucidlite.no_grad():
        z = x * 3
    assert not z.requires_grad


def test_gradient_of_a_view_is_no_view_of_what_came_in():
    x, g = leaf(lucidlite), lucidlite.ones(3)
    x.view(3).backward(g)
    x.grad.mul_(5)
    assert g.tolist() == [1.0, 1.0, 1.0]


def test_a_hook_must_be_callable():
    with pytest.raises(TypeError, match="a hook must be callable, got hook=3"):
        leaf(lucidlite).register_hook(3)
    with pytest.raises(TypeError, match="callable"):
        (leaf(lucidlite) * 2).grad_fn.register_hook(3)


def test_reruns_are_bit_equal():
    def run():
        lucidlite.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
        )
        model(lucidlite.randn(5, 2, 6, 6)).logsumexp(1).sum().backward()
        return [p.grad.numpy().tobytes() for p in model.parameters()]

    assert run() == run()


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


def test_numpy_operands_come_second():
    x = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    y = np.array([3.0, 4.0], np.float32) * x + np.float32(2)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
