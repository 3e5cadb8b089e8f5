"""Comparisons, logic and tests: results are bool (or integer) tensors, outside the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.common import check_broadcast, check_device, check_dtype, check_tensor, operands
from lucidlite.tape import wrap
from lucidlite.tensor_base import TensorBase
from lucidlite.training_hints import TRUTH

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def _compare(op: str, function: str, input: Any, other: Any) -> Tensor:
    check_tensor(op, "input", input)
    x, y = operands(op, input, other)
    try:
        return wrap(x.backend.map(function, x.array, y.array), x.backend)
    except ValueError:
        check_broadcast(op, x, y)
        raise


def eq(input: Any, other: Any) -> Tensor:
    """``input == other``, element by element. Semantics: torch.eq."""
    return _compare("eq", "equal", input, other)


def ne(input: Any, other: Any) -> Tensor:
    """``input != other``, element by element. Semantics: torch.ne."""
    return _compare("ne", "not_equal", input, other)


def lt(input: Any, other: Any) -> Tensor:
    """``input < other``, element by element. Semantics: torch.lt."""
    return _compare("lt", "less", input, other)


def le(input: Any, other: Any) -> Tensor:
    """``input <= other``, element by element. Semantics: torch.le."""
    return _compare("le", "less_equal", input, other)


def gt(input: Any, other: Any) -> Tensor:
    """``input > other``, element by element. Semantics: torch.gt."""
    return _compare("gt", "greater", input, other)


def ge(input: Any, other: Any) -> Tensor:
    """``input >= other``, element by element. Semantics: torch.ge."""
    return _compare("ge", "greater_equal", input, other)


def _logical(op: str, input: Any, other: Any) -> Tensor:
    check_tensor(op, "input", input)
    check_tensor(op, "other", other)
    return _compare(op, op, input, other)


def logical_and(input: Any, other: Any) -> Tensor:
    """True where both are nonzero. Semantics: torch.logical_and."""
    return _logical("logical_and", input, other)


def logical_or(input: Any, other: Any) -> Tensor:
    """True where either is nonzero. Semantics: torch.logical_or."""
    return _logical("logical_or", input, other)


def logical_xor(input: Any, other: Any) -> Tensor:
    """True where exactly one is nonzero. Semantics: torch.logical_xor."""
    return _logical("logical_xor", input, other)


def logical_not(input: Tensor) -> Tensor:
    """True where ``input`` is zero. Semantics: torch.logical_not."""
    check_tensor("logical_not", "input", input)
    return wrap(input.backend.map("logical_not", input.array), input.backend)


def _bitwise(op: str, input: Any, other: Any) -> Tensor:
    x, y = operands(op, input, other)
    check_dtype(op, x, "biu")
    return _compare(op, op, x, y)


def bitwise_and(input: Any, other: Any) -> Tensor:
    """Bits set in both; for bool, logical and. Semantics: torch.bitwise_and."""
    return _bitwise("bitwise_and", input, other)


def bitwise_or(input: Any, other: Any) -> Tensor:
    """Bits set in either; for bool, logical or. Semantics: torch.bitwise_or."""
    return _bitwise("bitwise_or", input, other)


def bitwise_xor(input: Any, other: Any) -> Tensor:
    """Bits set in exactly one; for bool, logical xor. Semantics: torch.bitwise_xor."""
    return _bitwise("bitwise_xor", input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """Bits flipped; for bool, logical not. Semantics: torch.bitwise_not."""
    check_tensor("bitwise_not", "input", input)
    check_dtype("bitwise_not", input, "biu")
    return wrap(input.backend.map("invert", input.array), input.backend)


def invert(input: Tensor) -> Tensor:
    """``~input``: ``bitwise_not``, TypeError for floating point."""
    if input.array.dtype.kind == "f":
        raise error(
            TypeError,
            "invert: ~ (operator.invert) is only implemented on integer and Boolean-type tensors, "
            f"got dtype={input.dtype}",
        )
    return bitwise_not(input)


def _test(function: str, input: Tensor) -> Tensor:
    check_tensor(function, "input", input)
    return wrap(input.backend.map(function, input.array), input.backend)


def isnan(input: Tensor) -> Tensor:
    """True where NaN. Semantics: torch.isnan."""
    return _test("isnan", input)


def isinf(input: Tensor) -> Tensor:
    """True where infinite. Semantics: torch.isinf."""
    return _test("isinf", input)


def isfinite(input: Tensor) -> Tensor:
    """True where neither NaN nor infinite. Semantics: torch.isfinite."""
    return _test("isfinite", input)


def isreal(input: Tensor) -> Tensor:
    """True: there are no complex numbers here. Semantics: torch.isreal."""
    check_tensor("isreal", "input", input)
    return wrap(input.backend.xp.ones(input.array.shape, bool), input.backend)


def isposinf(input: Tensor) -> Tensor:
    """True where +infinity. Semantics: torch.isposinf."""
    return eq(input, float("inf")) if input.is_floating_point() else ne(input, input)


def isneginf(input: Tensor) -> Tensor:
    """True where -infinity. Semantics: torch.isneginf."""
    return eq(input, -float("inf")) if input.is_floating_point() else ne(input, input)


def signbit(input: Tensor) -> Tensor:
    """True where negative, of -0 too. Semantics: torch.signbit."""
    check_tensor("signbit", "input", input)
    if input.array.dtype.kind != "f":
        return lt(input, 0)
    return _test("signbit", input)


def bitwise_left_shift(input: Any, other: Any) -> Tensor:
    """Bits moved up. Semantics: torch.bitwise_left_shift."""
    return _shifted("bitwise_left_shift", "left_shift", input, other)


def bitwise_right_shift(input: Any, other: Any) -> Tensor:
    """Bits moved down, the sign staying. Semantics: torch.bitwise_right_shift."""
    return _shifted("bitwise_right_shift", "right_shift", input, other)


def _shifted(op: str, function: str, input: Any, other: Any) -> Tensor:
    x, y = operands(op, input, other)
    check_dtype(op, x, "iu")
    return _compare(op, function, x, y)


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """``abs(input - other) <= atol + rtol * abs(other)``. Semantics: torch.isclose."""
    check_tensor("isclose", "input", input)
    check_tensor("isclose", "other", other)
    if input.dtype is not other.dtype:
        raise error(
            RuntimeError, f"isclose: dtypes must be equal, got {input.dtype} and {other.dtype}"
        )
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise error(
                RuntimeError, f"isclose: {name} must be greater than or equal to zero, got {value}"
            )
    check_device("isclose", input, other)
    check_broadcast("isclose", input, other)
    close = input.backend.call(
        "isclose", input.array, other.array, rtol=rtol, atol=atol, equal_nan=equal_nan
    )
    return wrap(input.backend.xp.asarray(close), input.backend)


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether ``isclose`` holds everywhere. Semantics: torch.allclose."""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and values. Semantics: torch.equal."""
    check_tensor("equal", "input", input)
    check_tensor("equal", "other", other)
    if input.array.shape != other.array.shape:
        return False
    return bool(eq(input, other).array.all())


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one. Semantics: torch.is_floating_point."""
    check_tensor("is_floating_point", "input", input)
    return bool(input.array.dtype.kind == "f")


def is_complex(input: Tensor) -> bool:
    """False: there are no complex numbers here. Semantics: torch.is_complex."""
    check_tensor("is_complex", "input", input)
    return False


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a Tensor."""
    return isinstance(value, TensorBase)


def is_nonzero(input: Tensor) -> bool:
    """The truth of a one-element tensor; RuntimeError for any other size."""
    if input.array.size != 1:
        what = "no values" if input.array.size == 0 else "more than one value"
        raise error(
            RuntimeError,
            f"bool: Boolean value of Tensor with {what} is ambiguous, got shape={input.shape}",
            TRUTH,
        )
    return bool(input.backend.to_numpy(input.array).reshape(()) != np.False_)
