"""What autograd.Function refuses, with PyTorch's classes of exceptions."""

from __future__ import annotations

import pytest
from agreement import Scripts, agree, function, leaf

import lucidlite

refused = Scripts()


@refused
def too_few_gradients(T):
    mine = function(T, lambda _, x, y: x * y, lambda _, g: g)
    mine.apply(leaf(T), leaf(T)).sum().backward()


@refused
def too_many_gradients(T):
    mine = function(T, lambda _, x: x * 1, lambda _, g: (g, g))
    mine.apply(leaf(T)).sum().backward()


@refused
def a_gradient_of_another_shape(T):
    mine = function(T, lambda _, x: x * 1, lambda _, g: g[:2])
    mine.apply(leaf(T)).sum().backward()


@refused
def a_gradient_for_a_number(T):
    mine = function(T, lambda _, x, n: x * n, lambda _, g: (g, g))
    mine.apply(leaf(T), 3).sum().backward()


@refused
def a_gradient_that_is_no_tensor(T):
    mine = function(T, lambda _, x: x * 1, lambda _, _g: 3.0)
    mine.apply(leaf(T)).sum().backward()


@refused
def a_number_saved(T):
    def forward(ctx, x):
        ctx.save_for_backward(3)
        return x * 1

    function(T, forward, lambda _, g: g).apply(leaf(T))


@refused
def a_saved_input_changed(T):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 1

    y = leaf(T) * 2
    z = function(T, forward, lambda ctx, g: g * ctx.saved_tensors[0]).apply(y)
    y.add_(1)
    z.sum().backward()


@refused
def saved_tensors_after_release(T):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 1

    z = function(T, forward, lambda ctx, g: g * ctx.saved_tensors[0]).apply(leaf(T)).sum()
    z.backward()
    z.backward()


@refused
def a_leaf_written_in_place(T):
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    function(T, forward, lambda _, g: g).apply(leaf(T))


@refused
def no_forward(T):
    type("Mine", (T.autograd.Function,), {}).apply(leaf(T))


@refused
def no_backward(T):
    body = {"forward": staticmethod(lambda _, x: x * 1)}
    type("Mine", (T.autograd.Function,), body).apply(leaf(T)).sum().backward()


@refused
def an_error_in_backward(T):
    def backward(_ctx, _g):
        raise KeyError("mine")

    function(T, lambda _, x: x * 1, backward).apply(leaf(T)).sum().backward()


@refused.each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_in_pytorch(script):
    agree(script, (RuntimeError, TypeError, KeyError))


@refused.each
def test_refused_without_pytorch(script):
    with pytest.raises((RuntimeError, TypeError, KeyError)):
        script(lucidlite)
