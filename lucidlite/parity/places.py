"""Words for where in a model a value was made, and for who passed a gradient back to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from lucidlite.parity.trace import Point, Trace

_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
LAYERS = ("lucidlite.nn.", "torch.nn.")


class Place(NamedTuple):
    """``where`` is the module to look at, ``what`` the value of its that differs."""

    where: str
    what: str


class Places:
    """The places of one model, in the words of its Trace."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._modules: dict[str, Any] = {name: module for module, name in trace.names.items()}
        results = (p for p in trace.first if (p.kind, p.module) == ("output", ""))
        self._results = {trace.first[point] for point in results}

    def label(self, name: str) -> str:
        """'features.3: BatchNorm2d', and the class alone for the model itself."""
        kind = type(self._modules[name]).__name__ if name in self._modules else "?"
        return f"{name}: {kind}" if name else kind

    def made(self, point: Point) -> Place:
        """Who made the value at a point."""
        after = self._trace.after.get(point)
        if point.kind == "output":
            own = self._own_code(point.module) and self._trace.first.get(point) == point
            what = f"its own code after {after}" if own and after else "output"
            return Place(self.label(point.module), what)
        inside = self._trace.inside.get(point)
        if inside is None:
            return Place("the input", "as it enters")
        span = f"between {after} and" if after else "before"
        return Place(self.label(inside), f"its own code {span} {point.module}")

    def passed(self, point: Point) -> Place:
        """Who computed the gradient at a point: those who took the value."""
        users = [*dict.fromkeys(self._trace.users.get(point, []))]
        inner = [u for u in users if not any(_within(other, u) for other in users)]
        if inner:
            return Place(" or ".join(map(self.label, inner)), "gradient of its input")
        if point in self._results:
            return Place("the loss", "gradient of the output")
        inside = self.label(self._trace.inside.get(point) or "")
        return Place(inside, f"its own code, gradient of {point.module}'s output")

    def owner(self, name: str) -> tuple[str, str]:
        """The module of a parameter or a buffer, and the last part of its name."""
        module, _, last = name.rpartition(".")
        return self.label(module), last

    def is_leaf(self, name: str) -> bool:
        return name in self._modules and next(iter(self._modules[name].children()), None) is None

    def is_detail(self, name: str) -> bool:
        """Whether a module is a part of a library's layer, which each may call as it likes."""
        parts = name.split(".") if name else []
        above = [".".join(parts[:i]) for i in range(len(parts))]
        return any(parent in self._modules and not self._own_code(parent) for parent in above)

    def _own_code(self, name: str) -> bool:
        """Whether a module is composed of others by its user's code."""
        module = self._modules.get(name)
        if module is None or self.is_leaf(name):
            return False
        kind = type(module)
        home = f"{kind.__module__}."
        return kind.__name__ in _CONTAINERS or not home.startswith(LAYERS)


def _within(inner: str, outer: str) -> bool:
    return inner != outer and (not outer or inner.startswith(f"{outer}."))
