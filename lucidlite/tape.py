"""The tape: every recorded operation leaves a Node that knows how to push a gradient back.

An op computes an array and calls ``record(array, vjp, inputs, ...)``. The Node it leaves has edges
to its inputs' Nodes (not to the tensors: an activation dies unless a vjp saved it) and a number:
a consumer is always younger than what it consumes, which is all the engine needs.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lucidlite.backends import Backend
from lucidlite.callsite import Site, describe, module_stack, user_place
from lucidlite.grad_mode import grad_mode
from lucidlite.hooks import NodeHooks, RemovableHandle
from lucidlite.names import node_name
from lucidlite.saved import Out, Saved, SavedOutput, entries, freed, overwritten
from lucidlite.tensor_base import TensorBase
from lucidlite.view import Steps, View

if TYPE_CHECKING:
    from lucidlite.backends.kernels import Array
    from lucidlite.tensor import Tensor

Vjp = Callable[..., Any]
Edge = tuple["Node", int]
Meta = tuple[tuple[int, ...], Any, Backend]  # what an output is like: shape, dtype, where
_numbers = itertools.count()


class Node:
    """One recorded operation: ``grad_fn``. Subclasses carry PyTorch's names, as printed.

    ``vjp(node, grad, *args)`` returns a gradient (or None) for each input; a node with several
    outputs gets a tuple of gradients, None where an output went unused.
    """

    __slots__ = (
        "__dict__", "__weakref__", "_site", "args", "edges", "metas", "modules",
        "needs_input_grad", "number", "released", "saved", "state", "vjp",
    )  # fmt: skip

    # What few nodes have, so that making the others costs nothing for it.
    op = ""  # the vjp's name, or the variant's
    many = False  # several outputs: the vjp gets a tuple of gradients
    hooks: NodeHooks | None = None
    retained: dict[int, weakref.ref[TensorBase]] | None = None

    def __init__(
        self,
        vjp: Any,
        edges: tuple[Edge | None, ...],
        args: tuple[Any, ...],
        metas: tuple[Meta, ...],
        state: Any,
    ) -> None:
        self.number = next(_numbers)
        self.vjp = vjp
        self.edges = edges
        self.args = args
        self.needs_input_grad = tuple(map(bool, edges))
        self.metas = metas
        self.saved: tuple[Saved, ...] = ()
        self.state = state
        self.released = False
        self._site = None if vjp is None else user_place(3)
        self.modules = module_stack()

    def name(self) -> str:
        """What PyTorch calls this operation: 'MulBackward0'."""
        return type(self).__name__

    @property
    def site(self) -> Site | None:
        """Where the user recorded this node."""
        return None if self._site is None else Site(*self._site)

    @property
    def place(self) -> str:
        """The lines that say where the user recorded this node."""
        return describe(self.site, self.modules, "recorded at")

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """(Node, output number) of each input, as PyTorch names the edges."""
        return tuple((None, 0) if edge is None else edge for edge in self.edges)

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What the op saved, after a check that nobody wrote to it since."""
        if self.released:
            raise freed(self)
        found: list[Any] = [None if e is None else self._unpack(*e) for e in self.saved]
        return tuple(found)

    def kernel_state(self) -> Any:
        """What the forward kernel left for the backward one."""
        if self.released:
            raise freed(self)
        return self.state

    def _unpack(self, held: Any, version: int) -> Any:
        cell = held._cell
        now = 0 if cell is None else cell.value
        if now != version:
            raise overwritten(self, held, now, version)
        if type(held) is not SavedOutput:
            return held
        tensor = wrap(held.array, held.backend)
        tensor._node, tensor._output_nr = self, held.nr
        tensor._cell, tensor._requires_grad = cell, True
        return tensor

    def release(self) -> None:
        """Let go of what was kept for backward."""
        if self.saved or self.state is not None:
            self.released = True
            self.saved = ()
            self.state = None

    def saved_bytes(self) -> int:
        """Bytes of memory this node keeps for backward, kernel state included."""
        arrays = [entry[0].array for entry in self.saved if entry is not None]
        state = self.state if isinstance(self.state, tuple) else (self.state,)
        return sum(a.nbytes for a in (*arrays, *state) if hasattr(a, "nbytes"))

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` after the vjp; it may replace the first."""
        return self.add_hook("post", hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before this node's vjp; it may return replacements."""
        return self.add_hook("pre", hook)

    def add_hook(self, when: str | int, hook: Callable[..., Any]) -> RemovableHandle:
        """A hook 'pre' or 'post' the vjp, or on the summed gradient of output number ``when``."""
        if self.hooks is None:
            self.hooks = NodeHooks()
        return self.hooks.add(when, hook)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """The end of the tape at a leaf: where its summed gradient arrives.

    Made at the leaf's first use in a graph, so it is older than every consumer and is reached
    right after the last of them. Only edges hold it; the leaf knows it weakly.
    """

    __slots__ = ("variable",)

    def __init__(self, variable: TensorBase) -> None:
        array = variable.array
        super().__init__(None, (), (), ((array.shape, array.dtype, variable.backend),), None)
        self.variable = variable


_classes: dict[Any, type[Node]] = {}  # by vjp, or by (vjp, name)


def _node_class(vjp: Vjp, name: str) -> type[Node]:
    key = (vjp, name) if name else vjp
    found = _classes.get(key)
    if found is None:
        op = name or vjp.__name__
        printed = name if name.endswith("Backward") else node_name(op)
        found = type(printed, (Node,), {"__slots__": (), "__module__": __name__, "op": op})
        _classes[key] = found
    return found


def gradient_edge(tensor: TensorBase) -> Edge:
    """Where the gradient of a tensor that requires one goes."""
    node = tensor._node if tensor._view is None else tensor.grad_fn
    if node is not None:
        return node, tensor._output_nr
    held = tensor._accumulator
    accumulator = None if held is None else held()
    if accumulator is None:
        accumulator = AccumulateGrad(tensor)
        tensor._accumulator = weakref.ref(accumulator)
    return accumulator, 0


def _edges(inputs: Sequence[Any]) -> tuple[Edge | None, ...]:
    """Where each input's gradient goes, None where none is asked for; () if none is at all."""
    edges: list[Edge | None] = []
    found = False
    for t in inputs:
        # A view may have joined the graph with its base since: only its property knows.
        if t is None or not (t._requires_grad if t._view is None else t.requires_grad):
            edges.append(None)
        else:
            node = t._node  # of a view it may be an old one
            known = node is not None and t._view is None
            edges.append((node, t._output_nr) if known else gradient_edge(t))
            found = True
    return tuple(edges) if found else ()


_new: Any = object.__new__


def wrap(array: Array, backend: Backend) -> Tensor:
    """A tensor that sees ``array``, outside any graph."""
    tensor: Tensor = _new(TensorBase.concrete)
    tensor.array = array
    tensor.backend = backend
    if grad_mode.inference:
        tensor._inference = True
    return tensor


def fresh(grad: Tensor) -> Tensor:
    """Say of a new gradient that nobody else sees its memory; returns it."""
    if not grad_mode.enabled:
        grad._fresh = True
    return grad


def needs_grad(*inputs: TensorBase | None) -> tuple[bool, ...]:
    """Which inputs a gradient will be asked for; kernels keep state for nobody else."""
    enabled = grad_mode.enabled
    return tuple([enabled and t is not None and t.requires_grad for t in inputs])


def record(
    array: Array,
    vjp: Vjp,
    inputs: Sequence[Any],
    args: tuple[Any, ...] = (),
    save: Sequence[TensorBase | Out | None] = (),
    state: Any = None,
    name: str = "",
    backend: Backend | None = None,
    save_for: Sequence[TensorBase | None] = (),
) -> Tensor:
    """``array`` as a tensor, with a Node on the tape if an input requires grad.

    ``inputs`` are tensors, all but the first may be None. ``vjp(node, grad, *args)`` is the reverse
    rule; ``args`` are ints, tuples and Windows, no arrays. ``save`` are the tensors it reads as
    ``node.saved_tensors``, ``state`` what the kernel wants back, ``name`` a variant of the op that
    PyTorch prints another name for, ``backend`` the result's where it isn't the inputs'.
    ``save_for``, instead of ``save``, names for each input the tensor that its gradient reads: it
    is saved only where that gradient is wanted.
    """
    if backend is None:
        backend = inputs[0].backend
    out: Tensor = _new(TensorBase.concrete)
    out.array = array
    out.backend = backend
    if grad_mode.inference:
        out._inference = True
    if grad_mode.enabled and (edges := _edges(inputs)):
        kind = _classes.get((vjp, name) if name else vjp) or _node_class(vjp, name)
        node = kind(vjp, edges, args, ((array.shape, array.dtype, backend),), state)
        if save_for:
            node.saved = entries(save_for, (out,), edges)
        elif save:
            node.saved = entries(save, (out,))
        out._node, out._requires_grad = node, True
    return out


def record_many(
    arrays: Sequence[Array],
    vjp: Vjp,
    inputs: Sequence[Any],
    args: tuple[Any, ...] = (),
    save: Sequence[TensorBase | Out | None] = (),
    state: Any = None,
    name: str = "",
    differentiable: Sequence[bool] | None = None,
) -> tuple[Tensor, ...]:
    """``record`` for an op with several outputs: one Node, whose vjp gets a tuple of gradients."""
    outs = tuple([wrap(array, inputs[0].backend) for array in arrays])
    if grad_mode.enabled and (edges := _edges(inputs)):
        metas = tuple([(array.shape, array.dtype, outs[0].backend) for array in arrays])
        node = _node_class(vjp, name)(vjp, edges, args, metas, state)
        node.many, node.saved = True, entries(save, outs)
        for nr, out in enumerate(outs):
            if out.array.dtype.kind == "f" and (differentiable is None or differentiable[nr]):
                out._node, out._output_nr, out._requires_grad = node, nr, True
    return outs


def as_view(
    out: Tensor, base: TensorBase, op: Vjp, args: tuple[Any, ...], refusal: str = ""
) -> Tensor:
    """Note that ``out`` sees ``base``'s memory through ``op(base, *args)``; returns ``out``.

    Writes to one are then seen, and differentiated, through the other.
    """
    out._cell = base.version_cell(share=True)
    out._inference = base._inference
    view = base._view
    if not refusal and not grad_mode.enabled:
        refusal = "was created in no_grad mode"
    steps: Steps = ((op, args),)
    if view is not None:
        steps, base, refusal = view.steps + steps, view.base, view.refusal or refusal
    out._view = View(base, steps, out._cell.value, refusal)
    return out
