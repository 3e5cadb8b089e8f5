"""Choosing between values, element by element: where, the larger, the smaller, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from lucidlite.callsite import error
from lucidlite.ops.common import (
    SCALARS,
    check_broadcast,
    check_device,
    check_dtype,
    check_tensor,
    number_array,
    operands,
    result_type,
    to_dtype,
)
from lucidlite.ops.indexing import nonzero
from lucidlite.tape import record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


@overload
def where(condition: Tensor) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Tensor, input: Any, other: Any) -> Tensor: ...
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """``input`` where ``condition`` (bool) holds, ``other`` elsewhere; broadcasts.

    Semantics: torch.where (its one-argument form is ``nonzero(as_tuple=True)``).
    """
    check_tensor("where", "condition", condition)
    if input is None or other is None:
        if input is not other:
            raise error(TypeError, "where: expected both input and other, or neither")
        return nonzero(condition, as_tuple=True)
    kind = condition.array.dtype
    if kind.kind != "b" and kind != "uint8":
        raise error(
            RuntimeError,
            f"where: expected condition to be a boolean tensor, got dtype={condition.dtype}",
        )
    if not hasattr(input, "array") and not hasattr(other, "array"):
        kind = result_type(input, other).numpy
        input = wrap(condition.backend.constant(input, kind), condition.backend)
        other = wrap(condition.backend.constant(other, kind), condition.backend)
    x, y = operands("where", input, other)
    check_device("where", condition, x, y)
    mask = condition.array if condition.array.dtype.kind == "b" else condition.array != 0
    try:
        out = x.backend.select(mask, x.array, y.array)
    except ValueError:
        check_broadcast("where", condition, x, y)
        raise
    return record(out, where_vjp, (x, y), save=(wrap(mask, x.backend),))


def where_vjp(node: Node, grad: Tensor) -> Gradients:
    (mask,) = node.saved_tensors
    needs = node.needs_input_grad
    return where(mask, grad, 0) if needs[0] else None, where(mask, 0, grad) if needs[1] else None


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two, NaN where either is; ties share the gradient.

    Semantics: torch.maximum.
    """
    return _larger("maximum", input, other)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two, NaN where either is; ties share the gradient.

    Semantics: torch.minimum.
    """
    return _larger("minimum", input, other)


def _larger(op: str, input: Tensor, other: Tensor) -> Tensor:
    check_tensor(op, "input", input)
    check_tensor(op, "other", other)
    x, y = operands(op, input, other)
    try:
        out = x.backend.map(op, x.array, y.array)
    except ValueError:
        check_broadcast(op, x, y)
        raise
    return record(out, maximum_vjp, (x, y), (op == "maximum",), save=(x, y), name=op)


def maximum_vjp(node: Node, grad: Tensor, larger: bool) -> Gradients:
    x, y = node.saved_tensors
    half = where(x == y, grad / 2, grad)
    lost = x < y, x > y  # neither where one is NaN: both then have the gradient
    return where(lost[not larger], 0, half), where(lost[larger], 0, half)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Values limited to [min, max]; bounds are two numbers or two tensors, either may be None.

    Semantics: torch.clamp (where min exceeds max the result is max).
    """
    return _clamped("clamp", input, min, max)


def _clamped(op: str, input: Tensor, min: Any, max: Any) -> Tensor:
    check_tensor(op, "input", input)
    if min is None and max is None:
        raise error(RuntimeError, "clamp: at least one of 'min' or 'max' must not be None")
    tensors = [isinstance(b, TensorBase) for b in (min, max) if b is not None]
    if all(tensors):
        return _clamp_tensors(op, input, min, max)
    min, max = _bound("min", min), _bound("max", max)
    kind = result_type(input, *(b for b in (min, max) if b is not None))
    x = to_dtype(input, kind.numpy)
    check_dtype("clamp", x, "fiu")
    low = None if min is None else number_array("clamp", min, x)
    high = None if max is None else number_array("clamp", max, x)
    if min is not None and max is not None and min > max:
        low = high
    out = x.backend.xp.asarray(x.backend.call("clip", x.array, low, high))
    return record(out, clamp_vjp, (x,), (min, max), save=(x,), name=op)


def _bound(name: str, value: Any) -> Any:
    if isinstance(value, TensorBase) and not value.array.ndim and not value.requires_grad:
        value = value.backend.to_numpy(value.array).item()
    if value is not None and not isinstance(value, SCALARS):
        raise error(
            TypeError,
            "clamp: min and max must both be numbers or both be tensors, "
            f"got {name} as {type(value).__name__}",
        )
    return value


def clamp_vjp(node: Node, grad: Tensor, min: Any, max: Any) -> Tensor:
    (x,) = node.saved_tensors
    inside: Any = x >= min if min is not None else None
    if max is not None:
        inside = x <= max if inside is None else (x <= max) & inside
    return where(inside, grad, 0)


def _clamp_tensors(op: str, input: Tensor, min: Tensor | None, max: Tensor | None) -> Tensor:
    bounds = [b for b in (min, max) if b is not None]
    check_device("clamp", input, *bounds)
    check_broadcast("clamp", input, *bounds)
    kind = result_type(input, *bounds).numpy
    x = to_dtype(input, kind)
    low, high = (None if b is None else to_dtype(b, kind) for b in (min, max))
    if len(bounds) == 2:
        check_dtype("clamp", x, "fiu")
    out = x.array
    if low is not None:
        out = x.backend.map("maximum", out, low.array)
    if high is not None:
        out = x.backend.map("minimum", out, high.array)
    inputs = (x, low, high)
    return record(out, clamp_tensors_vjp, inputs, save=inputs, name=f"{op}_tensor")


def clamp_tensors_vjp(node: Node, grad: Tensor) -> Gradients:
    x, low, high = node.saved_tensors
    if low is None:
        return where(x <= high, grad, 0), None, where(x > high, grad, 0)
    if high is None:
        return where(x >= low, grad, 0), where(x < low, grad, 0), None
    return (
        where((x >= low) & (x <= high), grad, 0),
        where((x < low) & (low < high), grad, 0),
        where((x > high) | (high < low), grad, 0),
    )


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Values limited to ``min`` from below. Semantics: torch.clamp_min."""
    return _clamped("clamp_min", input, min, None)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Values limited to ``max`` from above. Semantics: torch.clamp_max."""
    return _clamped("clamp_max", input, None, max)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``input`` with ``value`` where ``mask`` is True. Semantics: torch.masked_fill."""
    check_tensor("masked_fill", "input", input)
    check_tensor("masked_fill", "mask", mask)
    if mask.array.dtype.kind != "b":
        raise error(
            RuntimeError, f"masked_fill: only supports boolean masks, got dtype={mask.dtype}"
        )
    check_device("masked_fill", input, mask)
    scalar = not isinstance(value, TensorBase)
    if not scalar and value.array.ndim:
        raise error(
            RuntimeError,
            "masked_fill: only supports a 0-dimensional value tensor, "
            f"got shape={tuple(value.array.shape)}",
        )
    if scalar:
        fill = wrap(number_array("masked_fill", value, input), input.backend)
    else:
        fill = to_dtype(value, input.array.dtype)
    check_broadcast("masked_fill", input, mask)
    out = input.backend.select(mask.array, fill.array, input.array)
    name = "" if scalar else "masked_fill_tensor"
    return record(out, masked_fill_vjp, (input, None, fill), save=(mask,), name=name)


def masked_fill_vjp(node: Node, grad: Tensor) -> Gradients:
    (mask,) = node.saved_tensors
    inside = where(mask, grad, 0).sum() if node.needs_input_grad[2] else None
    return where(mask, 0, grad), None, inside
