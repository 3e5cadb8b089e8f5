"""What every module of a model takes and gives in one step, and the gradients there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lucidlite.parity.sides import Side


class Point(NamedTuple):
    """A tensor that goes into a module ("input") or comes out of it ("output")."""

    kind: str
    module: str
    call: int
    number: int


See = Callable[[Point, Any], Any]


class Trace:
    """Hooks on all modules of a model, while it is entered.

    ``see(point, array)`` is told each module's inputs and outputs in the order of the calls, and
    ``see_gradient(point, array)`` the gradient of each such tensor. Where they return an array, the
    model goes on with those values in the place of its own.

    A tensor has several points when it goes from module to module. ``first`` has the one that it
    was seen at first; that one stands for its gradient. ``users`` are the modules that took it,
    ``after`` is the module that had last ended when it was seen, ``inside`` the one then running.
    """

    def __init__(self, side: Side, model: Any, see: See, see_gradient: See) -> None:
        self.side, self.model = side, model
        self._see, self._see_gradient = see, see_gradient
        self.names = {module: name for name, module in model.named_modules()}
        self.first: dict[Point, Point] = {}
        self.users: dict[Point, list[str]] = {}
        self.after: dict[Point, str | None] = {}
        self.inside: dict[Point, str | None] = {}
        self._calls: Counter[str] = Counter()
        self._running: list[tuple[str, int]] = []
        self._ended: str | None = None
        # By identity and version: an operation in place makes another value of the same object.
        self._made: dict[tuple[int, int], Point] = {}
        self._kept: list[Any] = []
        self._handles: list[Any] = []

    def __enter__(self) -> Trace:
        for module in self.names:
            self._handles += (
                module.register_forward_pre_hook(self._enter, with_kwargs=True),
                module.register_forward_hook(self._leave),
            )
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._kept.clear()
        self._made.clear()

    def _enter(self, module: Any, args: Any, kwargs: Any) -> Any:
        name = self.names[module]
        call = self._calls[name]
        self._calls[name] += 1
        returned = self._visit("input", name, call, (args, kwargs))
        self._running.append((name, call))
        self._ended = None
        return returned

    def _leave(self, module: Any, args: Any, output: Any) -> Any:  # noqa: ARG002
        name, call = self._running.pop()
        returned = self._visit("output", name, call, output)
        self._ended = name
        return returned

    def _visit(self, kind: str, name: str, call: int, value: Any) -> Any:
        """The value with what is to take the place of its tensors; None where nothing is."""
        found = list(tensors(value, self.side))
        used = [self._point(Point(kind, name, call, i), t) for i, t in enumerate(found)]
        if all(new is old for new, old in zip(used, found, strict=True)):
            return None
        return _rebuilt(value, self.side, iter(used))

    def _point(self, point: Point, tensor: Any) -> Any:
        replacement = self._see(point, self.side.array(tensor))
        used = tensor if replacement is None else self.side.substitute(tensor, replacement)
        first = self._made.setdefault((id(tensor), tensor._version), point)
        self._made.setdefault((id(used), used._version), first)
        self._kept += tensor, used
        self.first[point] = first
        if point.kind == "input":
            self.users.setdefault(first, []).append(point.module)
        if first is point:
            self.after[point] = self._ended
            self.inside[point] = self._running[-1][0] if self._running else None
            if tensor.requires_grad:
                self._handles.append(tensor.register_hook(self._gradient_at(point)))
        return used

    def _gradient_at(self, point: Point) -> Callable[[Any], Any]:
        def hook(grad: Any) -> Any:
            replacement = self._see_gradient(point, self.side.array(grad))
            return None if replacement is None else self.side.tensor(replacement)

        return hook


class Record:
    """A Trace's values, kept."""

    def __init__(self) -> None:
        self.values: dict[Point, Any] = {}
        self.gradients: dict[Point, Any] = {}

    def see(self, point: Point, array: Any) -> None:
        self.values[point] = array

    def see_gradient(self, point: Point, array: Any) -> None:
        self.gradients[point] = array


def tensors(value: Any, side: Side) -> Iterator[Any]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if side.is_tensor(value):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors(each, side)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors(each, side)


def _rebuilt(value: Any, side: Side, used: Iterator[Any]) -> Any:
    """``value`` with these tensors; other kinds of container keep what they hold."""
    if side.is_tensor(value):
        return next(used)
    if isinstance(value, dict):
        parts = {key: _rebuilt(each, side, used) for key, each in value.items()}
        return parts if type(value) is dict else type(value)(parts)
    if isinstance(value, (list, tuple)):
        items = [_rebuilt(each, side, used) for each in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value
