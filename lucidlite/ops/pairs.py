"""Functions of two tensors beside arithmetic: angles, lengths, logarithms of sums, remainders."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.dtypes import float64
from lucidlite.grad_mode import no_grad
from lucidlite.ops.choose import where
from lucidlite.ops.common import (
    check_broadcast,
    check_dtype,
    check_tensor,
    no_derivative_vjp,
    operands,
    result_type,
    to_dtype,
    widened,
)
from lucidlite.ops.compare import isnan
from lucidlite.ops.elementwise import add, check_divisor, div, mul
from lucidlite.ops.precision import precision
from lucidlite.ops.smooth import exp2
from lucidlite.ops.unary import exp, log
from lucidlite.saved import OUT
from lucidlite.tape import needs_grad, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def _map(op: str, function: str, x: Tensor, y: Tensor) -> Any:
    try:
        return x.backend.map(function, x.array, y.array)
    except ValueError:
        check_broadcast(op, x, y)
        raise


def _both(op: str, input: Any, other: Any, floating: bool = False) -> tuple[Tensor, Tensor]:
    check_tensor(op, "input", input)
    check_tensor(op, "other", other)
    if precision.active:
        input, other = precision.cast(op, input, other)
    return operands(op, input, other, floating=floating)


def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle in [-pi, pi] of the point (other, input). Semantics: torch.atan2."""
    y, x = _both("atan2", input, other, floating=True)
    return record(_map("atan2", "arctan2", y, x), atan2_vjp, (y, x), save=(y, x))


def atan2_vjp(node: Node, grad: Tensor) -> Gradients:
    y, x, grad = widened(*node.saved_tensors, grad)
    square = y * y + x * x
    scaled = where(square == 0, 0.0, grad / square)
    return (
        scaled * x if node.needs_input_grad[0] else None,
        -scaled * y if node.needs_input_grad[1] else None,
    )


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """``sqrt(input**2 + other**2)``, without overflow on the way. Semantics: torch.hypot."""
    x, y = _both("hypot", input, other)
    check_dtype("hypot", x, "f")
    return record(_map("hypot", "hypot", x, y), hypot_vjp, (x, y), save=(x, y, OUT))


def hypot_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y, length = node.saved_tensors
    return (
        grad * (x / length) if node.needs_input_grad[0] else None,
        grad * (y / length) if node.needs_input_grad[1] else None,
    )


def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two, of NaN and a number the number. Semantics: torch.fmax."""
    return _beside_nan("fmax", input, other)


def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two, of NaN and a number the number. Semantics: torch.fmin."""
    return _beside_nan("fmin", input, other)


def _beside_nan(op: str, input: Tensor, other: Tensor) -> Tensor:
    x, y = _both(op, input, other)
    return record(_map(op, op, x, y), fmax_vjp, (x, y), (op == "fmax",), save=(x, y), name=op)


def fmax_vjp(node: Node, grad: Tensor, larger: bool) -> Gradients:
    x, y = node.saved_tensors
    first = (x >= y if larger else x <= y) | isnan(y)
    return where(first, grad, 0), where(first, 0, grad)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """``log(exp(input) + exp(other))``, without overflow. Semantics: torch.logaddexp."""
    return _log_sum("logaddexp", input, other)


def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """``log2(2**input + 2**other)``, without overflow. Semantics: torch.logaddexp2."""
    return _log_sum("logaddexp2", input, other)


def _log_sum(op: str, input: Tensor, other: Tensor) -> Tensor:
    x, y = _both(op, input, other)
    check_dtype(op, x, "f")
    check_broadcast(op, x, y)
    out = x.backend.log_sum(x.array, y.array, op == "logaddexp2")
    return record(out, logaddexp_vjp, (x, y), (op == "logaddexp2",), save=(x, y), name=op)


def logaddexp_vjp(node: Node, grad: Tensor, binary: bool) -> Gradients:
    x, y, grad = widened(*node.saved_tensors, grad)
    power = exp2 if binary else exp
    gap = y - x
    return (
        grad / (power(gap) + 1) if node.needs_input_grad[0] else None,
        grad / (power(-gap) + 1) if node.needs_input_grad[1] else None,
    )


def xlogy(input: Any, other: Any) -> Tensor:
    """``input * log(other)``, 0 where ``input`` is 0 (NaN where ``other`` is).

    Semantics: torch.xlogy.
    """
    x, y = operands("xlogy", input, other, floating=True)
    backend = x.backend
    zero = backend.constant(0, x.array.dtype)
    product = _map("xlogy", "multiply", x, wrap(backend.map("log", y.array), backend))
    nothing = backend.map(
        "logical_and", backend.map("equal", x.array, zero), backend.map("equal", y.array, y.array)
    )
    out = backend.select(nothing, zero, product)
    name = "xlogy_of_number" if not hasattr(input, "array") else ""
    name = "xlogy_by_number" if not hasattr(other, "array") else name
    return record(out, xlogy_vjp, (x, y), save=(x, y), name=name)


def xlogy_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y = node.saved_tensors
    return (
        grad * where((x == 0) & (y <= 0), 0.0, log(y)) if node.needs_input_grad[0] else None,
        grad * x / y if node.needs_input_grad[1] else None,
    )


def fmod(input: Any, other: Any) -> Tensor:
    """``input - other * trunc(input / other)``: the sign is the dividend's.

    Semantics: torch.fmod.
    """
    check_tensor("fmod", "input", input)
    x, y = operands("fmod", input, other)
    check_divisor("fmod", y)
    out = _map("fmod", "fmod", x, y)
    save = (x, y) if needs_grad(y)[0] else ()
    name = "fmod_tensor" if hasattr(other, "array") else ""
    return record(out, fmod_vjp, (x, y), save=save, name=name)


def fmod_vjp(node: Node, grad: Tensor) -> Gradients:
    if not node.needs_input_grad[1]:
        return grad, None
    x, y = node.saved_tensors
    return grad, -grad * div(x, y, rounding_mode="trunc")


def copysign(input: Any, other: Any) -> Tensor:
    """The size of ``input`` with the sign of ``other``. Semantics: torch.copysign."""
    check_tensor("copysign", "input", input)
    x, y = operands("copysign", input, other, floating=True)
    save, name = (x, OUT), "" if hasattr(other, "array") else "copysign_number"
    return record(_map("copysign", "copysign", x, y), copysign_vjp, (x, y), save=save, name=name)


def copysign_vjp(node: Node, grad: Tensor) -> Gradients:
    x, out = node.saved_tensors
    turned = where(x == 0, 0.0, out.detach() / x.detach())
    return grad * turned, grad * 0 if node.needs_input_grad[1] else None


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, ``values`` at 0 (of NaN: 0). Semantics: torch.heaviside."""
    check_tensor("heaviside", "input", input)
    check_tensor("heaviside", "values", values)
    x, y = operands("heaviside", input, values)
    if input.dtype is not values.dtype:
        check_dtype("heaviside", x, "")
    backend = x.backend
    zero = backend.constant(0, x.array.dtype)
    above = backend.map("greater", x.array, zero).astype(x.array.dtype)
    check_broadcast("heaviside", x, y)
    out = backend.select(backend.map("equal", x.array, zero), y.array, above)
    args = ("heaviside",)
    return record(out, no_derivative_vjp, (x, y), args, name="not_implemented")


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``. Semantics: torch.addcmul."""
    return _added("addcmul", input, tensor1, tensor2, value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``. Semantics: torch.addcdiv."""
    return _added("addcdiv", input, tensor1, tensor2, value)


def _added(op: str, input: Tensor, tensor1: Tensor, tensor2: Tensor, value: Any) -> Tensor:
    given = (input, tensor1, tensor2)
    for name, each in zip(("input", "tensor1", "tensor2"), given, strict=True):
        check_tensor(op, name, each)
    if precision.active:
        given = precision.cast(op, *given)
    kind = result_type(*given)
    x, a, b = given
    if op == "addcdiv" and not result_type(a, b).is_floating_point:
        raise error(
            RuntimeError,
            "addcdiv: integer division with addcdiv is not supported, use "
            f"input + value * trunc(tensor1 / tensor2), got dtype={kind}",
        )
    x, a, b = (to_dtype(each, kind.numpy) for each in given)
    with no_grad():
        term = mul(a, b) if op == "addcmul" else div(a, b)
        out = add(x, term, alpha=value)
    vjp = addcmul_vjp if op == "addcmul" else addcdiv_vjp
    return record(out.array, vjp, (x, a, b), (value,), save=(a, b))


def addcmul_vjp(node: Node, grad: Tensor, value: Any) -> Gradients:
    a, b = node.saved_tensors
    needs = node.needs_input_grad
    scaled = grad if value == 1 else grad * value
    return grad, scaled * b if needs[1] else None, scaled * a if needs[2] else None


def addcdiv_vjp(node: Node, grad: Tensor, value: Any) -> Gradients:
    a, b = node.saved_tensors
    needs = node.needs_input_grad
    scaled = grad if value == 1 else grad * value
    return grad, scaled / b if needs[1] else None, -scaled * (a / b) / b if needs[2] else None


def float_power(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent`` in float64. Semantics: torch.float_power."""
    if not hasattr(input, "array") and not hasattr(exponent, "array"):
        raise error(
            TypeError, f"float_power: expected a Tensor, got {type(input).__name__} and "
            f"{type(exponent).__name__}",
        )  # fmt: skip
    given = [v.double() if hasattr(v, "array") else float(v) for v in (input, exponent)]
    return given[0] ** given[1]  # type: ignore[no-any-return]


def float_power_(x: Tensor, exponent: Any) -> Tensor:
    """``float_power`` of what its result is to be written to."""
    if x.array.dtype != float64.numpy:
        raise error(
            RuntimeError,
            f"float_power_: the base has dtype {x.dtype} but the operation's result requires dtype "
            "torch.float64",
        )
    return float_power(x, exponent)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """``input * 2**other``. Semantics: torch.ldexp."""
    x, y = _both("ldexp", input, other, floating=True)
    with no_grad():
        out = mul(x, exp2(y))
    return record(out.array, ldexp_vjp, (x, y), save=(x, y))


def ldexp_vjp(node: Node, grad: Tensor) -> Gradients:
    x, y = node.saved_tensors
    scaled = grad * exp2(y)
    return scaled, scaled * x * math.log(2) if node.needs_input_grad[1] else None
