"""Writing into a tensor: one rule for every in-place operation.

The new value is computed by the ordinary op and copied into the tensor's own memory, where views,
``detach()`` and NumPy see it; then the same tensor object takes the new value's place on the tape.
A write through a view reaches its base as a ``view_scatter`` node, from which the view, and every
other view of the base, remakes its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.grad_mode import grad_mode, no_grad
from lucidlite.ops.choose import masked_fill
from lucidlite.ops.common import (
    SCALARS,
    as_tensor_operand,
    check_tensor,
    moved,
    number_array,
    same_device,
    to_dtype,
    zero_vjp,
)
from lucidlite.ops.index_key import normalize
from lucidlite.ops.indexing import getitem, index_put
from lucidlite.saved import SavedOutput
from lucidlite.tape import record, wrap
from lucidlite.view import Steps, View, replay

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def assign(op: str, target: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Write ``compute(target)`` into ``target``; returns ``target``.

    RuntimeError, as PyTorch: a leaf that requires grad (or a view of one), a tensor whose elements
    share memory, a result of another shape or a dtype that doesn't fit.
    """
    check_tensor(op, "input", target)
    _check_memory(op, target)
    old = _stand_in(target)
    value = compute(old)
    if value.array.shape != target.array.shape:
        raise error(
            RuntimeError,
            f"{op}: output with shape {list(target.array.shape)} doesn't match the broadcast shape "
            f"{list(value.array.shape)}",
        )
    if value.dtype.category > target.dtype.category:
        raise error(
            RuntimeError,
            f"{op}: result type {value.dtype} can't be cast to the desired output type "
            f"{target.dtype}",
        )
    value = to_dtype(value, target.array.dtype)
    base = target if target._view is None else target._view.base
    taped = grad_mode.enabled and (
        value.requires_grad or target.requires_grad or base.requires_grad
    )
    if taped:
        _check_tape(op, target)
    node = value._node if taped else None
    if node is not None:
        _keep_old_values(node, old, target)
    cell = target.version_cell()
    try:
        target.array[...] = value.array
    finally:
        cell.bump()  # one that is interrupted has written too
    if node is not None:
        _claim_outputs(node, value, target)
        cell.writer = cell.value, type(node), node._site
    if not taped:
        return target
    if target._view is None:
        _take_place(target, value)
    else:
        _write_through(target._view, value)
    return target


def _check_memory(op: str, target: Tensor) -> None:
    if target._inference and not grad_mode.inference:
        raise error(
            RuntimeError,
            f"{op}: inplace update to inference tensor outside InferenceMode is not allowed; "
            "make a clone() first",
        )
    strides = target.array.strides
    if target.array.size and any(
        s == 0 and n > 1 for s, n in zip(strides, target.array.shape, strict=True)
    ):
        raise error(
            RuntimeError,
            f"{op}: unsupported operation: more than one element of the written-to tensor refers "
            "to a single memory location. Please clone() the tensor before performing the "
            f"operation, got shape={tuple(target.array.shape)}",
        )


def _check_tape(op: str, target: Tensor) -> None:
    view = target._view
    root: Any = target if view is None else view.base
    if root.is_leaf and root.requires_grad:
        what = "a leaf Variable" if view is None else "a view of a leaf Variable"
        raise error(
            RuntimeError,
            f"{op}: {what} that requires grad is being used in an in-place operation; "
            "use torch.no_grad() to update parameters",
        )
    if view is not None and view.refusal:
        raise error(
            RuntimeError,
            f"{op}: this view {view.refusal} and is being modified inplace. Such a view must not "
            "be modified; clone() it first",
        )


def _stand_in(target: Tensor) -> Tensor:
    """The target as it is before the write: its place on the tape, with a version of its own."""
    if not grad_mode.enabled:
        return target
    old = wrap(target.array, target.backend)
    if target.requires_grad:
        node = target.grad_fn
        if node is None:  # a leaf: refused later, if the result is to be taped
            return target
        old._node, old._output_nr, old._requires_grad = node, target._output_nr, True
    return old


def _keep_old_values(node: Node, old: Tensor, target: Tensor) -> None:
    """Give a vjp that saved the target its own copy of the values about to be overwritten."""
    if any(entry is not None and entry[0] is old for entry in node.saved):
        old.array = target.array.copy(order="K")


def _claim_outputs(node: Node, value: Tensor, target: Tensor) -> None:
    """What the op saved of its output is now the target's memory, under the target's version."""
    cell = target.version_cell()
    node.saved = tuple(
        (SavedOutput(target.array, target.backend, cell, entry[0].nr), cell.value)
        if entry is not None and isinstance(entry[0], SavedOutput) and entry[0].array is value.array
        else entry
        for entry in node.saved
    )


def _write_through(view: View, value: Tensor) -> None:
    """Put the write to a view on its base's part of the tape."""
    base: Any = view.base
    before = wrap(base.array, base.backend)
    if base.requires_grad:
        before._node, before._output_nr, before._requires_grad = (
            base.grad_fn, base._output_nr, True
        )  # fmt: skip
    _take_place(base, record(base.array, view_scatter_vjp, (before, value), (view.steps,)))


def _take_place(target: Tensor, value: Tensor) -> None:
    """Give the target the value's place on the tape; a gradient to be kept is the new value's."""
    old, nr = target._node, target._output_nr
    target._node, target._output_nr = value._node, value._output_nr
    target._requires_grad, target._accumulator = value._requires_grad, None
    held = old.retained.pop(nr, None) if old is not None and old.retained else None
    if held is not None and target._node is not None:
        target._node.retained = {**(target._node.retained or {}), target._output_nr: held}


def view_scatter(base: Tensor, value: Tensor, steps: Steps) -> Tensor:
    """A copy of ``base`` with ``value`` where the view made by ``steps`` looks."""
    out = wrap(base.array.copy(order="K"), base.backend)
    with no_grad():
        replay(out, steps).array[...] = value.array
    return record(out.array, view_scatter_vjp, (base, value), (steps,))


def view_scatter_vjp(node: Node, grad: Tensor, steps: Steps) -> tuple[Tensor | None, ...]:
    taken = replay(grad, steps)
    kept = view_scatter(grad, taken.detach() * 0, steps) if node.needs_input_grad[0] else None
    return kept, taken


def copy_(target: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite with ``source``, broadcast and converted. Semantics: torch.Tensor.copy_."""
    if isinstance(source, SCALARS):
        return fill_(target, source)
    check_tensor("copy_", "source", source)

    def compute(old: Tensor) -> Tensor:
        src = to_dtype(source, old.array.dtype)
        if src.backend is not old.backend:
            src = moved(src, old.backend, non_blocking)
        shape = target.array.shape
        try:
            array = old.backend.xp.broadcast_to(src.array, shape)
        except ValueError:
            raise error(
                RuntimeError,
                "copy_: the size of the source must match or broadcast to the target, "
                f"got source={tuple(src.array.shape)}, target={tuple(shape)}",
            ) from None
        return record(array, copy_vjp, (old, src))

    return assign("copy_", target, compute)


def copy_vjp(node: Node, grad: Tensor) -> tuple[Tensor, ...]:
    return grad * 0, grad


def fill_(target: Tensor, value: Any) -> Tensor:
    """Set every element to a number or 0-dim tensor. Semantics: torch.Tensor.fill_."""

    def compute(old: Tensor) -> Tensor:
        source = value if hasattr(value, "array") else None
        if source is not None:
            if source.array.ndim:
                raise error(
                    RuntimeError,
                    "fill_: only supports 0-dimension value tensor, "
                    f"got shape={tuple(source.array.shape)}",
                )
            return record(
                old.backend.xp.broadcast_to(
                    to_dtype(source, old.array.dtype).array, old.array.shape
                ),
                copy_vjp,
                (old, source),
            )
        number = number_array("fill_", value, old)
        out = old.backend.xp.broadcast_to(number, old.array.shape)
        return record(out, zero_vjp, (old,), name="fill")

    return assign("fill_", target, compute)


def setitem(target: Tensor, key: Any, value: Any) -> None:
    """``target[key] = value``; the value broadcasts and is converted. Semantics: torch indexing."""
    index, basic = normalize(target, key)
    if not hasattr(value, "array"):
        if isinstance(value, SCALARS):
            value = wrap(number_array("setitem", value, target), target.backend)
        else:
            value = as_tensor_operand("setitem", value, target)
    if value.backend is not target.backend:
        _, value = same_device("setitem", target, value)
    masked = any(hasattr(i, "array") and i.array.dtype.kind == "b" for i in index)
    if basic or (masked and not value.array.ndim):
        value = to_dtype(value, target.array.dtype)
    if basic:
        part = getitem(target, key)
        while value.array.ndim > part.array.ndim and value.array.shape[0] == 1:
            value = value.squeeze(0)
        copy_(part, value)
        return
    if value.array.dtype != target.array.dtype:
        raise error(
            RuntimeError,
            "index_put_: index put requires the source and destination dtypes match, "
            f"got {target.dtype} for the destination and {value.dtype} for the source",
        )
    assign("index_put_", target, lambda old: index_put(old, index, value))


def masked_fill_(target: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``masked_fill`` in place. Semantics: torch.Tensor.masked_fill_."""
    return assign("masked_fill_", target, lambda old: masked_fill(old, mask, value))
