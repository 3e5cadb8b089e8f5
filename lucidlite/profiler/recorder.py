"""Listening in: ``sys.setprofile`` tells of every call in a thread, the recorder picks out ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from time import perf_counter_ns as clock
from types import CodeType, FrameType
from typing import Any

from lucidlite.autograd import function_vjp
from lucidlite.callsite import user_place
from lucidlite.grad_mode import grad_mode
from lucidlite.nn.module import Module
from lucidlite.profiler.events import Event, Shapes
from lucidlite.profiler.watched import APPLY, IN_PLACE, SETITEM, Watched
from lucidlite.tape import Node
from lucidlite.tensor_base import TensorBase


class _Open:
    """A call that hasn't returned. Inside of an operation, whose event is the outermost call's,
    it has no event: it only measures the nodes that are made."""

    __slots__ = ("event", "frame", "inside", "newest", "owner", "start", "taken")

    def __init__(self, frame: FrameType | None, start: int, newest: int) -> None:
        self.frame, self.start, self.newest = frame, start, newest
        self.event: Event | None = None
        self.inside = False  # operations in it are events of their own
        self.owner: Any = None  # the module, or the node
        self.taken = 0  # nanoseconds that are some inner node's


class Recorder:
    """What happens in one thread, as events; ``forward`` and ``vjps`` are seconds by node number.

    The profile's clock stands still while an event is noted down, so that this is in nobody's time.
    """

    def __init__(
        self, table: dict[CodeType, Watched], first: int, synchronize: bool, shapes: bool,
        memory: bool, places: bool,
    ) -> None:  # fmt: skip
        self.table, self.synchronize = table, synchronize
        self.shapes, self.memory, self.places = shapes, memory, places
        self.events: list[Event] = []
        self.forward: dict[int, float] = {}
        self.vjps: dict[int, float] = {}
        self.gpus: set[Any] = set()  # backends that work by themselves
        self._stack: list[_Open] = []
        self._newest = first  # number of the youngest node that has its time
        self._lost = 0
        self._names: dict[Module, str] = {}
        self._begin = clock()

    @property
    def now(self) -> int:
        """Nanoseconds since the beginning, without those lost to the profile itself."""
        return clock() - self._begin - self._lost

    def listen(self, frame: FrameType, what: str, value: Any) -> None:
        """The function for ``sys.setprofile``."""
        if what == "call":
            watched = self.table.get(frame.f_code)
            if watched is not None:
                self._enter(frame, watched)
        elif what == "return" and self._stack and frame.f_code in self.table:
            self._leave(frame, value)

    def open(self, name: str, kind: str) -> Any:
        """Begin an event that no function's call is; returns what ``close`` takes."""
        entry = _Open(None, self.now, self._newest)
        entry.inside = True
        place = user_place(3) if self.places else None
        parent = self._around()
        module = "" if parent is None else parent.module
        entry.event = Event(name, kind, entry.start, 0, parent, module, place=place)
        self._stack.append(entry)
        return entry

    def close(self, entry: Any = None) -> None:
        """End an event, and all that is still open in it; None ends everything."""
        if entry is None or entry in self._stack:
            self._wait()
            end = self.now
            while self._stack:
                last = self._stack.pop()
                self._finish(last, end)
                if last is entry:
                    return
            self._names.clear()

    # -- calls -------------------------------------------------------------------------------

    def _enter(self, frame: FrameType, watched: Watched) -> None:
        arrived = clock()
        around = self._stack[-1] if self._stack else None
        within = around is not None and not around.inside
        if within and watched.kind == "op" and not grad_mode.enabled:
            return
        entry = _Open(frame, arrived - self._begin - self._lost, self._newest)
        if not within or watched.kind != "op":
            self._describe(entry, frame, watched)
        self._stack.append(entry)
        self._lost += clock() - arrived

    def _describe(self, entry: _Open, frame: FrameType, watched: Watched) -> None:
        """An event for the call: its name, its place, and what goes in."""
        kind, name, entry.inside = watched
        values, parent = frame.f_locals, self._around()
        place = None
        module = "" if parent is None else parent.module
        node: Node | None = None
        if kind == "vjp":
            node = entry.owner = values["node"]
            name = name or node.name()
            # On a tape of their own, or in the user's hands, operations in it are told of.
            entry.inside = grad_mode.enabled or node.vjp is function_vjp
            place = node._site
            module = self._module_of(node)
        elif kind == "optimizer":
            name = f"{type(values['self']).__name__}.{name}"
        elif kind == "module":
            entry.owner = values["self"]
            name, module = type(entry.owner).__name__, self._path(entry.owner)
        elif frame.f_code is IN_PLACE:
            name = values["op"]
        elif frame.f_code is APPLY:
            name = values["cls"].__name__
        if place is None and self.places:
            place = user_place(4)
        shapes: Shapes = ()
        if self.shapes and kind in ("op", "module", "vjp"):
            shapes = _shapes(_arguments(frame))
        number = None if node is None else node.number
        entry.event = Event(name, kind, entry.start, 0, parent, module, shapes, node=number)
        entry.event.place = place if self.places else None

    def _leave(self, frame: FrameType, value: Any) -> None:
        arrived = clock()
        depth = len(self._stack)
        while depth and self._stack[depth - 1].frame is not frame:
            depth -= 1
        if not depth:
            return  # it was called before the profile began
        entry = self._stack[depth - 1]
        kind = None if entry.event is None else entry.event.kind
        tensors: list[Any] = []
        if kind is None or kind == "op":
            written = next(_arguments(frame)) if frame.f_code is SETITEM else value
            tensors += _tensors(written)
            self.gpus.update([t.backend for t in tensors if t.backend.device.type != "cpu"])
        if kind is not None:
            arrived += self._wait()
        end = arrived - self._begin - self._lost
        while len(self._stack) > depth:  # labels that were never left
            self._finish(self._stack.pop(), end)
        self._stack.pop()
        if kind is None or kind == "op":
            self._claim(entry, tensors, end)
        over = kind == "data" and value is None  # there was no next batch
        if not (over or kind == "op") or not _is_nothing(entry, tensors):
            self._finish(entry, end)
        self._lost += clock() - arrived

    def _claim(self, entry: _Open, tensors: list[Any], end: int) -> None:
        """The time since the call began is that of the nodes it made, without inner ones'."""
        kept, newest, took = 0, self._newest, end - entry.start
        claimed = False
        for tensor in tensors:
            node = tensor._node
            if node is not None and node.number > entry.newest and node.number not in self.forward:
                self.forward[node.number] = max(took - entry.taken, 0) / 1e9
                kept += node.saved_bytes() if self.memory else 0
                newest = max(newest, node.number)
                claimed = True
        self._newest = newest
        around = self._stack[-1] if self._stack else None
        if around is not None:
            around.taken += took if claimed else entry.taken
        event = entry.event
        if event is None:
            event = self._around()
        elif tensors:
            made = tensors[0]._node
            event.node = None if made is None or made.number <= entry.newest else made.number
            if self.memory and not event.held:  # else what is inside has them
                event.output_bytes = _fresh_bytes(tensors, entry.frame)
        if event is not None and event.kind == "op":
            event.saved_bytes += kept

    def _finish(self, entry: _Open, end: int) -> None:
        event = entry.event
        if event is None:
            return
        event.end = end
        self.events.append(event)
        parent = event.parent
        if parent is not None:
            parent.inner += end - event.start
            parent.held += 1
        if event.kind == "vjp" and event.node is not None:
            self.vjps[event.node] = event.seconds

    # -- surroundings ------------------------------------------------------------------------

    def _around(self) -> Event | None:
        """The innermost open event."""
        for entry in reversed(self._stack):
            if entry.event is not None:
                return entry.event
        return None

    def _wait(self) -> int:
        """Until the GPUs have done what they were given; returns the nanoseconds that took."""
        if not self.synchronize or not self.gpus:
            return 0
        began = clock()
        for backend in self.gpus:
            if not backend.capturing:
                with suppress(Exception):  # it will be raised where the user waits
                    backend.stream.synchronize()
        return clock() - began

    def _path(self, module: Module) -> str:
        """'features.0' in the outermost module that was called."""
        if module not in self._names:
            outer = [e.owner for e in self._stack if isinstance(e.owner, Module)]
            root = outer[0] if outer else module
            for name, each in root.named_modules():
                self._names.setdefault(each, name)
        return self._names.get(module, "")

    def _module_of(self, node: Node) -> str:
        made_in = None if node.modules is None else node.modules[0]()
        return "" if made_in is None else self._names.get(made_in, "")


def _is_nothing(entry: _Open, tensors: list[Any]) -> bool:
    """No operation: it answered a question, or failed, or there was nothing to convert."""
    event = entry.event
    if event is None or event.held:
        return False
    if event.name == "to_dtype" and entry.frame is not None:
        return any(value is tensors[0] for value in _arguments(entry.frame)) if tensors else True
    return not tensors


def _arguments(frame: FrameType) -> Iterator[Any]:
    code, values = frame.f_code, frame.f_locals
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4)
    for name in code.co_varnames[:count]:
        if name in values:
            yield values[name]


def _tensors(value: Any, depth: int = 3) -> Iterator[Any]:
    if isinstance(value, TensorBase):
        yield value
    elif depth and isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each, depth - 1)


def _shapes(values: Iterator[Any]) -> Shapes:
    return tuple([t.array.shape for value in values for t in _tensors(value)])


def _fresh_bytes(tensors: list[Any], frame: FrameType | None) -> int:
    """Of results that are neither arguments, nor see memory that was there before."""
    given = [] if frame is None else [t for v in _arguments(frame) for t in _tensors(v)]
    cells = [t._cell for t in given if t._cell is not None]
    total = 0
    for tensor in tensors:
        seen = any(tensor is t for t in given) or any(tensor._cell is c for c in cells)
        if tensor._view is None and not seen:
            total += tensor.array.nbytes
    return int(total)
