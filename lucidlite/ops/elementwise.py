"""Arithmetic of two operands, element by element.

No vjp mentions broadcasting: the engine sums once, for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.choose import where
from lucidlite.ops.common import (
    check_broadcast,
    check_device,
    check_dtype,
    check_tensor,
    no_derivative_vjp,
    number_array,
    operands,
    zero_vjp,
)
from lucidlite.ops.precision import precision
from lucidlite.ops.unary import clone, log
from lucidlite.saved import OUT
from lucidlite.tape import needs_grad, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def _binary(op: str, function: str, x: Tensor, y: Tensor) -> Any:
    a, b = x.array, y.array
    try:
        out = x.backend.map(function, a, b)
    except ValueError:
        check_broadcast(op, x, y)
        raise
    # Where operands differ, float16 met a float32 number: this is the one rounding.
    return out if a.dtype == b.dtype else x.backend.cast(out, np.dtype(np.float16))


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input + alpha * other``.

    >>> import lucidlite
    >>> lucidlite.add(lucidlite.tensor([1.0, 2.0]), 3)
    tensor([4., 5.])

    Semantics: torch.add.
    """
    x, y = operands("add", input, other)
    if alpha != 1 or type(alpha) is not int:
        y = _scaled("add", x, y, alpha)
    return record(_binary("add", "add", x, y), add_vjp, (x, y))


def _scaled(op: str, x: Tensor, y: Tensor, alpha: Any) -> Tensor:
    """``alpha * y``, refused where ``alpha``'s kind is above the result's."""
    kind = x.array.dtype.kind
    if isinstance(alpha, bool) and kind != "b":
        raise error(
            RuntimeError, f"{op}: Boolean alpha only supported for Boolean results, got {alpha}"
        )
    if isinstance(alpha, float) and kind != "f":
        raise error(
            RuntimeError,
            f"{op}: for integral input tensors, argument alpha must not be a floating point "
            f"number, got alpha={alpha}",
        )
    return mul(y, wrap(number_array(op, alpha, y), y.backend))


def add_vjp(node: Node, grad: Tensor) -> Gradients:
    return grad, grad


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input - alpha * other``. Semantics: torch.sub."""
    return _sub("sub", input, other, alpha)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``other - alpha * input``. Semantics: torch.rsub."""
    check_tensor("rsub", "input", input)
    return _sub("rsub", other, input, alpha)


def _sub(op: str, input: Any, other: Any, alpha: Any) -> Tensor:
    for value in (input, other):
        if value.array.dtype.kind == "b" if hasattr(value, "array") else isinstance(value, bool):
            raise error(
                RuntimeError,
                "sub: subtraction, the `-` operator, with a bool tensor is not supported; use `~` "
                "or logical_not() to invert a mask, got dtype=torch.bool",
            )
    x, y = operands("sub", input, other)
    if alpha != 1 or type(alpha) is not int:
        y = _scaled("sub", x, y, alpha)
    return record(_binary("sub", "subtract", x, y), sub_vjp, (x, y), name=op)


def sub_vjp(node: Node, grad: Tensor) -> Gradients:
    return grad, -grad if node.needs_input_grad[1] else None


def mul(input: Any, other: Any) -> Tensor:
    """``input * other``. Semantics: torch.mul."""
    x, y = operands("mul", input, other, wide=True)
    return record(_binary("mul", "multiply", x, y), mul_vjp, (x, y), save_for=(y, x))


def mul_vjp(node: Node, grad: Tensor) -> Gradients:
    y, x = node.saved_tensors
    return (
        grad * y if node.needs_input_grad[0] else None,
        grad * x if node.needs_input_grad[1] else None,
    )


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, in floating point; ``rounding_mode`` 'floor' or 'trunc' rounds.

    Semantics: torch.div.
    """
    if rounding_mode is None:
        if precision.active and not hasattr(input, "array"):  # PyTorch takes the reciprocal
            (other,) = precision.cast("reciprocal", other)
        x, y = operands("div", input, other, floating=True, wide=True)
        need_x, need_y = needs_grad(x, y)
        save = (x if need_y else None, y if need_x or need_y else None)
        return record(_binary("div", "divide", x, y), div_vjp, (x, y), save=save)
    if rounding_mode not in ("floor", "trunc"):
        raise error(
            RuntimeError,
            "div: rounding_mode must be one of None, 'trunc' or 'floor', "
            f"got rounding_mode={rounding_mode!r}",
        )
    x, y = operands("div", input, other, wide=True)
    check_divisor("div", y)
    if rounding_mode == "floor":
        out = _binary("div", "floor_divide", x, y)
    elif x.array.dtype.kind == "f":
        out = x.backend.map("trunc", _binary("div", "divide", x, y))
    else:
        # Rounded down, and up again by one where the exact quotient is a negative fraction.
        out = _binary("div", "floor_divide", x, y)
        rest = _binary("div", "remainder", x, y)
        negative = x.backend.map("not_equal", x.array < 0, y.array < 0)
        out = x.backend.map("add", out, x.backend.map("logical_and", rest != 0, negative))
    return record(out, zero_vjp, (x, y), name="div_mode")


def div_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y = node.saved_tensors
    return (
        grad / y if node.needs_input_grad[0] else None,
        -grad * ((x / y) / y) if node.needs_input_grad[1] else None,
    )


def check_divisor(op: str, y: Tensor) -> None:
    """Refuse bools, and integer division by zero, as PyTorch does on the CPU."""
    if y.array.dtype.kind == "f":
        return
    check_dtype(op, y, "iu")
    if bool((y.array == 0).any()):
        raise error(RuntimeError, f"{op}: ZeroDivisionError, got an integer divisor with zeros")


def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded down, without a gradient. Semantics: torch.floor_divide."""
    x, y = operands("floor_divide", input, other, wide=True)
    check_divisor("floor_divide", y)
    out = _binary("floor_divide", "floor_divide", x, y)
    args = ("floor_divide",)
    return record(out, no_derivative_vjp, (x, y), args, name="not_implemented")


def remainder(input: Any, other: Any) -> Tensor:
    """``input - other * floor(input / other)``: the sign is the divisor's.

    Semantics: torch.remainder.
    """
    x, y = operands("remainder", input, other)
    check_divisor("remainder", y)
    out = _binary("remainder", "remainder", x, y)
    if not hasattr(input, "array"):
        return record(out, no_derivative_vjp, (x, y), ("remainder",), name="not_implemented")
    name = "remainder_tensor" if hasattr(other, "array") else ""
    save = (x, y) if needs_grad(y)[0] else ()
    return record(out, remainder_vjp, (x, y), save=save, name=name)


def remainder_vjp(node: Node, grad: Tensor) -> Gradients:
    if not node.needs_input_grad[1]:
        return grad, None
    x, y = node.saved_tensors
    return grad, -grad * div(x, y, rounding_mode="floor")


def pow(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent``. Semantics: torch.pow."""
    if precision.active:
        input, exponent = precision.cast("pow", input, exponent)
    if not hasattr(exponent, "array") and hasattr(input, "array"):
        if isinstance(exponent, np.ndarray):
            exponent = wrap(input.backend.asarray(exponent), input.backend)
        else:
            return _pow_scalar(input, exponent)
    x, y = operands("pow", input, exponent)
    check_dtype("pow", x, "fiu")
    if x.array.dtype.kind == "i" and bool((y.array < 0).any()):
        out = _pow_negative(x, y)
    else:
        out = _binary("pow", "power", x, y)
    name = "" if hasattr(input, "array") else "rpow"
    return record(out, pow_vjp, (x, y), save=(x, y, OUT), name=name)


def _pow_negative(x: Tensor, y: Tensor) -> Any:
    """Integer powers where some exponents are negative: the inverse of 1 or -1, else 0."""
    map, zero = x.backend.map, x.backend.constant(0, x.array.dtype)
    size = map("absolute", y.array)
    unit = map("equal", map("absolute", x.array), x.backend.constant(1, x.array.dtype))
    out = map("power", x.array, size)
    return x.backend.select(map("logical_or", unit, y.array >= 0), out, zero)


def _pow_scalar(input: Tensor, exponent: Any) -> Tensor:
    x, y = operands("pow", input, exponent)
    kind = x.array.dtype.kind
    if kind in "iu" and exponent < 0:
        raise error(
            RuntimeError,
            f"pow: integers to negative integer powers are not allowed, got exponent={exponent}",
        )
    map, a = x.backend.map, x.array
    if kind == "b":
        return clone(x) if exponent else wrap(x.backend.xp.ones_like(a), x.backend)
    if exponent in (2, 3):
        out = map("multiply", a, a)
        out = out if exponent == 2 else map("multiply", out, a)
    elif kind == "f" and a.dtype != np.float16 and exponent in _SHORT:
        out = a
        for function in _SHORT[exponent]:
            out = map(function, out)
    else:
        out = _binary("pow", "power", x, y)
    return record(out, pow_scalar_vjp, (x,), (exponent,), (x,))


# Exponents with functions of their own.
_SHORT = {
    0.5: ("sqrt",),
    -0.5: ("sqrt", "reciprocal"),
    -1: ("reciprocal",),
    -2: ("square", "reciprocal"),
}


def pow_scalar_vjp(node: Node, grad: Tensor, exponent: Any) -> Tensor:
    (x,) = node.saved_tensors
    if exponent == 0:
        return wrap(grad.backend.xp.zeros_like(grad.array), grad.backend)
    slope = x if exponent == 2 else pow(x, exponent - 1)
    return grad * mul(slope, exponent)


def pow_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y, out = node.saved_tensors
    dx = dy = None
    if node.needs_input_grad[0]:
        # d(x ** 0) is 0, also where x is 0
        dx = where(y == 0, 0.0, grad * (y * pow(x, y - 1)))
    if node.needs_input_grad[1]:
        # 0 ** y doesn't move with y >= 0, where log(0) would make NaN of it
        dy = grad * where((x == 0) & (y >= 0), 0.0, out * log(x))
    return dx, dy


def square(input: Tensor) -> Tensor:
    """``input ** 2``. Semantics: torch.square."""
    check_tensor("square", "input", input)
    return pow(input, 2)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``input + weight * (end - input)``, exact at weights 0 and 1. Semantics: torch.lerp."""
    check_tensor("lerp", "input", input)
    check_tensor("lerp", "end", end)
    check_dtype("lerp", input, "f")
    scalar = not hasattr(weight, "array")
    if scalar:  # a number stays float32 beside float16
        kind = np.promote_types(input.array.dtype, np.float32)
        weight = wrap(input.backend.constant(weight, kind), input.backend)
    for name, other in (("end", end), ("weight", end if scalar else weight)):
        if other.array.dtype != input.array.dtype:
            raise error(
                RuntimeError,
                f"lerp: expected dtype {input.dtype} for `{name}`, got dtype={other.dtype}",
            )
    check_device("lerp", input, end, weight)
    check_broadcast("lerp", input, end, weight)
    out = input.backend.lerp(input.array, end.array, weight.array)
    inputs = (input, end, weight)
    save = (*(inputs[:2] if needs_grad(weight)[0] else (None, None)), weight)
    return record(out, lerp_vjp, inputs, save=save, name="" if scalar else "lerp_tensor")


def lerp_vjp(node: Node, grad: Tensor) -> Gradients:
    x, end, weight = node.saved_tensors
    needs = node.needs_input_grad
    return (
        grad * (1 - weight) if needs[0] else None,
        grad * weight if needs[1] else None,
        grad * (end - x) if needs[2] else None,
    )
