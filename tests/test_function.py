"""autograd.Function: operations with a gradient of one's own, beside PyTorch."""

from __future__ import annotations

import gc
import weakref

import pytest
from agreement import Scripts, agree, function, leaf

import lucidlite

works = Scripts()


@works
def one_in_one_out(T):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * 10

    x = leaf(T)
    y = function(T, forward, backward).apply(x)
    y.sum().backward()
    return x.grad, y.detach(), type(y.grad_fn).__name__, y.requires_grad, y.is_leaf


@works
def several_outputs(T):
    def backward(_ctx, a, b):
        return a * 2 + b * 3

    mine = function(T, lambda _, x: (x * 2, x * 3), backward)
    x = leaf(T)
    y, z = mine.apply(x)
    (y * z).sum().backward()
    u = leaf(T)
    mine.apply(u)[1].sum().backward()  # the first goes unused: zeros come in
    return x.grad, u.grad


@works
def unused_outputs_as_none(T):
    seen = []

    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    def backward(_ctx, a, b):
        seen.append((a is None, b is None))
        return b * 3

    x = leaf(T)
    function(T, forward, backward).apply(x)[1].sum().backward()
    return [x.grad, *seen]


@works
def no_gradient_for_some(T):
    def forward(ctx, x, n, w, _name):
        ctx.n = n
        return x * n + w

    def backward(ctx, g):
        return g * ctx.n, None, None, None

    x, w = leaf(T), leaf(T)
    function(T, forward, backward).apply(x, 4, w, "name").sum().backward()
    return x.grad, w.grad


@works
def needs_input_grad(T):
    seen = []

    def backward(ctx, g):
        seen.append(ctx.needs_input_grad)
        return g, g, None

    mine = function(T, lambda _, x, y, _n: x + y, backward)
    x, y = leaf(T), T.ones(3)
    mine.apply(x, y, 3).sum().backward()
    mine.apply(y, x, 3).sum().backward()
    return [*seen, x.grad]


@works
def outputs_without_gradient(T):
    def forward(ctx, x):
        i = x.argmax()
        y = x * 2
        ctx.mark_non_differentiable(i, y)
        return x * 3, i, y

    x = leaf(T)
    a, i, b = function(T, forward, lambda _, g, *__: g * 3).apply(x)
    a.sum().backward()
    return x.grad, i, b, a.requires_grad, i.requires_grad, b.requires_grad


@works
def other_values_among_the_outputs(T):
    x = leaf(T)
    y, text, n = function(T, lambda _, x: (x * 2, "text", 3), lambda _, g, *__: g * 2).apply(x)
    y.sum().backward()
    return x.grad, text, n


@works
def a_saved_output(T):
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y

    x = leaf(T)
    y = function(T, forward, backward).apply(x)
    (g,) = T.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    return g.detach(), x.grad


@works
def saved_things_of_all_kinds(T):
    def forward(ctx, x, w):
        y = x * w
        ctx.save_for_backward(x, None, y, w.detach() + 1)
        return y, x + w

    def backward(ctx, a, b):
        x, nothing, y, extra = ctx.saved_tensors
        assert nothing is None
        return a * y + b, b * extra * x

    x, w = leaf(T), leaf(T, 2.0, 3.0, 4.0)
    y, z = function(T, forward, backward).apply(x, w)
    (y + z * 2).sum().backward()
    return x.grad, w.grad


@works
def second_order(T):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2

    x = leaf(T)
    y = function(T, forward, backward).apply(x)
    (g,) = T.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = T.autograd.grad(g.sum(), x, create_graph=True)
    h.sum().backward()
    return g.detach(), h.detach(), x.grad


@works
def written_in_place(T):
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x

    x = leaf(T)
    y = x * 2
    z = function(T, forward, lambda _, g: g * 3).apply(y)
    (z * z.detach()).sum().backward()
    return x.grad, y.detach(), z is y, y._version, type(y.grad_fn).__name__


@works
def forward_is_not_recorded(T):
    seen = []

    def forward(_ctx, x):
        seen.append(T.is_grad_enabled())
        y = x * 2
        seen.append(y.requires_grad)
        return y

    x = leaf(T)
    function(T, forward, lambda _, g: g * 2).apply(x).sum().backward()
    return [*seen, x.grad]


@works
def backward_follows_create_graph(T):
    seen = []

    def backward(_ctx, g):
        seen.append(T.is_grad_enabled())
        return g * 2

    mine = function(T, lambda _, x: x * 2, backward)
    x = leaf(T)
    y = mine.apply(x).sum()
    T.autograd.grad(y, x, retain_graph=True)
    T.autograd.grad(y, x, create_graph=True)
    return seen


@works
def without_gradients(T):
    mine = function(T, lambda _, x: x * 2, lambda _, g: g * 2)
    x = leaf(T)
    with T.no_grad():
        y = mine.apply(x)
    z = mine.apply(T.ones(3))
    return y, z, y.requires_grad, z.requires_grad


@works
def an_input_returned(T):
    x = leaf(T)
    y = x * 1
    z = function(T, lambda _, a: a, lambda _, g: g * 5).apply(y)
    z.sum().backward()
    return x.grad, z is y


@works
def setup_apart_from_forward(T):
    def setup_context(ctx, inputs, output):
        x, n = inputs
        ctx.save_for_backward(x, output)
        ctx.n = n

    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * x * ctx.n + y * 0, None

    x = leaf(T)
    mine = function(T, lambda x, n: x * n, backward, setup_context=setup_context)
    mine.apply(x, 3).sum().backward()
    return x.grad


@works
def gradients_broadcast_by_hand(T):
    x = leaf(T)
    mine = function(T, lambda _, x: x.sum(), lambda _, g: g.expand(3))
    (mine.apply(x) * 2).backward()
    return x.grad


@works
def more_gradients_than_inputs_if_none(T):
    x = leaf(T)
    function(T, lambda _, x: x * 1, lambda _, g: (g, None, None)).apply(x).sum().backward()
    return x.grad


@works
def nested(T):
    inner = function(T, lambda _, x: x * 2, lambda _, g: g * 2)
    outer = function(T, lambda _, x: inner.apply(x) * 3, lambda _, g: inner.apply(g) * 3)
    x = leaf(T)
    outer.apply(x).sum().backward()
    return x.grad


@works
def hooks_on_the_result(T):
    x, seen = leaf(T), []
    y = function(T, lambda _, x: x * 2, lambda _, g: g * 2).apply(x)
    y.register_hook(lambda g: seen.append(g.clone()) or g * 10)
    y.sum().backward()
    return [*seen, x.grad]


@works
def a_gradient_of_another_dtype(T):
    x = leaf(T)
    function(T, lambda _, x: x * 1, lambda _, g: g.double()).apply(x).sum().backward()
    return x.grad


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script)


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_runs_without_pytorch(script):
    script(lucidlite)


def test_graph_with_saved_outputs_is_freed():
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(x, y)
        return y

    mine = function(lucidlite, forward, lambda ctx, g: g * ctx.saved_tensors[1])
    gc.disable()
    try:
        x = leaf(lucidlite)
        y = mine.apply(x * 1)
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_the_message_names_the_function_and_the_line():
    mine = function(lucidlite, lambda _, x: x * 1, lambda _, g: (g, g))
    y = mine.apply(leaf(lucidlite)).sum()
    with pytest.raises(RuntimeError, match=r"Mine\.backward returned an incorrect number") as info:
        y.backward()
    assert "test_function.py" in str(info.value)
