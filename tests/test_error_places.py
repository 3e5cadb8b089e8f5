"""Errors point at the user's own line: forward, backward, NaN, second backward, in-place writes."""

from __future__ import annotations

import sys

import pytest

import lucidlite
from lucidlite import nn
from lucidlite.autograd import detect_anomaly, set_detect_anomaly

F = nn.functional


def here():
    """The number of the line this is called on."""
    return sys._getframe(1).f_lineno


def names(problem, line, function):
    text = str(problem.value)
    assert f"test_error_places.py:{line} in {function}" in text, text


def x_of(*shape):
    return lucidlite.ones(*shape, requires_grad=True)


# -- forward ---------------------------------------------------------------------------------------

FORWARD = {
    "add": (lambda: x_of(2, 3) + x_of(2, 4), "add: the size of tensor a"),
    "matmul": (lambda: x_of(2, 3) @ x_of(2, 3), "matmul: .* cannot be multiplied"),
    "view": (lambda: x_of(2, 3).view(4), "view: shape '.*' is invalid"),
    "cat": (lambda: lucidlite.cat([x_of(2, 3), x_of(2)]), "cat: "),
    "conv2d": (lambda: F.conv2d(x_of(1, 3, 4, 4), x_of(2, 4, 3, 3)), "conv2d: "),
    "linear": (lambda: F.linear(x_of(2, 3), x_of(4, 5)), "linear: "),
    "max_pool2d": (lambda: F.max_pool2d(x_of(1, 1, 4, 4), 2, padding=2), "pool2d: pad should be"),
    "getitem": (lambda: x_of(3)[5], "out of bounds"),
    "squeeze": (lambda: x_of(3).sum(2), "dimension out of range"),
    "cross_entropy": (
        lambda: F.cross_entropy(x_of(1, 3), lucidlite.tensor([7])), "cross_entropy: target 7"
    ),
    "dtype": (lambda: x_of(3).sum(dtype="float"), "dtype"),
    "item": (lambda: x_of(3).item(), "item: "),
    "device": (lambda: x_of(3).to("tpu"), "device: "),
    "module": (lambda: nn.Linear(3, 4)(x_of(2, 5)), "in module Linear"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "rule"), FORWARD.values(), ids=FORWARD.keys())
def test_forward(call, rule):
    with pytest.raises((RuntimeError, IndexError, TypeError, ValueError), match=rule) as problem:
        call()
    names(problem, call.__code__.co_firstlineno, "<lambda>")


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 2))

    def forward(self, x):
        return self.layers(x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Inner()

    def forward(self, x):
        return self.body(x)


def test_forward_inside_modules():
    with pytest.raises(RuntimeError, match="linear: ") as problem:
        Outer()(lucidlite.ones(2, 3))
    assert "in module Outer.body.layers.2: Linear" in str(problem.value)


# -- backward --------------------------------------------------------------------------------------


def test_second_backward():
    x = x_of(3)
    y, line = (x * x).sum(), here()
    y.backward()
    with pytest.raises(RuntimeError, match="a second time") as problem:
        y.backward()
    names(problem, line, "test_second_backward")
    names(problem, here() - 2, "test_second_backward")


def test_overwritten_input():
    x = x_of(3)
    y = x * 2
    z, line = y * y, here()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as problem:
        z.sum().backward()
    names(problem, line, "test_overwritten_input")
    text = str(problem.value)
    assert "MulBackward0 saved a tensor of shape (3,), got version=1, expected version=0" in text


def test_overwritten_output():
    x = x_of(3)
    y, line = x.exp(), here()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as problem:
        y.sum().backward()
    names(problem, line, "test_overwritten_output")
    assert "ExpBackward0" in str(problem.value)


def test_overwritten_inside_a_module():
    class Writes(nn.Module):
        def forward(self, x):
            y = x.sigmoid()
            y += 1
            return y

    model = nn.Sequential(nn.Identity(), Writes())
    with pytest.raises(RuntimeError, match="modified by an inplace") as problem:
        model(x_of(3) * 1).sum().backward()
    assert "in module Sequential.1: Writes" in str(problem.value)
    names(problem, here() - 8, "forward")


def test_in_place_on_a_leaf():
    x = x_of(3)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad") as problem:
        x.add_(1)
    names(problem, here() - 1, "test_in_place_on_a_leaf")


def test_an_error_in_a_function_names_its_call():
    class Broken(lucidlite.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x * 1

        @staticmethod
        def backward(_ctx, _g):
            raise ValueError("broken on purpose")

    x = x_of(3)
    y, line = Broken.apply(x), here()
    with pytest.raises(ValueError, match="broken on purpose") as problem:
        y.sum().backward()
    names(problem, line, "test_an_error_in_a_function_names_its_call")
    assert "BrokenBackward" in str(problem.value)


def test_a_wrong_shape_in_a_function_names_its_call():
    class Broken(lucidlite.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x * 1

        @staticmethod
        def backward(_ctx, g):
            return g[:2]

    x = x_of(3)
    y, line = Broken.apply(x), here()
    with pytest.raises(RuntimeError, match="invalid gradient at index 0") as problem:
        y.sum().backward()
    names(problem, line, "test_a_wrong_shape_in_a_function_names_its_call")


def test_an_error_in_a_hook_is_the_hooks():
    x = x_of(2, 3)
    y = x * 2
    y.register_hook(lambda g: g[0])
    with pytest.raises(RuntimeError, match="hook: the gradient has changed shape") as problem:
        y.sum().backward()
    names(problem, here() - 1, "test_an_error_in_a_hook_is_the_hooks")


# -- NaN -------------------------------------------------------------------------------------------


def test_anomaly_in_backward():
    x = lucidlite.zeros(3, requires_grad=True)
    with detect_anomaly():
        y, line = (x * 0).sqrt(), here()
        z = (y * 0).sum()
        with pytest.raises(RuntimeError, match="SqrtBackward0' returned nan values") as problem:
            z.backward()
    names(problem, line, "test_anomaly_in_backward")


def test_anomaly_is_off_elsewhere():
    x = lucidlite.zeros(3, requires_grad=True)
    ((x * 0).sqrt() * 0).sum().backward()
    assert bool(x.grad.isnan().all())
    with detect_anomaly(check_nan=False):
        ((x * 0).sqrt() * 0).sum().backward()


def test_anomaly_ends_with_its_block():
    x = lucidlite.zeros(3, requires_grad=True)
    with detect_anomaly(), detect_anomaly():
        pass
    ((x * 0).sqrt() * 0).sum().backward()
    set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError, match="nan"):
            ((x * 0).sqrt() * 0).sum().backward()
    finally:
        set_detect_anomaly(False)
    with set_detect_anomaly(True), set_detect_anomaly(False):
        ((x * 0).sqrt() * 0).sum().backward()


def test_anomaly_lets_healthy_gradients_pass():
    x = lucidlite.tensor([1.0, 4.0], requires_grad=True)
    with detect_anomaly():
        x.sqrt().sum().backward()
    assert x.grad.tolist() == [0.5, 0.25]


# -- the engine's door -----------------------------------------------------------------------------

DOOR = {
    "no graph": (lambda: lucidlite.ones(1).backward(), "does not require grad"),
    "shape": (lambda: (x_of(3) * 2).backward(), "implicitly created only for scalar"),
    "gradient": (lambda: (x_of(3) * 2).backward(lucidlite.ones(2)), "mismatch in shape"),
    "unused": (lambda: lucidlite.autograd.grad(x_of(1) * 1, x_of(1)), "not have been used"),
    "integer": (lambda: lucidlite.tensor([1]).requires_grad_(), "floating point"),
    "numpy": (lambda: x_of(3).numpy(), "requires grad"),
}


@pytest.mark.parametrize(("call", "rule"), DOOR.values(), ids=DOOR.keys())
def test_door(call, rule):
    with pytest.raises(RuntimeError, match=rule) as problem:
        call()
    names(problem, call.__code__.co_firstlineno, "<lambda>")


def test_nodes_know_their_place():
    x = x_of(3)
    y, line = x * 2, here()
    site = y.grad_fn.site
    assert site.line == line
    assert site.function == "test_nodes_know_their_place"
    assert site.filename == __file__
