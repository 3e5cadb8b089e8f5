"""Hooks, and the modes in which operations are recorded or not, beside PyTorch."""

from __future__ import annotations

import threading

import pytest
from agreement import Scripts, agree, leaf

import lucidlite

works = Scripts()


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
        with T.inference_mode(mode=False):
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


@works
def backward_to_a_generators_tensors(T):
    layer, x = T.nn.Linear(3, 1), leaf(T)
    loss = (layer(x) * 0).sum() + sum((p * p).sum() for p in layer.parameters())
    loss.backward(inputs=layer.parameters())
    return [x.grad, *(p.grad is not None for p in layer.parameters())]


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script)


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_runs_without_pytorch(script):
    script(lucidlite)


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


def test_a_hook_must_be_callable():
    with pytest.raises(TypeError, match="a hook must be callable, got hook=3"):
        leaf(lucidlite).register_hook(3)
    with pytest.raises(TypeError, match="callable"):
        (leaf(lucidlite) * 2).grad_fn.register_hook(3)
