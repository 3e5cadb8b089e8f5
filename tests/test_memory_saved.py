"""What nodes keep for backward, for how long, and what is not kept at all."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from layout_cases import share_memory

import lucidlite
from lucidlite import nn
from lucidlite.backends import default_backend

F = nn.functional


def leaf(*shape):
    return lucidlite.from_numpy(np.random.default_rng(0).standard_normal(shape)).requires_grad_()


# -- what is kept for backward ---------------------------------------------------------------------


def test_activations_go_as_backward_passes():
    """At the first layer, what the later layers kept is gone already."""
    x = leaf(50)
    arrays, left = [], []
    y = x * 1
    y.register_hook(lambda _: left.append([a() is not None for a in arrays]))
    for _ in range(5):
        y = lucidlite.tanh(y * 2.0)
        arrays.append(weakref.ref(y.array))
    loss = y.sum()
    del y
    loss.backward()
    assert left == [[False] * 5]


def test_retain_graph_keeps_activations():
    x = leaf(50)
    y = lucidlite.tanh(x * 2.0)
    node = y.grad_fn
    y.sum().backward(retain_graph=True)
    assert node.saved_bytes() == y.nbytes
    y.sum().backward()
    assert node.saved_bytes() == 0


def test_activations_nobody_saved_die_at_once():
    x = leaf(50)
    y = x + 1
    array = weakref.ref(y.array)
    z = y + 2
    del y
    assert array() is None
    assert z.requires_grad


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda x: x + 1.0, 0),
        (lambda x: x - x, 0),
        (lambda x: x.sum(), 0),
        (lambda x: x.view(-1), 0),
        (lambda x: x.permute(1, 0, 2, 3), 0),
        (lambda x: x * 3.0, 8),
        (lambda x: x * x.detach(), 1),
        (lambda x: x * x, 2),
        (lambda x: x.exp(), 1),
        (lambda x: lucidlite.relu(x), 1),
        (lambda x: lucidlite.softmax(x, 1), 1),
        (lambda x: x.clone(), 0),
        (lambda x: F.avg_pool2d(x, 2), 0),
        (lambda x: x.mean(), 0),
        (lambda x: x[1:], 0),
        (lambda x: lucidlite.cat([x, x]), 0),
    ],
)
def test_saved_bytes(make, expected):
    x = leaf(2, 3, 4, 4)
    node = make(x).grad_fn
    assert node.saved_bytes() == (expected if expected > 4 else expected * x.nbytes)


def test_saved_bytes_of_kernels():
    x, w = leaf(2, 4, 8, 8), leaf(6, 4, 3, 3)
    pooled = F.max_pool2d(x, 2)
    assert pooled.grad_fn.saved_bytes() == pooled.numel()  # one byte a window
    conv = F.conv2d(x, w, padding=1)
    # the input and the weight, and the kernel's transform of the input at most
    assert x.nbytes + w.nbytes <= conv.grad_fn.saved_bytes() <= 4 * x.nbytes + w.nbytes
    out = F.batch_norm(x, None, None, training=True)
    assert x.nbytes <= out.grad_fn.saved_bytes() <= x.nbytes + 64 * 4
    for result in (pooled, conv, out):
        node = result.grad_fn
        result.sum().backward()
        assert node.saved_bytes() == 0


def test_in_place_relu_saves_its_own_memory():
    x = leaf(10)
    y = x + 1
    before = y.array
    y.relu_()
    assert y.array is before
    (saved,) = y.grad_fn.saved_tensors
    assert share_memory(saved.array, before)


# -- no state where nobody asks --------------------------------------------------------------------


class Keeps:
    """What the kernels were told to keep."""

    def __init__(self, monkeypatch):
        self.asked = []
        for name, place in (("conv2d", 5), ("max_pool2d", 2), ("cross_entropy", 4)):
            plain = getattr(type(default_backend()), name)

            def spy(backend, *args, plain=plain, name=name, place=place):
                self.asked.append((name, args[place]))
                return plain(backend, *args)

            monkeypatch.setattr(type(default_backend()), name, spy)


@pytest.fixture
def keeps(monkeypatch):
    return Keeps(monkeypatch)


def kernels(x, w, b):
    y = F.max_pool2d(F.conv2d(x, w, b), 2)
    return F.cross_entropy(y.flatten(1), lucidlite.zeros(2, dtype=lucidlite.int64))


def test_state_is_kept_for_a_gradient(keeps):
    kernels(leaf(2, 2, 5, 5), leaf(3, 2, 2, 2), leaf(3))
    assert keeps.asked == [("conv2d", True), ("max_pool2d", True), ("cross_entropy", True)]


def test_no_state_without_gradients(keeps):
    x, w, b = leaf(2, 2, 5, 5), leaf(3, 2, 2, 2), leaf(3)
    with lucidlite.no_grad():
        kernels(x, w, b)
    kernels(x.detach(), w.detach(), b.detach())
    with lucidlite.inference_mode():
        kernels(x, w, b)
    assert {kept for _, kept in keeps.asked} == {False}


def test_no_state_for_a_gradient_nobody_needs(keeps):
    kernels(leaf(2, 2, 5, 5).detach(), leaf(3, 2, 2, 2).detach(), leaf(3))
    assert keeps.asked[0] == ("conv2d", False)


def test_operands_nobody_needs_are_not_saved():
    x, y = leaf(20), leaf(20)
    frozen = y.detach()
    reference = weakref.ref(x.array)
    product = (x * 1) * frozen
    assert product.grad_fn.saved_bytes() == frozen.nbytes
    del x, product
    assert reference() is None


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_convolution_saves_no_images(frozen):
    x, w = leaf(2, 4, 8, 8), leaf(6, 4, 3, 3)
    node = F.conv2d(x, w.detach() if frozen else w).grad_fn
    assert (node.saved_bytes() < x.nbytes) == frozen


def test_a_frozen_layer_saves_no_input():
    weight = leaf(5, 20).detach()
    assert F.linear(leaf(30, 20), weight).grad_fn.saved_bytes() == weight.nbytes


def test_nothing_is_recorded_without_gradients():
    x = leaf(3)
    with lucidlite.no_grad():
        y = (x * 2).exp().sum()
    assert y.grad_fn is None
    assert not y.requires_grad
    assert (x.detach() * 2).grad_fn is None
