"""What a forward and a backward of a model cost, module by module, and leaving no trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from statistics import median
from time import perf_counter as clock
from typing import Any

import numpy as np

from lucidlite.costs.multiply_adds import counted
from lucidlite.creation import ones_like
from lucidlite.engine import Grads, Walk
from lucidlite.generator import Generator, current_generator, default_generator
from lucidlite.grad_mode import enable_grad, inference_mode
from lucidlite.kept import kept_bytes, owner_of
from lucidlite.nn.module import Module
from lucidlite.tape import Node
from lucidlite.tensor import Tensor

RUNS = 5

Shape = tuple[int, ...]


@dataclass
class Cost:
    """What one module did itself, without the modules it called."""

    calls: int = 0
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    multiply_adds: int = 0
    activation_bytes: int = 0
    saved_bytes: int = 0
    forward: list[float] = field(default_factory=list)  # seconds of each run
    backward: list[float] = field(default_factory=list)


@dataclass
class Costs:
    """Of all modules, in the order of their first call, and of the model as a whole."""

    modules: dict[Module, Cost]
    tape_bytes: int = 0
    backward_problem: str = ""  # why there is no time of it


def measure(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any], timed: bool) -> Costs:
    """Run ``model(*args, **kwargs)`` with gradients, once, and ``RUNS`` times more if ``timed``."""
    found = Costs({})
    tensors = (*tensors_of((args, kwargs)), *model.parameters(), *model.buffers())
    backends = {tensor.backend for tensor in tensors}

    def wait() -> None:
        for backend in backends:
            backend.synchronize()

    with _untouched(model), inference_mode(False), enable_grad():
        copies = _copied(args), _copied(kwargs)
        first = _number()
        outputs = _looked_at(model, *copies, found)
        _saved(model, outputs, list(tensors_of(copies)), first, found)
        del outputs, copies
        for _ in range(RUNS if timed else 0):
            copies = _copied(args), _copied(kwargs)
            first = _number()
            outputs = _clocked(model, *copies, found, wait)
            if not found.backward_problem:
                _clocked_backward(model, outputs, first, found, wait)
            del outputs
    return found


def middle(seconds: list[float]) -> float | None:
    """The median, None of nothing."""
    return median(seconds) if seconds else None


# -- the first run: shapes, work, memory -----------------------------------------------------------


def _looked_at(model: Module, args: Any, kwargs: Any, found: Costs) -> list[Tensor]:
    running: list[Cost] = []
    seen: dict[int, Any] = {}  # memory that was an input or an output already

    def look(tensors: list[Tensor]) -> int:
        """Bytes in memory that wasn't seen before."""
        fresh = 0
        for tensor in tensors:
            owner = owner_of(tensor.array)
            fresh += 0 if id(owner) in seen else tensor.array.nbytes
            seen[id(owner)] = owner
        return fresh

    def enter(module: Module, args: Any, kwargs: Any) -> None:
        cost = found.modules.setdefault(module, Cost())
        cost.calls += 1
        tensors = list(tensors_of((args, kwargs)))
        cost.inputs = tuple([tuple(t.shape) for t in tensors])
        look(tensors)
        running.append(cost)

    def leave(_module: Module, _args: Any, output: Any) -> None:
        cost = running.pop()
        outputs = list(tensors_of(output))
        cost.outputs = tuple([tuple(t.shape) for t in outputs])
        cost.activation_bytes += look(outputs)

    def add(n: int) -> None:
        if running:
            running[-1].multiply_adds += n

    with _hooked(model, enter, leave), counted(add):
        return list(tensors_of(model(*args, **kwargs)))


def _saved(
    model: Module, outputs: list[Tensor], given: list[Tensor], first: int, found: Costs
) -> None:
    """Bytes that nodes keep, by module, and of distinct memory that nobody else holds."""
    nodes = list(_nodes(outputs, first))
    for node in nodes:
        _cost_of(model, node, found).saved_bytes += node.saved_bytes()
    held = (*given, *model.parameters(), *model.buffers())
    found.tape_bytes = kept_bytes(nodes, [tensor.array for tensor in held])


def _nodes(outputs: list[Tensor], first: int) -> Iterator[Node]:
    """Those made since number ``first``."""
    seen: set[Node] = set()
    waiting = [tensor.grad_fn for tensor in outputs]
    while waiting:
        node = waiting.pop()
        if node is not None and node.number > first and node not in seen:
            seen.add(node)
            yield node
            waiting.extend([edge[0] for edge in node.edges if edge is not None])


def _cost_of(model: Module, node: Node, found: Costs) -> Cost:
    """The module whose forward made the node; the model itself for what came by another way."""
    made_in = None if node.modules is None else node.modules[0]()
    known = found.modules.get(made_in) if made_in is not None else None
    return found.modules[model] if known is None else known


# -- the others: time ------------------------------------------------------------------------------


def _clocked(
    model: Module, args: Any, kwargs: Any, found: Costs, wait: Callable[[], None]
) -> list[Tensor]:
    own: dict[Module, float] = {}
    running: list[list[float]] = []  # [when it began, seconds in modules it called]

    def enter(_module: Module, _args: Any, _kwargs: Any) -> None:
        wait()
        running.append([clock(), 0.0])

    def leave(module: Module, _args: Any, _output: Any) -> None:
        wait()
        begun, inner = running.pop()
        took = clock() - begun
        own[module] = own.get(module, 0.0) + max(took - inner, 0.0)
        if running:
            running[-1][1] += took

    with _hooked(model, enter, leave):
        outputs = list(tensors_of(model(*args, **kwargs)))
    for module, seconds in own.items():
        found.modules.setdefault(module, Cost()).forward.append(seconds)
    return outputs


class _DryWalk(Walk):
    """A backward that writes no ``.grad``; ``note(node, seconds)`` after each node."""

    def __init__(self, note: Callable[[Node, float], None], wait: Callable[[], None]) -> None:
        super().__init__(False, False)
        self._note, self._wait = note, wait

    def visit(self, node: Node, grads: Grads) -> Grads:
        begun = clock()
        sent = super().visit(node, grads)
        self._wait()
        self._note(node, clock() - begun)
        return sent

    def arrive(self, node: Any, grads: Grads) -> None:
        """Nothing: a leaf keeps the gradient it has."""


def _clocked_backward(
    model: Module, outputs: list[Tensor], first: int, found: Costs, wait: Callable[[], None]
) -> None:
    roots = list({id(t): t for t in outputs if t.requires_grad}.values())
    own: dict[int, tuple[Cost, float]] = {}

    def note(node: Node, seconds: float) -> None:
        if node.number > first:
            cost = _cost_of(model, node, found)
            own[id(cost)] = cost, own.get(id(cost), (cost, 0.0))[1] + seconds

    walk = _DryWalk(note, wait)
    try:
        walk.start(roots, [ones_like(t.detach()) for t in roots])
        wait()
        walk.run()
    except Exception as problem:  # a model may be without one
        found.backward_problem = str(problem).partition("\n")[0] or type(problem).__name__
        for cost in found.modules.values():
            cost.backward.clear()
        return
    for cost, seconds in own.values():
        cost.backward.append(seconds)


# -- leaving things as they are --------------------------------------------------------------------


@contextmanager
def _hooked(model: Module, enter: Any, leave: Any) -> Iterator[None]:
    """Hooks around all others, for the block."""
    handles = []
    try:
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True))
            # Called for one that fails, too: its caller may have another way.
            handles.append(module.register_forward_hook(leave, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _untouched(model: Module) -> Iterator[None]:
    """What forwards do in the block to buffers, attributes and generators is undone.

    Buffers are stood in for by copies, so that nobody who holds one sees it written to.
    """
    modules = list(model.modules())
    tables = ("_buffers", "_parameters", "_modules")
    before = [(m, dict(vars(m)), [dict(vars(m)[table]) for table in tables]) for m in modules]
    copies: dict[int, Tensor] = {}
    held = [g for m in modules for g in vars(m).values() if isinstance(g, Generator)]
    generators = {id(g): g for g in (default_generator, current_generator(), *held)}.values()
    with ExitStack() as stack:
        for generator in generators:
            stack.callback(generator.set_state, generator.get_state())
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        stack.callback(_put_back, before, tables)
        for module in modules:
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    copy = copies.setdefault(id(buffer), buffer.detach().clone())
                    module._buffers[name] = copy
        yield


def _put_back(before: Any, tables: tuple[str, ...]) -> None:
    for module, attributes, contents in before:
        vars(module).clear()
        vars(module).update(attributes)
        for table, content in zip(tables, contents, strict=True):
            held = attributes[table]
            held.clear()
            held.update(content)


def _copied(value: Any) -> Any:
    """Tensors as copies that a model may write to, in the same containers."""
    if isinstance(value, Tensor):
        copy = value.detach().clone()
        if not value.requires_grad:
            return copy
        copy.requires_grad_()
        return copy if value.is_leaf else copy.clone()
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)([_copied(each) for each in value])
    if isinstance(value, tuple):  # a named one
        return type(value)(*[_copied(each) for each in value])
    return value


def tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors in containers: lists, tuples, dicts, dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_of(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_of(each)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from tensors_of([getattr(value, each.name) for each in fields(value)])


def _number() -> int:
    """Nodes made from now on have a higher one."""
    return Node(None, (), (), (), None).number
