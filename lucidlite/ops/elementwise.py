"""Arithmetic of two operands, element by element. No vjp mentions broadcasting: the engine sums once, for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.ops.common import (
    check_broadcast,
    check_tensor,
    operands,
    result_type,
    to_dtype,
    zero_vjp,
)
from lucidlite.ops.unary import abs, log, sign, trunc
from lucidlite.tape import OUT, needs_grad, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def _binary(op: str, function: str, x: Tensor, y: Tensor) -> Any:
    try:
        return x.backend.map(function, x.array, y.array)
    except ValueError:
        check_broadcast(op, x, y)
        raise


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input + alpha * other``.

    >>> import lucidlite
    >>> lucidlite.add(lucidlite.tensor([1.0, 2.0]), 3)
    tensor([4., 5.])

    Semantics: torch.add.
    """
    if alpha != 1:
        other = mul(other, alpha)
    x, y = operands("add", input, other)
    return record(_binary("add", "add", x, y), add_vjp, (x, y))


def add_vjp(node: Node, grad: Tensor) -> Gradients:
    return grad, grad


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input - alpha * other``. Semantics: torch.sub."""
    if alpha != 1:
        other = mul(other, alpha)
    x, y = operands("sub", input, other)
    if x.array.dtype.kind == "b":
        raise error(
            RuntimeError,
            "sub: subtraction, the `-` operator, with two bool tensors is not supported; use `^` "
            "or logical_xor() instead, got dtype=torch.bool",
        )
    return record(_binary("sub", "subtract", x, y), sub_vjp, (x, y))


def sub_vjp(node: Node, grad: Tensor) -> Gradients:
    return grad, -grad if node.needs_input_grad[1] else None


def mul(input: Any, other: Any) -> Tensor:
    """``input * other``. Semantics: torch.mul."""
    x, y = operands("mul", input, other)
    need_x, need_y = needs_grad(x, y)
    save = (x if need_y else None, y if need_x else None)
    return record(_binary("mul", "multiply", x, y), mul_vjp, (x, y), save=save)


def mul_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y = node.saved_tensors
    return (
        grad * y if node.needs_input_grad[0] else None,
        grad * x if node.needs_input_grad[1] else None,
    )


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, in floating point; ``rounding_mode`` 'floor' or 'trunc' rounds.

    Semantics: torch.div.
    """
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        x, y = operands("div", input, other)
        if x.array.dtype.kind == "f":
            return trunc(div(x, y))
        check_divisor("div", y)
        quotient = x.backend.map("floor_divide", abs(x).array, abs(y).array)
        signs = x.backend.map("multiply", sign(x).array, sign(y).array)
        return wrap(x.backend.map("multiply", quotient, signs), x.backend)
    if rounding_mode is not None:
        raise error(
            RuntimeError,
            "div: rounding_mode must be one of None, 'trunc' or 'floor', "
            f"got rounding_mode={rounding_mode!r}",
        )
    x, y = operands("div", input, other, floating=True)
    need_x, need_y = needs_grad(x, y)
    save = (x if need_y else None, y if need_x or need_y else None)
    return record(_binary("div", "divide", x, y), div_vjp, (x, y), save=save)


def div_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y = node.saved_tensors
    dx = grad / y
    if not node.needs_input_grad[1]:
        return dx, None
    return dx if node.needs_input_grad[0] else None, -dx * (x / y)


def check_divisor(op: str, y: Tensor) -> None:
    """Refuse integer division by zero, as PyTorch does on the CPU."""
    if y.array.dtype.kind != "f" and bool((y.array == 0).any()):
        raise error(RuntimeError, f"{op}: ZeroDivisionError, got an integer divisor with zeros")


def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded down; its gradient is zero. Semantics: torch.floor_divide."""
    x, y = operands("floor_divide", input, other)
    check_divisor("floor_divide", y)
    return record(_binary("floor_divide", "floor_divide", x, y), zero_vjp, (x, y))


def remainder(input: Any, other: Any) -> Tensor:
    """``input - other * floor(input / other)``: the sign is the divisor's.

    Semantics: torch.remainder.
    """
    x, y = operands("remainder", input, other)
    check_divisor("remainder", y)
    return record(_binary("remainder", "remainder", x, y), remainder_vjp, (x, y), save=(x, y))


def remainder_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y = node.saved_tensors
    return grad, -grad * floor_divide(x, y) if node.needs_input_grad[1] else None


def pow(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent``. Semantics: torch.pow."""
    x, y = operands("pow", input, exponent)
    if x.array.dtype.kind in "iu" and bool((y.array < 0).any()):
        raise error(
            RuntimeError,
            f"pow: integers to negative integer powers are not allowed, got exponent={exponent}",
        )
    if not hasattr(exponent, "array") and exponent == 2:
        return record(x.backend.map("multiply", x.array, x.array), pow_scalar_vjp, (x,), (2,), (x,))
    out = _binary("pow", "power", x, y)
    if not hasattr(exponent, "array"):
        return record(out, pow_scalar_vjp, (x,), (exponent,), (x,))
    return record(out, pow_vjp, (x, y), save=(x, y, OUT))


def pow_scalar_vjp(node: Node, grad: Tensor, exponent: Any) -> Tensor:
    (x,) = node.saved_tensors
    if exponent == 0:
        return grad * 0
    return grad * exponent * (x if exponent == 2 else pow(x, exponent - 1))


def pow_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y, out = node.saved_tensors
    dx = dy = None
    if node.needs_input_grad[0]:
        # d(x ** 0) is 0, also where x is 0
        dx = where(y == 0, 0.0, grad * y * pow(x, y - 1))
    if node.needs_input_grad[1]:
        # 0 ** y doesn't move with y >= 0, where log(0) would make NaN of it
        dy = where((x == 0) & (y >= 0), 0.0, grad * out * log(x))
    return dx, dy


def square(input: Tensor) -> Tensor:
    """``input ** 2``. Semantics: torch.square."""
    return pow(input, 2)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Values limited to [min, max]; bounds are numbers or tensors, either may be None.

    Semantics: torch.clamp (where min exceeds max the result is max).
    """
    if min is None and max is None:
        raise error(RuntimeError, "clamp: at least one of 'min' or 'max' must not be None")
    if hasattr(min, "array") or hasattr(max, "array"):
        out = input if min is None else maximum_like(input, min)
        return out if max is None else minimum_like(out, max)
    kind = result_type(input, *(b for b in (min, max) if b is not None))
    x = to_dtype(input, kind.numpy)
    low = None if min is None else x.backend.asarray(min, x.array.dtype)
    high = None if max is None else x.backend.asarray(max, x.array.dtype)
    if low is not None and high is not None and low > high:
        low = high
    out = x.backend.call("clip", x.array, low, high)
    out = out if out.ndim else x.backend.xp.asarray(out)
    return record(out, clamp_vjp, (x,), (min, max), save=(x,))


def clamp_vjp(node: Node, grad: Tensor, min: Any, max: Any) -> Tensor:
    (x,) = node.saved_tensors
    inside = True if min is None else x >= min
    if max is not None:
        inside = (x <= max) & inside if min is not None else x <= max
    return where(inside, grad, 0.0)


def maximum_like(input: Tensor, bound: Any) -> Tensor:
    """``clamp``'s lower bound as a tensor: ties belong to the input, NaN bounds win."""
    x, low = operands("clamp", input, bound)
    return where((x >= low) | (x != x), x, low)


def minimum_like(input: Tensor, bound: Any) -> Tensor:
    """``clamp``'s upper bound as a tensor: ties belong to the input."""
    x, high = operands("clamp", input, bound)
    return where((x <= high) | (x != x), x, high)


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two, NaN where either is; ties share the gradient.

    Semantics: torch.maximum.
    """
    x, y = operands("maximum", input, other)
    return record(_binary("maximum", "maximum", x, y), maximum_vjp, (x, y), save=(x, y))


def maximum_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y = node.saved_tensors
    half = where(x == y, grad / 2, grad)
    return where(x >= y, half, 0.0), where(y >= x, half, 0.0)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two, NaN where either is; ties share the gradient.

    Semantics: torch.minimum.
    """
    x, y = operands("minimum", input, other)
    return record(_binary("minimum", "minimum", x, y), minimum_vjp, (x, y), save=(x, y))


def minimum_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y = node.saved_tensors
    half = where(x == y, grad / 2, grad)
    return where(x <= y, half, 0.0), where(y <= x, half, 0.0)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """``input`` where ``condition`` (bool) holds, ``other`` elsewhere; broadcasts.

    Semantics: torch.where (its one-argument form is ``nonzero(as_tuple=True)``).
    """
    check_tensor("where", "condition", condition)
    if condition.array.dtype.kind != "b" and condition.array.dtype != "uint8":
        raise error(
            RuntimeError,
            f"where: expected condition to be a boolean tensor, got dtype={condition.dtype}",
        )
    if not hasattr(input, "array") and not hasattr(other, "array"):
        kind = result_type(input, other).numpy
        input = wrap(condition.backend.asarray(input, kind), condition.backend)
        other = wrap(condition.backend.asarray(other, kind), condition.backend)
    x, y = operands("where", input, other)
    mask = condition.array if condition.array.dtype.kind == "b" else condition.array != 0
    backend = x.backend
    if mask.ndim == 4:
        mask, a, b = backend.align(mask, x.array, y.array)
    else:
        a, b = x.array, y.array
    try:
        out = backend.call("where", mask, a, b)
    except ValueError:
        check_broadcast("where", condition, x, y)
        raise
    return record(out, where_vjp, (x, y), save=(wrap(mask, backend),))


def where_vjp(node: Node, grad: Tensor) -> Gradients:
    (mask,) = node.saved_tensors
    return where(mask, grad, 0.0), where(mask, 0.0, grad)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``input + weight * (end - input)``. Semantics: torch.lerp."""
    return input + weight * (end - input)
