"""The public door of automatic differentiation: grad, backward, Function, checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.engine import backward as run_backward
from lucidlite.engine import gradients
from lucidlite.engine_checks import check_inputs, detect_anomaly, seeds, set_detect_anomaly
from lucidlite.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from lucidlite.gradcheck import gradcheck, gradgradcheck
from lucidlite.saved import Out
from lucidlite.tape import Node, record_many, wrap
from lucidlite.tensor import Tensor

__all__ = [
    "Function",
    "Node",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

Tensors = Tensor | Sequence[Tensor]


def _listed(tensors: Any) -> list[Any]:
    several = isinstance(tensors, Iterable) and not isinstance(tensors, Tensor)
    return list(tensors) if several else [tensors]


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of several tensors to the leaves'. Semantics: torch.autograd.backward."""
    outputs = _listed(tensors)
    given = [None] * len(outputs) if grad_tensors is None else _listed(grad_tensors)
    start = _matched("backward", outputs, given)
    keep = create_graph if retain_graph is None else retain_graph
    wanted = None if inputs is None else check_inputs("backward", inputs)
    run_backward(outputs, start, keep, create_graph, wanted)


def _matched(op: str, outputs: list[Any], given: list[Any]) -> list[Any]:
    if len(outputs) != len(given):
        raise error(RuntimeError, f"{op}: got {len(outputs)} tensors and {len(given)} gradients")
    return seeds(op, outputs, given)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``; ``.grad`` stays as it is.

    ``create_graph`` makes the result differentiable. An input that ``outputs`` don't depend on is
    an error, or None with ``allow_unused``, or zeros with ``materialize_grads``.

    >>> import lucidlite
    >>> x = lucidlite.tensor(3.0, requires_grad=True)
    >>> (first,) = lucidlite.autograd.grad(x**3, x, create_graph=True)
    >>> first.item(), lucidlite.autograd.grad(first, x)[0].item()
    (27.0, 18.0)

    Semantics: torch.autograd.grad.
    """
    if is_grads_batched:
        raise error(
            RuntimeError,
            "grad: is_grads_batched is not supported, call grad() once for each gradient",
        )
    if materialize_grads and allow_unused is False:
        raise error(ValueError, "grad: materialize_grads needs allow_unused to be True or None")
    outs = _listed(outputs)
    given = [None] * len(outs) if grad_outputs is None else _listed(grad_outputs)
    start = _matched("grad", outs, given)
    ins = check_inputs("grad", inputs)
    keep = create_graph if retain_graph is None else retain_graph
    found: list[Any] = gradients(outs, start, ins, keep, create_graph)
    for index, result in enumerate(found):
        if result is None and materialize_grads:
            zeros = ins[index].backend.xp.zeros_like(ins[index].array)
            found[index] = wrap(zeros, ins[index].backend)
        elif result is None and not allow_unused:
            raise error(
                RuntimeError,
                "grad: one of the differentiated Tensors appears to not have been used in the "
                "graph. Set allow_unused=True if this is the desired behavior, "
                f"got inputs[{index}] of shape {tuple(ins[index].shape)}",
            )
    return tuple(found)


class Context:
    """``ctx``: what ``Function.forward`` leaves for ``backward``. Any attribute may be set."""

    def __init__(self) -> None:
        self._node: Node | None = None
        self._save: tuple[Any, ...] = ()
        self._dirty: tuple[Any, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (inputs, outputs or others) for ``ctx.saved_tensors``."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise error(
                    TypeError,
                    "save_for_backward: can only save tensors, keep others as attributes of ctx, "
                    f"got {type(tensor).__name__}",
                )
        self._save = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs ``forward`` changed in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether unused outputs get zeros (the default) or None in ``backward``."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The saved tensors, checked for writes since."""
        if self._node is None:
            return self._save
        return self._node.saved_tensors


class Function:
    """An operation with a hand-written gradient: subclass with static ``forward`` and ``backward``.

    ``forward(ctx, *args)`` computes outside the graph; ``backward(ctx, *grads)`` returns a gradient
    (or None) for each argument of ``forward``. Call it as ``MyFunction.apply(*args)``.

    >>> import lucidlite
    >>> class Cube(lucidlite.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad * 3 * x**2
    >>> x = lucidlite.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)

    Semantics: torch.autograd.Function.
    """

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Fill ``ctx`` after ``forward(*args)``, for a Function whose forward takes no ctx."""

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:  # noqa: ARG004
        """Compute the outputs."""
        raise error(
            NotImplementedError, "Function: you must implement the forward function of a Function"
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # noqa: ARG004
        """Push gradients of the outputs back to the inputs."""
        raise error(
            NotImplementedError, "Function: you must implement the backward function of a Function"
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run ``forward`` and put the result on the tape."""
        ctx = Context()
        places = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        inputs = [args[i] for i in places]
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                returned = cls.forward(ctx, *args)
            else:
                returned = cls.forward(*args)
                cls.setup_context(ctx, args, returned)
        single = not isinstance(returned, tuple)
        outs = (returned,) if single else returned
        results = cls._record(ctx, args, inputs, outs)
        return results[0] if single else results

    @classmethod
    def _record(
        cls, ctx: Context, args: tuple[Any, ...], inputs: list[Tensor], outs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        tensors = [out for out in outs if isinstance(out, Tensor)]
        if not tensors or not inputs:
            return outs
        numbers = {id(out): nr for nr, out in enumerate(tensors)}
        own = {id(t) for t in inputs}
        save = [Out(numbers[id(t)]) if id(t) in numbers and id(t) not in own else t
                for t in ctx._save]  # fmt: skip
        constant = {id(t) for t in ctx._constant}
        slots = tuple(isinstance(arg, Tensor) for arg in args)
        recorded = record_many(
            [t.array for t in tensors],
            function_vjp,
            inputs,
            (cls, ctx, slots),
            save,
            name=cls.__name__ + "Backward",
            differentiable=[id(t) not in constant for t in tensors],
        )
        ctx._save = ()
        for tensor, out in zip(tensors, recorded, strict=True):
            if any(tensor is t for t in ctx._dirty):
                _became(tensor, out)
            elif tensor._cell is not None or id(tensor) in own:
                _seen_with(tensor, out)
        fresh = iter([t if any(t is d for d in ctx._dirty) else r
                      for t, r in zip(tensors, recorded, strict=True)])  # fmt: skip
        return tuple(next(fresh) if isinstance(out, Tensor) else out for out in outs)


def _became(tensor: Tensor, out: Tensor) -> None:
    """An input changed in place takes its output's place on the tape."""
    if tensor.is_leaf and tensor.requires_grad:
        raise error(
            RuntimeError,
            "Function: a leaf Variable that requires grad is being used in an in-place operation",
        )
    tensor._node, tensor._output_nr = out._node, out._output_nr
    tensor._requires_grad = out._requires_grad
    tensor.bump_version()


def _seen_with(tensor: Tensor, out: Tensor) -> None:
    """An output in memory that others see too counts writes with them."""
    old, out._cell = out._cell, tensor.version_cell(share=True)
    if old is None or out._node is None:
        return
    entries = list(out._node.saved)
    for nr, entry in enumerate(entries):
        if entry is not None and entry[0]._cell is old:  # the output itself was saved
            entry[0]._cell = out._cell
            entries[nr] = entry[0], out._cell.value
    out._node.saved = tuple(entries)


def function_vjp(
    node: Node, grads: tuple[Any, ...], cls: type[Function], ctx: Context, slots: tuple[bool, ...]
) -> tuple[Any, ...]:
    """``cls.backward`` as the reverse rule of the node that ``apply`` recorded."""
    if ctx._materialize:
        grads = tuple(
            wrap(backend.xp.zeros(shape, kind), backend) if grad is None else grad
            for grad, (shape, kind, backend) in zip(grads, node.metas, strict=True)
        )
    ctx._node = node
    try:
        returned = cls.backward(ctx, *grads)
    finally:
        ctx._node = None
    returned = returned if isinstance(returned, tuple) else (returned,)
    if len(returned) < len(slots) or any(g is not None for g in returned[len(slots) :]):
        raise error(
            RuntimeError,
            f"Function: {cls.__name__}.backward returned an incorrect number of gradients "
            f"(expected {len(slots)}, got {len(returned)})",
        )
    for index, (grad, is_tensor) in enumerate(zip(returned, slots, strict=False)):
        if grad is not None and not isinstance(grad, Tensor):
            raise error(
                RuntimeError,
                f"Function: {cls.__name__}.backward must return tensors or None, "
                f"got {type(grad).__name__} at position {index + 1}",
            )
        if grad is not None and not is_tensor:
            raise error(
                RuntimeError,
                f"Function: {cls.__name__}.backward returned a gradient different from None at "
                f"position {index + 1}, but the corresponding forward input was not a Variable",
            )
    return tuple(g for g, is_tensor in zip(returned, slots, strict=False) if is_tensor)
