"""What must not happen in a training step, counted without a clock.

Each bound is the count as it is and some room; for each, a change that a careless hand might make
is shown to break it. Counts are those of two threads' work, done by one.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from counting import (
    Training,
    calls_of,
    in_one_thread,
    kernel_calls,
    order_copies,
    peak_of,
    products,
    share,
)

import lucidlite
from lucidlite import callsite, nn, tape
from lucidlite.backends import cpu
from lucidlite.backends.kernels import hwnc

F = nn.functional
BATCH = 24  # a size that nothing else has
NETS = ["CNNWithGAP", "LeNet", "ResNet8"]


@pytest.fixture(autouse=True)
def alone():
    with in_one_thread():
        yield


@pytest.fixture(params=NETS)
def training(request):
    return Training(request.param, BATCH).warmed()


def name_of(training):
    return type(training.model).__name__


def slower(name, change):
    """A kernel of the CPU replaced by ``change(it)``."""
    return mock.patch.object(type(cpu), name, change(getattr(type(cpu), name)))


# -- copies for the sake of order ------------------------------------------------------------------

# The numbers an image that are copied into another memory order in a step: the user's image, in
# forward and backward, and around LeNet's flatten. A broadcast gradient may be written out.
COPIED = {
    "CNNWithGAP": 2 * 3 * 32 * 32 + 256 * 4 * 4,
    "LeNet": 2 * 28 * 28 + 2 * 64 * 7 * 7,
    "ResNet8": 2 * 3 * 32 * 32 + 64 * 8 * 8,
}


def copied(training):
    with order_copies() as made:
        training.step()
    return sum(int(np.prod(shape)) for shape in made if BATCH in shape)


def test_images_are_not_copied_for_order(training):
    assert copied(training) <= BATCH * COPIED[name_of(training)]


def row_major(kernel):
    def relu(backend, x):
        return np.ascontiguousarray(kernel(backend, x))

    return relu


def test_a_kernel_that_leaves_the_order_is_noticed(training):
    with slower("relu", row_major):
        assert copied(training) > 2 * BATCH * COPIED[name_of(training)]


# -- memory ----------------------------------------------------------------------------------------

# MiB at the peak of a step, above what there was before it.
PEAK = {"CNNWithGAP": 32.0, "LeNet": 8.5, "ResNet8": 20.0}


def peak(training):
    return peak_of(training.step) / 2**20


def test_memory_of_a_step(training):
    assert peak(training) <= PEAK[name_of(training)]


def hoarding(kernel):
    """As if a kernel kept its input and its result once more."""

    def conv2d(backend, x, *args):
        y, state = kernel(backend, x, *args)
        return y, (state, x.copy(), y.copy())

    def backward(backend, g, x, w, state, *args):
        return kernel(backend, g, x, w, state[0], *args)

    return backward if "backward" in kernel.__name__ else conv2d


def test_memory_that_is_kept_is_noticed(training):
    with slower("conv2d", hoarding), slower("conv2d_backward", hoarding):
        assert peak(training) > PEAK[name_of(training)]


# In sizes of the input, what an operation on a large one may take forward and backward, with its
# result. Of a function of F the name says it.
LARGE = {
    **dict.fromkeys(
        ("silu", "elu", "selu", "celu", "hardswish", "hardsigmoid", "mish", "softplus",
         "leaky_relu", "logsigmoid", "sigmoid", "gelu", "softshrink"),
        (None, 1.5, 2),
    ),
    "cummax": (lambda x: lucidlite.cummax(x, 1)[0], 6, 5),
    # Written plainly it takes 4 forward: a number for each pair of rows and each column.
    "cdist": (lambda x: lucidlite.cdist(x[:, :16], x[:256, :16], 1.0), 1.5, 4),
    "embedding": (lambda x: F.embedding(lucidlite.arange(1024) % 7, x), 1.1, 1.5),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_memory_of_an_op(name):
    """No array of temporary numbers as large as the input: they are made a block at a time."""
    op, forward, backward = LARGE[name]
    op = op or getattr(F, name)
    x = lucidlite.randn(1024, 1024).requires_grad_()
    size = x.nbytes
    assert peak_of(lambda: op(x.detach())) <= forward * size
    y = op(x)
    g = lucidlite.ones_like(y)
    assert peak_of(lambda: lucidlite.autograd.grad(y, x, g, retain_graph=True)) <= backward * size


# -- products --------------------------------------------------------------------------------------


# The part of the multiply-adds that may be by a transpose: LeNet's linear layer has few rows, so to
# copy its weight would take longer.
TURNED = 0.1


def without_blas(product):
    return "-" in product.kind


def by_turned_weights(product):
    """A product with the transpose of a large second operand: BLAS is slow at these."""
    return product.kind[1] == "T" and np.prod(product.shapes[1][-2:]) >= 1024


def test_products_are_those_blas_is_quick_at(training):
    with products() as found:
        training.step()
    assert found
    assert not [p for p in found if without_blas(p) and p.flops > 1e4]
    assert share(found, by_turned_weights) <= TURNED


def strided(kernel):
    def conv2d(backend, x, w, bias, window, groups, keep, memo=None):
        pixels = np.repeat(hwnc(x), 2, axis=-1)[..., ::2]  # every other float
        np.matmul(pixels.reshape(-1, x.shape[1]), np.ones((x.shape[1], 8), x.dtype))
        np.matmul(pixels[0, :, 0], np.ones((x.shape[1], 8), x.dtype))
        return kernel(backend, x, w, bias, window, groups, keep, memo)

    return conv2d


def turned(kernel):
    def conv2d(backend, x, w, bias, window, groups, keep, memo=None):
        pixels = np.ascontiguousarray(hwnc(x)).reshape(-1, x.shape[1])
        np.matmul(pixels, np.ones((4096, x.shape[1]), x.dtype).T)
        return kernel(backend, x, w, bias, window, groups, keep, memo)

    return conv2d


def test_slow_products_are_noticed(training):
    with slower("conv2d", strided), products() as found:
        training.step()
    assert [p for p in found if without_blas(p) and p.flops > 1e4]
    with slower("conv2d", turned), products() as found:
        training.step()
    assert share(found, by_turned_weights) > TURNED


# -- gradients nobody asked for --------------------------------------------------------------------


def needless(training):
    """Kernels that computed a gradient of the images."""
    with kernel_calls() as calls:
        training.step()
    shape = training.x.shape
    return [
        call.kernel
        for call in calls
        if "backward" in call.kernel or "grad" in call.kernel
        for result in call.results
        if isinstance(result, np.ndarray) and result.shape == shape
    ]


def test_no_gradient_of_the_images_is_computed(training):
    assert needless(training) == []


def test_a_gradient_of_the_images_is_noticed(training):
    training.x.requires_grad_()
    assert needless(training) == ["conv2d_backward"]


@pytest.mark.parametrize("wanted", range(1, 8))
def test_a_convolution_computes_the_gradients_that_are_wanted(wanted):
    """Of input, weight and bias, by the bits of ``wanted``; the kernel leaves out the others."""
    lucidlite.manual_seed(0)
    tensors = lucidlite.randn(2, 8, 8, 8), lucidlite.randn(8, 8, 3, 3), lucidlite.randn(8)
    asked = [bool(wanted >> i & 1) for i in range(3)]
    for tensor, ask in zip(tensors, asked, strict=True):
        tensor.requires_grad_(ask)
    y = F.conv2d(*tensors, padding=1)
    with kernel_calls() as calls:
        y.sum().backward()
    shapes = {
        r.shape
        for call in calls
        if "conv2d" in call.kernel
        for r in call.results
        if isinstance(r, np.ndarray)
    }
    for tensor, ask in zip(tensors, asked, strict=True):
        assert (tensor.grad is not None) == ask
        if not ask:
            assert tuple(tensor.shape) not in shapes


@pytest.mark.parametrize("wanted", range(1, 8))
def test_a_frozen_weight_keeps_no_images(wanted):
    lucidlite.manual_seed(0)
    tensors = lucidlite.randn(2, 8, 16, 16), lucidlite.randn(8, 8, 3, 3), lucidlite.randn(8)
    for i, tensor in enumerate(tensors):
        tensor.requires_grad_(bool(wanted >> i & 1))
    node = F.conv2d(*tensors, padding=1).grad_fn
    kept = node.saved_bytes()
    if wanted & 2:
        assert kept >= tensors[0].nbytes
    else:
        assert kept == tensors[1].nbytes


# -- calls -----------------------------------------------------------------------------------------

# Python functions called in one op, forward and backward, with the tape's. One call a node is the
# price of a walk that can be taken step by step (Walk.step).
OPS = {
    "add": (lambda a: a["v"] + a["v"], 20, 42),
    "mul": (lambda a: a["v"] * a["v"], 18, 60),
    "mul by a number": (lambda a: a["v"] * 2, 22, 48),
    "exp": (lambda a: a["v"].exp(), 24, 50),
    "relu": (lambda a: F.relu(a["v"]), 26, 60),
    "silu": (lambda a: F.silu(a["v"]), 28, 60),
    "gelu": (lambda a: F.gelu(a["v"]), 28, 60),
    "sum": (lambda a: a["v"].sum(), 26, 85),
    "view": (lambda a: a["v"].view(-1), 28, 62),
    "matmul": (lambda a: a["v"] @ a["v"], 34, 90),
    "linear": (lambda a: F.linear(a["v"], a["v"], a["v"][0]), 60, 95),
    "cross_entropy": (lambda a: F.cross_entropy(a["v"], a["t"]), 45, 45),
    "conv2d": (lambda a: F.conv2d(a["x"], a["w"], a["b"], 1, 1), 80, 165),
    "max_pool2d": (lambda a: F.max_pool2d(a["x"], 2), 96, 110),
    "batch_norm": (lambda a: a["norm"](a["x"]), 135, 120),
    "a module": (lambda a: a["module"](a["v"]), 30, 60),
}


def operands():
    lucidlite.manual_seed(0)
    held = {
        "v": lucidlite.randn(4, 4),
        "x": lucidlite.randn(2, 8, 4, 4),
        "w": lucidlite.randn(8, 8, 3, 3),
        "b": lucidlite.randn(8),
    }
    for tensor in held.values():
        tensor.requires_grad_()
    return {
        **held,
        "t": lucidlite.arange(4),
        "norm": nn.BatchNorm2d(8),
        "module": nn.ReLU(),
    }


def calls_of_op(op):
    """(calls forward, calls backward) of Python functions."""
    given = operands()
    for _ in range(2):
        op(given).sum().backward()
    forward = calls_of(lambda: op(given)).python
    y = op(given)
    seed = lucidlite.ones_like(y)
    return forward, calls_of(lambda: y.backward(seed)).python


@pytest.mark.parametrize("name", OPS)
def test_calls_of_an_op(name):
    op, most_forward, most_backward = OPS[name]
    forward, backward = calls_of_op(op)
    assert forward <= most_forward
    assert backward <= most_backward


# The same of a whole step, and how often the user's line is looked for (once a node).
STEP = {"CNNWithGAP": 2700, "LeNet": 1700, "ResNet8": 6500}


def test_calls_of_a_step(training):
    assert calls_of(training.step).python <= STEP[name_of(training)]


def nodes_of(loss):
    seen, pending = set(), [loss.grad_fn]
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            pending += [before for before, _ in node.next_functions]
    return len(seen)


def places(training):
    """How often frames were walked for the user's line in a step, and the nodes of its tape."""
    found = calls_of(training.step).by_name
    walks = sum(n for (_, name), n in found.items() if name in ("user_site", "user_place"))
    return walks, nodes_of(training.forward())


def test_the_users_line_is_looked_for_once_a_node(training):
    walks, nodes = places(training)
    assert walks <= nodes + 2


def test_more_calls_are_noticed(training):
    plain = tape.Node.__init__

    def careless(node, *args):
        callsite.user_site()
        for _ in range(60):
            (lambda: None)()
        plain(node, *args)

    before = calls_of_op(OPS["add"][0])
    with mock.patch.object(tape.Node, "__init__", careless):
        assert calls_of(training.step).python > STEP[name_of(training)]
        walks, nodes = places(training)
        assert walks > nodes + 2
        forward, backward = calls_of_op(OPS["add"][0])
    assert forward > OPS["add"][1] >= before[0]
    assert backward >= before[1]
