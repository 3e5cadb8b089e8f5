"""Whether operations are recorded: one thread-local switch and the context managers that set it."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _GradMode(threading.local):
    enabled = True
    inference = False


grad_mode = _GradMode()


class _Switch:
    """A context manager that is also a decorator, and may be entered again and again."""

    def __init__(self, enabled: bool, inference: bool | None = None) -> None:
        self._enabled = enabled
        self._inference = inference
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((grad_mode.enabled, grad_mode.inference))
        grad_mode.enabled = self._enabled
        if self._inference is not None:
            grad_mode.inference = self._inference

    def __exit__(self, *exc: object) -> None:
        grad_mode.enabled, grad_mode.inference = self._before.pop()

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):
            return self._generator(function)  # type: ignore[return-value]

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with _Switch(self._enabled, self._inference):
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]

    def _generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A generator function whose body, and nothing between its values, runs in the mode."""

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            resume = functools.partial(next, generator)
            while True:
                try:
                    with _Switch(self._enabled, self._inference):
                        value = resume()
                except StopIteration as end:
                    return end.value
                try:
                    resume = functools.partial(generator.send, (yield value))
                except GeneratorExit:
                    generator.close()
                    raise
                except BaseException as problem:
                    resume = functools.partial(generator.throw, problem)

        return inside


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return grad_mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether inference_mode is on in this thread."""
    return grad_mode.inference


class _Decorating(_Switch):
    """``@no_grad`` works without parentheses too."""

    def __new__(cls, *args: Any, **_kwargs: Any) -> Any:
        return cls()(args[0]) if args and callable(args[0]) else super().__new__(cls)


class no_grad(_Decorating):
    """Record nothing inside: results don't require grad, whatever the operands do.

    >>> import lucidlite
    >>> x = lucidlite.ones(2, requires_grad=True)
    >>> with lucidlite.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Decorating):
    """Record again, inside ``no_grad``."""

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_Decorating):
    """As ``no_grad``, and tensors made inside can't enter a graph later.

    Semantics: torch.inference_mode.
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode, bool(mode))


class set_grad_enabled(_Switch):
    """Record or don't: acts at once as a function, and for its block as a context manager."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._before.append((grad_mode.enabled, grad_mode.inference))
        grad_mode.enabled = self._enabled

    def __enter__(self) -> None:
        grad_mode.enabled = self._enabled

    def __call__(self, function: F) -> F:
        grad_mode.enabled, grad_mode.inference = self._before[-1]
        return super().__call__(function)
