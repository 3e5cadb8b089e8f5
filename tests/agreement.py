"""Scripts that run under lucidlite and under torch alike, and must end the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from case_kinds import leaves, same

import lucidlite


class Scripts(dict[str, Callable[[Any], Any]]):
    """Functions of the framework ``T``, collected by decorating them.

    A script returns tensors and Python values, nested as it likes.
    """

    def __call__(self, script: Callable[[Any], Any]) -> Callable[[Any], Any]:
        self[script.__name__] = script
        return script

    @property
    def each(self) -> Any:
        return pytest.mark.parametrize("script", self.values(), ids=self.keys())


def outcome(T: Any, script: Callable[[Any], Any]) -> Any:
    """What a script returns, or the class of what it raises."""
    try:
        return script(T)
    except Exception as problem:
        return problem


def agree(script: Callable[[Any], Any], kinds: Any = Exception) -> None:
    """Run a script in both frameworks: equal results, or an exception of the same class."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    expected, got = outcome(torch, script), outcome(lucidlite, script)
    assert torch.is_grad_enabled()
    assert lucidlite.is_grad_enabled()
    if isinstance(expected, Exception):
        assert isinstance(got, Exception), f"PyTorch raises {expected!r}; here: {got}"
        assert type(got) is type(expected), f"{got!r}, in PyTorch {expected!r}"
        assert isinstance(expected, kinds)
        return
    if isinstance(got, Exception):
        raise got
    assert [type(v).__name__ for v in leaves(got)] == [type(v).__name__ for v in leaves(expected)]
    same(got, expected, "float32", 1, "result")


def leaf(T, *values):
    return T.tensor(list(values) or [1.0, 2.0, 3.0], requires_grad=True)


def start(T, shape=(2, 3)):
    """A leaf and something computed from it, with whole numbers in it."""
    x = T.ones(shape)
    x.copy_((T.arange(x.numel(), dtype=T.float32) - 2).reshape(shape))
    x.requires_grad_()
    return x, x * 2


def finish(x, *tensors):
    """Gradients of all tensors' weighted sums, and their values."""
    total = sum((t * (i + 2) * t.detach()).sum() for i, t in enumerate(tensors))
    total.backward()
    return [x.grad, *(t.detach() for t in tensors), *(t.requires_grad for t in tensors)]


def function(T, forward, backward, **more):
    """A Function of framework ``T``, called Mine."""
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    body |= {name: staticmethod(value) for name, value in more.items()}
    return type("Mine", (T.autograd.Function,), body)
