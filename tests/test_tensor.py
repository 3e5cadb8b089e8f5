"""The tensor as an object: copies, pickles, attributes and what Python asks of it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from agreement import Scripts, agree

import lucidlite

works, refused = Scripts(), Scripts()


def leaf(T):
    return T.tensor([1.0, 2.0, 3.0], requires_grad=True)


@works
def facts(T):
    x = T.ones(2, 3, dtype=T.float64, device="cpu")
    return [
        tuple(x.shape),
        x.ndim,
        x.numel(),
        x.dim(),
        len(x),
        x.is_leaf,
        x.grad,
        x.is_cuda,
        x.itemsize,
        x.nbytes,
        repr(x.dtype),
        x.device.type,
        x.shape.numel(),
        x.size(-1),
        tuple(x.stride()),
    ]


@works
def unpacked(T):
    a, b = T.tensor([[1, 2], [3, 4]])
    return [a, b, [int(v) for v in T.arange(3)], list(T.zeros(0))]


@works
def numbers(T):
    x = T.tensor([2.5])
    return [
        float(x),
        int(x),
        bool(x),
        complex(x),
        x.item(),
        f"{x.item():.1f}",
        round(float(x), 1),
        [10, 20, 30][T.tensor(1)],
        2.5 in x,
        T.tensor(3).__index__(),
    ]


@works
def conditions(T):
    x = T.tensor([1.0, 2.0])
    return [
        bool((x > 0).all()),
        bool((x > 1).any()),
        "yes" if T.tensor(1) else "no",
        not T.tensor([0]),
    ]


@works
def data_shares_memory_and_version(T):
    x = leaf(T)
    d = x.data
    d.mul_(2)
    return [x.detach(), d.requires_grad, x.is_leaf, d.data_ptr() == x.data_ptr()]


@works
def data_replaced(T):
    x = leaf(T)
    x.data = T.zeros(2, 2)
    (x * x + x).sum().backward()
    return [x.detach(), x.grad, x.requires_grad, x.is_leaf]


@works
def cut_in_place(T):
    x = leaf(T)
    y = x * 2
    y.detach_()
    return [y, y.requires_grad, y.is_leaf, y.grad_fn]


@works
def copied(T):
    x = leaf(T)
    x.grad = T.ones(3)
    a, b = copy.copy(x), copy.deepcopy(x)
    with T.no_grad():
        x.mul_(5)
    return [
        a.detach(),
        b.detach(),
        b.grad,
        b.grad is x.grad,
        a.requires_grad,
        b.requires_grad,
        b.is_leaf,
    ]


@works
def a_deep_copy_keeps_what_was_shared(T):
    x = T.ones(2)
    a, b = copy.deepcopy([x, x])
    return [a is b, a is x]


@works
def hashed_by_identity(T):
    x, y = T.ones(2), T.ones(2)
    table = {x: 1, y: 2}
    return [len(table), table[x], x in [x]]


@works
def sizes(T):
    size = T.zeros(2, 3).size()
    return [size[0], tuple(size[1:]), size == (2, 3), list(size), size.numel(), tuple(size[:1])]


@refused
def truth_of_several(T):
    bool(T.ones(2))


@refused
def truth_of_none(T):
    bool(T.ones(0))


@refused
def a_number_of_several(T):
    float(T.ones(2))


@refused
def an_item_of_several(T):
    T.ones(2).item()


@refused
def an_index_of_a_float(T):
    [1, 2][T.tensor(1.0)]


@refused
def the_length_of_a_number(T):
    len(T.tensor(1))


@refused
def walking_over_a_number(T):
    iter(T.tensor(1))


@refused
def an_unknown_attribute(T):
    return T.ones(2).no_such_thing


@refused
def arithmetic_with_words(T):
    T.ones(2) + "a"


@refused
def numpy_of_what_requires_grad(T):
    np.asarray(leaf(T))


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_as_in_pytorch(script):
    agree(script)


@refused.each
def test_refused_as_in_pytorch(script):
    agree(script)


@works.each
def test_runs_without_pytorch(script):
    script(lucidlite)


@refused.each
def test_refused_without_pytorch(script):
    with pytest.raises((RuntimeError, TypeError, ValueError, AttributeError)):
        script(lucidlite)


def test_tensors_are_not_pickled():
    """A pickle may run anything when it is loaded; files have a format of their own."""
    with pytest.raises(TypeError, match=r"use lucidlite\.save"):
        pickle.dumps(lucidlite.ones(2))


def test_numpy_hands_arithmetic_over():
    x = lucidlite.tensor([1.0, 2.0])
    host = np.array([3.0, 4.0], np.float32)
    for result in (host + x, x + host, host * x, host - x, host / x, host**x, host @ x):
        assert isinstance(result, lucidlite.Tensor)
    assert (host - x).tolist() == [2.0, 2.0]
    assert (np.float32(3) - x).tolist() == [2.0, 1.0]
    assert isinstance(np.float64(2) * x, lucidlite.Tensor)
    assert (np.float64(2) * x).dtype is lucidlite.float32


def test_arrays_come_out():
    x = lucidlite.tensor([1.0, 2.0])
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy())
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.mean(x.numpy()) == 1.5
    assert x.numpy(force=True).tolist() == [1.0, 2.0]
