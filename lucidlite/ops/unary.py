"""Functions of one tensor, element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.ops.common import check_dtype, check_tensor, floating, zero_vjp
from lucidlite.ops.precision import precision
from lucidlite.saved import OUT
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def neg(input: Any) -> Tensor:
    """``-input``. Semantics: torch.neg."""
    check_tensor("neg", "input", input)
    if input.array.dtype.kind == "b":
        raise error(
            RuntimeError,
            "neg: negation, the `-` operator, on a bool tensor is not supported; use `~` or "
            "logical_not() instead, got dtype=torch.bool",
        )
    return record(input.backend.map("negative", input.array), neg_vjp, (input,))


def neg_vjp(node: Node, grad: Tensor) -> Tensor:
    return -grad


def positive(input: Tensor) -> Tensor:
    """``+input``: the tensor itself. Semantics: torch.positive."""
    if input.array.dtype.kind == "b":
        raise error(RuntimeError, "positive: the `+` operator, on a bool tensor is not supported")
    return input


def abs(input: Tensor) -> Tensor:
    """The absolute value; its gradient at 0 is 0. Semantics: torch.abs."""
    check_tensor("abs", "input", input)
    check_dtype("abs", input, "fiu")
    return record(input.backend.map("absolute", input.array), abs_vjp, (input,), save=(input,))


def abs_vjp(node: Node, grad: Tensor) -> Tensor:
    (x,) = node.saved_tensors
    return grad * sign(x)


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1. Semantics: torch.sign."""
    return _signs("sign", input)


def sgn(input: Tensor) -> Tensor:
    """``sign``: there are no complex numbers here. Semantics: torch.sgn."""
    return _signs("sgn", input)


def _signs(op: str, input: Tensor) -> Tensor:
    check_tensor(op, "input", input)
    kind = input.array.dtype.kind
    if kind == "b":
        return clone(input)
    out = input.backend.map("sign", input.array)
    if kind == "f":  # PyTorch's sign of NaN is 0
        zero = input.backend.constant(0, out.dtype)
        out = input.backend.select(input.backend.map("isnan", out), zero, out)
    return record(out, zero_vjp, (input,), name=op)


def zero(input: Tensor) -> Tensor:
    """Zeros where ``input`` was: what ``zero_`` writes."""
    out = input.backend.xp.zeros_like(input.array)
    return record(out, zero_vjp, (input,), name="zero")


def reciprocal(input: Tensor) -> Tensor:
    """``1 / input``. Semantics: torch.reciprocal."""
    if precision.active:
        (input,) = precision.cast("reciprocal", input)
    x = floating("reciprocal", input)
    return record(x.backend.map("reciprocal", x.array), reciprocal_vjp, (x,), save=(OUT,))


def reciprocal_vjp(node: Node, grad: Tensor) -> Tensor:
    (y,) = node.saved_tensors
    return -grad * (y * y)


def sqrt(input: Tensor) -> Tensor:
    """The square root. Semantics: torch.sqrt."""
    x = floating("sqrt", input)
    return record(x.backend.map("sqrt", x.array), sqrt_vjp, (x,), save=(OUT,))


def sqrt_vjp(node: Node, grad: Tensor) -> Tensor:
    (y,) = node.saved_tensors
    return grad / (2 * y)


def rsqrt(input: Tensor) -> Tensor:
    """``1 / sqrt(input)``. Semantics: torch.rsqrt."""
    if precision.active:
        (input,) = precision.cast("rsqrt", input)
    x = floating("rsqrt", input)
    return record(x.backend.rsqrt(x.array), rsqrt_vjp, (x,), save=(OUT,))


def rsqrt_vjp(node: Node, grad: Tensor) -> Tensor:
    (y,) = node.saved_tensors
    return grad * -0.5 * (y * y * y)


def floor(input: Tensor) -> Tensor:
    """The largest integer below. Semantics: torch.floor."""
    return _rounded("floor", "floor", input)


def ceil(input: Tensor) -> Tensor:
    """The smallest integer above. Semantics: torch.ceil."""
    return _rounded("ceil", "ceil", input)


def trunc(input: Tensor) -> Tensor:
    """The integer part. Semantics: torch.trunc."""
    return _rounded("trunc", "trunc", input)


def round(input: Tensor, *, decimals: int | None = None) -> Tensor:
    """The nearest integer (half to even), or multiple of ``10 ** -decimals``.

    Semantics: torch.round.
    """
    if decimals is None:
        return _rounded("round", "rint", input)
    check_tensor("round", "input", input)
    check_dtype("round", input, "f")
    out = input.backend.round_decimals(input.array, decimals)
    return record(out, zero_vjp, (input,), name="round_decimals")


def _rounded(op: str, function: str, input: Tensor) -> Tensor:
    check_tensor(op, "input", input)
    if input.array.dtype.kind != "f":
        check_dtype(op, input, "iu")
        return clone(input)
    return record(input.backend.map(function, input.array), zero_vjp, (input,), name=op)


def clone(input: Tensor) -> Tensor:
    """A copy with memory of its own, in the same memory order. Semantics: torch.clone."""
    check_tensor("clone", "input", input)
    array = input.array
    order = "C" if 0 in array.strides else "K"  # an expanded tensor has no memory order to keep
    return record(array.copy(order=order), clone_vjp, (input,))


def clone_vjp(node: Node, grad: Tensor) -> Tensor:
    return grad


def exp(input: Tensor) -> Tensor:
    """e to the power of ``input``. Semantics: torch.exp."""
    if precision.active:
        (input,) = precision.cast("exp", input)
    x = floating("exp", input)
    return record(x.backend.map("exp", x.array), exp_vjp, (x,), save=(OUT,))


def exp_vjp(node: Node, grad: Tensor) -> Tensor:
    (y,) = node.saved_tensors
    return grad * y


def expm1(input: Tensor) -> Tensor:
    """``exp(input) - 1``, exact near 0. Semantics: torch.expm1."""
    if precision.active:
        (input,) = precision.cast("expm1", input)
    x = floating("expm1", input)
    return record(x.backend.map("expm1", x.array), expm1_vjp, (x,), save=(OUT,))


def expm1_vjp(node: Node, grad: Tensor) -> Tensor:
    (y,) = node.saved_tensors
    return grad * (y + 1)


def _log(name: str, input: Tensor, scale: float) -> Tensor:
    if precision.active:
        (input,) = precision.cast(name, input)
    x = floating(name, input)
    return record(x.backend.map(name, x.array), log_vjp, (x,), (scale,), save=(x,), name=name)


def log(input: Tensor) -> Tensor:
    """The natural logarithm. Semantics: torch.log."""
    return _log("log", input, 1.0)


def log_vjp(node: Node, grad: Tensor, scale: float) -> Tensor:
    (x,) = node.saved_tensors
    return grad / (x if scale == 1.0 else x * scale)


def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2. Semantics: torch.log2."""
    return _log("log2", input, math.log(2))


def log10(input: Tensor) -> Tensor:
    """The logarithm to base 10. Semantics: torch.log10."""
    return _log("log10", input, math.log(10))


def log1p(input: Tensor) -> Tensor:
    """``log(1 + input)``, exact near 0. Semantics: torch.log1p."""
    if precision.active:
        (input,) = precision.cast("log1p", input)
    x = floating("log1p", input)
    return record(x.backend.map("log1p", x.array), log1p_vjp, (x,), save=(x,))


def log1p_vjp(node: Node, grad: Tensor) -> Tensor:
    (x,) = node.saved_tensors
    return grad / (x + 1)


def sin(input: Tensor) -> Tensor:
    """The sine (radians). Semantics: torch.sin."""
    x = floating("sin", input)
    return record(x.backend.map("sin", x.array), sin_vjp, (x,), save=(x,))


def sin_vjp(node: Node, grad: Tensor) -> Tensor:
    (x,) = node.saved_tensors
    return grad * cos(x)


def cos(input: Tensor) -> Tensor:
    """The cosine (radians). Semantics: torch.cos."""
    x = floating("cos", input)
    return record(x.backend.map("cos", x.array), cos_vjp, (x,), save=(x,))


def cos_vjp(node: Node, grad: Tensor) -> Tensor:
    (x,) = node.saved_tensors
    return -grad * sin(x)
