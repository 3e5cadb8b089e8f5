"""The tape: every recorded operation leaves a Node that knows how to push a gradient back.

An op computes an array and calls ``record(array, vjp, inputs, ...)``. The Node it leaves has edges
to its inputs' Nodes (not to the tensors: an activation dies unless a vjp saved it) and a number:
a consumer is always younger than what it consumes, which is all the engine needs.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.backends import Backend
from lucidlite.callsite import describe, error, module_stack, user_site
from lucidlite.grad_mode import grad_mode
from lucidlite.hooks import NodeHooks, RemovableHandle
from lucidlite.names import node_name
from lucidlite.tensor_base import TensorBase
from lucidlite.view import Steps, Version, View

if TYPE_CHECKING:
    from lucidlite.backends.kernels import Array
    from lucidlite.tensor import Tensor

Vjp = Callable[..., Any]
Edge = tuple["Node", int]
_numbers = itertools.count()


class Out(NamedTuple):
    """In ``save=``: the op's own output number ``nr``, held without a reference cycle."""

    nr: int


OUT = Out(0)


class SavedOutput(NamedTuple):
    """What a node holds of its own output: memory and version, not the tensor."""

    array: Array
    backend: Backend
    cell: Version
    nr: int


class Node:
    """One recorded operation: ``grad_fn``. Subclasses carry PyTorch's names, as printed.

    ``vjp(node, grad, *args)`` returns a gradient (or None) for each input; a node with several
    outputs gets a tuple of gradients, None where an output went unused.
    """

    __slots__ = (
        "__weakref__", "args", "edges", "hooks", "many", "metas", "modules", "needs_input_grad",
        "number", "released", "retained", "saved", "site", "state", "vjp",
    )  # fmt: skip

    def __init__(self, vjp: Any, edges: tuple[Edge | None, ...], args: tuple[Any, ...]) -> None:
        self.number = next(_numbers)
        self.vjp = vjp
        self.edges = edges
        self.args = args
        self.needs_input_grad = tuple([edge is not None for edge in edges])
        self.metas: tuple[tuple[tuple[int, ...], Any, Backend], ...] = ()  # of each output
        self.many = False
        self.saved: tuple[tuple[Any, int] | None, ...] = ()
        self.state: Any = None
        self.released = False
        self.hooks: NodeHooks | None = None
        self.retained: dict[int, weakref.ref[TensorBase]] | None = None
        self.site = user_site()
        self.modules = module_stack()

    def name(self) -> str:
        """What PyTorch calls this operation: 'MulBackward0'."""
        return type(self).__name__

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
        self._check_held()
        found = [None if entry is None else self._unpack(*entry) for entry in self.saved]
        return tuple(found)  # type: ignore[arg-type]

    def kernel_state(self) -> Any:
        """What the forward kernel left for the backward one."""
        self._check_held()
        return self.state

    def _check_held(self) -> None:
        if self.released:
            raise error(
                RuntimeError,
                "backward: trying to backward through the graph a second time (or directly access "
                "saved tensors after they have already been freed). Saved intermediate values of "
                "the graph are freed when you call .backward() or autograd.grad(). Specify "
                "retain_graph=True if you need to backward through the graph a second time, "
                f"got node={self.name()}{self.place}",
            )

    def _unpack(self, held: Any, version: int) -> Tensor:
        output = isinstance(held, SavedOutput)
        now = held.cell.value if output else held._cell.value if held._cell is not None else 0
        if now != version:
            raise error(
                RuntimeError,
                "backward: one of the variables needed for gradient computation has been modified "
                f"by an inplace operation: {self.name()} saved a tensor of shape "
                f"{tuple(held.array.shape)}, got version={now}, expected version={version}"
                f"{self.place}",
            )
        if not output:
            return held  # type: ignore[no-any-return]
        tensor = wrap(held.array, held.backend)
        tensor._node, tensor._output_nr = self, held.nr
        tensor._cell, tensor._requires_grad = held.cell, True
        return tensor

    def keep(self, outs: tuple[TensorBase, ...], save: Sequence[Any], state: Any) -> None:
        """Note what the outputs are like, and what the vjp will want."""
        self.metas = tuple([(out.array.shape, out.array.dtype, out.backend) for out in outs])
        self.state = state
        if save:
            self.saved = tuple([_saved(held, outs) for held in save])

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
        super().__init__(None, (), ())
        self.variable = variable
        self.keep((variable,), (), None)


def _saved(held: Any, outs: tuple[Any, ...]) -> tuple[Any, int] | None:
    """An entry of ``save=`` with its version now."""
    if held is None:
        return None
    if isinstance(held, Out):
        out = outs[held.nr]
        cell = out.version_cell()
        return SavedOutput(out.array, out.backend, cell, held.nr), cell.value
    if held._inference:
        raise error(
            RuntimeError,
            "record: inference tensors cannot be saved for backward; make a clone() outside "
            f"inference_mode to get a normal tensor, got shape={tuple(held.shape)}",
        )
    return held, 0 if held._cell is None else held._cell.value


_classes: dict[tuple[Vjp, str], type[Node]] = {}


def _node_class(vjp: Vjp, name: str) -> type[Node]:
    found = _classes.get((vjp, name))
    if found is None:
        printed = name if name.endswith("Backward") else node_name(name or vjp.__name__)
        found = type(printed, (Node,), {"__slots__": (), "__module__": __name__})
        _classes[vjp, name] = found
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


def wrap(array: Array, backend: Backend) -> Tensor:
    """A tensor that sees ``array``, outside any graph."""
    kind: Any = TensorBase.concrete
    tensor = kind.__new__(kind)
    tensor.array = array
    tensor.backend = backend
    if grad_mode.inference:
        tensor._inference = True
    return tensor  # type: ignore[no-any-return]


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
) -> Tensor:
    """``array`` as a tensor, with a Node on the tape if an input requires grad.

    ``inputs`` are tensors, all but the first may be None. ``vjp(node, grad, *args)`` is the reverse
    rule; ``args`` are ints, tuples and Windows, no arrays. ``save`` are the tensors it reads as
    ``node.saved_tensors``, ``state`` what the kernel wants back, ``name`` a variant of the op that
    PyTorch prints another name for, ``backend`` the result's where it isn't the inputs'.
    """
    out = wrap(array, inputs[0].backend if backend is None else backend)
    if grad_mode.enabled and any(map(_asks, inputs)):
        node = _node_class(vjp, name)(vjp, _edges(inputs), args)
        out._node, out._requires_grad = node, True
        node.keep((out,), save, state)
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
    if grad_mode.enabled and any(map(_asks, inputs)):
        node = _node_class(vjp, name)(vjp, _edges(inputs), args)
        node.many = True
        for nr, out in enumerate(outs):
            if out.array.dtype.kind == "f" and (differentiable is None or differentiable[nr]):
                out._node, out._output_nr, out._requires_grad = node, nr, True
        node.keep(outs, save, state)
    return outs


def _asks(t: Any) -> bool:
    """Whether an input requires grad; a view may have joined the graph with its base since."""
    return t is not None and (t._requires_grad if t._view is None else t.requires_grad)


def _edges(inputs: Sequence[Any]) -> tuple[Edge | None, ...]:
    return tuple([gradient_edge(t) if _asks(t) else None for t in inputs])


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
