"""Errors point at the user's own line: forward, backward, NaN, second backward, in-place writes."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
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
    "module": (lambda: nn.Linear(3, 4)(x_of(2, 5)), r"in module Linear\(3 -> 4\)\n"),
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


def test_what_numpy_asks_for_is_asked_by_the_user():
    with pytest.raises(RuntimeError, match="numpy: can't call") as problem:
        np.testing.assert_array_equal(x_of(3), 1)
    names(problem, here() - 1, "test_what_numpy_asks_for_is_asked_by_the_user")


def test_a_pool_of_threads_is_no_user():
    """Nobody's line is better than one of the standard library's."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="linear: ") as problem:
        list(pool.map(nn.Linear(3, 4), [x_of(2, 5)]))
    lines = str(problem.value).splitlines()
    assert [line for line in lines if "  at " in line] == []
    assert "  in module Linear(3 -> 4)" in lines


def test_forward_inside_modules():
    with pytest.raises(RuntimeError, match="linear: ") as problem:
        Outer()(lucidlite.ones(2, 3))
    assert "\n  in module Outer.body.layers.2: Linear(5 -> 2)\n" in str(problem.value)


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
    assert "\n  in module Sequential.1: Writes\n" in str(problem.value)
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


def own(fails):
    """An autograd.Function whose backward raises what ``fails`` returns."""

    class Own(lucidlite.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x * 1

        @staticmethod
        def backward(_ctx, _g):
            raise fails()

    return Own


class Coded(Exception):
    """Its text isn't its first argument."""

    def __init__(self, code):
        super().__init__(code)

    def __str__(self):
        return f"code {self.args[0]}"


KINDS = {
    "without text": (lambda: ZeroDivisionError(), "in the gradient of OwnBackward\n"),
    "of a text": (lambda: ValueError("a text"), "a text\n  in the gradient of OwnBackward\n"),
    # These don't print their first argument as it is: what is added is a note.
    "of more": (lambda: ValueError("a text", 7), ""),
    "of a key": (lambda: KeyError("weight"), ""),
    "of a number": (lambda: OSError(2, "no such file"), ""),
    "of a class of its own": (lambda: Coded(7), ""),
}


@pytest.mark.parametrize(("fails", "start"), KINDS.values(), ids=KINDS.keys())
def test_any_error_of_a_gradient_is_told_and_kept(fails, start):
    y, line = own(fails).apply(x_of(3)), here()
    with pytest.raises(type(fails())) as problem:
        y.sum().backward()
    raised = problem.value
    assert raised.__cause__ is None
    assert raised.__context__ is None
    if start:
        assert str(raised).startswith(start)
        names(problem, line, "test_any_error_of_a_gradient_is_told_and_kept")
    elif sys.version_info >= (3, 11):
        (note,) = raised.__notes__
        function = "test_any_error_of_a_gradient_is_told_and_kept"
        place = f"recorded at {__file__}:{line} in {function}"
        assert note.splitlines() == ["  in the gradient of OwnBackward", f"  {place}"]
        assert raised.args == fails().args


@pytest.mark.parametrize("place", ["tensor", "pre", "post"])
def test_an_error_in_a_hook_names_the_node(place):
    def hook(*_):
        raise ValueError("broken on purpose")

    x = x_of(3)
    y, line = x.exp(), here()
    {
        "tensor": y.register_hook,
        "pre": y.grad_fn.register_prehook,
        "post": y.grad_fn.register_hook,
    }[place](hook)
    with pytest.raises(ValueError, match=r"^broken on purpose\n") as problem:
        y.sum().backward()
    assert "gradient of ExpBackward0\n" in str(problem.value)
    names(problem, line, "test_an_error_in_a_hook_names_the_node")


def test_an_error_in_a_leafs_hook_names_its_module():
    def hook(_):
        raise ValueError("broken on purpose")

    layer = nn.Linear(2, 1)
    layer.weight.register_hook(hook)
    with pytest.raises(ValueError, match=r"^broken on purpose\n") as problem:
        layer(x_of(3, 2)).sum().backward()
    assert "in a hook on the gradient of AccumulateGrad" in str(problem.value)
    assert "in module Linear(2 -> 1)" in str(problem.value)


# -- NaN -------------------------------------------------------------------------------------------


def test_anomaly_in_backward():
    x = lucidlite.zeros(3, requires_grad=True)
    with detect_anomaly():
        y, line = (x * 0).sqrt(), here()
        z = (y * 0).sum()
        with pytest.raises(RuntimeError, match="SqrtBackward0' returned nan values") as problem:
            z.backward()
    names(problem, line, "test_anomaly_in_backward")


def refused(make, **settings):
    """The lines of the error in the gradient of what ``make()`` returns."""
    with detect_anomaly(**settings):
        y = make()
        with pytest.raises(RuntimeError, match=r"^detect_anomaly: ") as problem:
            y.sum().backward()
    return str(problem.value).splitlines()


def leaf(*values, dtype=None):
    return lucidlite.tensor(values, dtype=dtype, requires_grad=True)


CAUSES = {
    "log": (
        lambda: leaf(1.0, 0.0, 2.0).log(), "the input of log had 1 of 3 values at or below 0",
        "log of 0 is -inf",
    ),
    "log1p": (
        lambda: leaf(-1.0).log1p(), "the input of log1p had 1 of 1 values at or below -1",
        "log of 0 is -inf",
    ),
    "sqrt": (
        lambda: leaf(0.0, 4.0).sqrt(), "the result of sqrt had 1 of 2 values at 0",
        "at 0 a root's slope is infinite",
    ),
    "power": (
        lambda: leaf(0.0, 1.0) ** 0.5, "the base of pow had 1 of 2 values at or below 0",
        "at 0 a power below 1 has an infinite slope",
    ),
    "acos": (
        lambda: leaf(0.5, 1.0).acos(), "the input of acos had 1 of 2 values at or beyond 1",
        "there the slope is infinite",
    ),
    "ratio": (
        lambda: 1.0 / leaf(0.0, 1.0), "the result of 1 / x had 1 of 2 values infinite",
        "division by 0",
    ),
    "division": (
        lambda: leaf(1.0, 1.0) / leaf(0.0, 1.0), "the divisor had 1 of 2 values at 0",
        "division by 0",
    ),
    "exp": (
        lambda: leaf(1e3).exp(), "before: the result of exp had 1 of 1 values infinite",
        "exp() overflows",
    ),
    "saved": (
        lambda: leaf(2.0) * float("nan"), "had them before: 1 nan of 1 in what MulBackward0",
        "NaN in the data?",
    ),
    "leaf": (
        lambda: leaf(float("inf")) ** 2, "a leaf of shape (1,) had them before: 1 inf of 1",
        "made so? else a step before this one",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "cause", "hint"), CAUSES.values(), ids=CAUSES.keys())
def test_anomaly_says_what_made_it(make, cause, hint):
    lines = refused(make)
    assert any(cause in line for line in lines), lines
    assert lines[-1].startswith(f"  hint: {hint}")


def test_anomaly_says_nothing_where_nothing_is_known():
    """Large values are no cause of what a Function got wrong with small ones."""

    class Wrong(lucidlite.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x * 1

        @staticmethod
        def backward(_ctx, g):
            return g * float("nan")

    assert "hint" not in refused(lambda: Wrong.apply(leaf(1.0)))[-1]
    assert refused(lambda: Wrong.apply(leaf(1.0)) * 1e30)[-1].startswith("  hint: values too large")


def test_anomaly_says_that_the_gradient_came_that_way():
    y = leaf(1.0, 2.0) * 3
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"^detect_anomaly: ") as problem:
        y.backward(lucidlite.tensor([1.0, float("inf")]))
    lines = str(problem.value).splitlines()
    assert "  the gradient it was given had them already: 1 inf of 2" in lines
    assert lines[-1].startswith("  hint: from a hook")


def test_anomaly_finds_the_parameter_and_its_name():
    layer = nn.Linear(2, 1)
    with lucidlite.no_grad():
        layer.weight[0, 1] = float("nan")
    lines = refused(lambda: layer(x_of(3, 2)) ** 2)
    assert "  parameter 'weight', shape (1, 2) had them before: 1 nan of 2" in lines
    at = lines.index("  parameter 'weight', shape (1, 2) had them before: 1 nan of 2")
    assert lines[at + 1].startswith("  first used at ")
    assert lines[at + 2] == "  in module Linear(2 -> 1)"


def test_anomaly_of_float16_that_overflows():
    lines = refused(lambda: leaf(300.0, dtype=lucidlite.float16) * 400.0 * 400.0)
    assert "1 inf of 1" in lines[0]
    assert "float16 ends at 65504" in lines[-1]


def test_anomaly_lets_infinity_pass_on_request():
    x = leaf(1.0, 0.0)
    with detect_anomaly(check_inf=False):
        x.log().sum().backward()
    assert x.grad.tolist() == [1.0, float("inf")]
    lines = refused(lambda: (leaf(0.0) * 0).sqrt() * 0, check_inf=False)
    words = "detect_anomaly: function 'SqrtBackward0' returned nan values in its 0th output, "
    assert lines[0].startswith(words)
    with set_detect_anomaly(True, check_inf=False), detect_anomaly():
        pass
    with detect_anomaly(), set_detect_anomaly(True, check_inf=False):
        leaf(0.0).log().backward()
    x = leaf(0.0)
    with detect_anomaly(check_nan=False):
        x.log().backward()
    assert x.grad.tolist() == [float("inf")]


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
