"""What ops share: reading operands, dtype promotion, dims and shapes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends import cpu
from lucidlite.callsite import error
from lucidlite.dtypes import (
    dtype,
    float16,
    float32,
    get_default_dtype,
    of_scalar,
    result_type_of,
)
from lucidlite.hints import for_broadcast, for_devices, for_non_tensor
from lucidlite.tape import record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.backends import Backend
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Number = bool | int | float
SCALARS = (int, float, np.bool_, np.integer, np.floating)
# What operators take; of anything else Python asks the reflected operator.
OPERANDS = (TensorBase, *SCALARS, np.ndarray)


def to_dtype(input: TensorBase, numpy_dtype: Any) -> Tensor:
    """``input`` converted, itself where it has the dtype already. Gradients convert back."""
    if input.array.dtype == numpy_dtype:
        return input  # type: ignore[return-value]
    array = input.backend.cast(input.array, numpy_dtype)
    if numpy_dtype.kind != "f":
        return wrap(array, input.backend)
    return record(array, to_copy_vjp, (input,))


def to_copy_vjp(node: Any, grad: Tensor) -> Tensor:
    return grad  # the engine converts a gradient to its parent's dtype


def widened(*tensors: Tensor) -> tuple[Tensor, ...]:
    """float16 tensors as float32, for a vjp that rounds once: the engine converts its result."""
    if tensors[0].array.dtype != np.float16:
        return tensors
    return tuple(to_dtype(t, float32.numpy) for t in tensors)


def zero_vjp(node: Node, grad: Tensor) -> tuple[Tensor, ...]:
    """The reverse rule of what is constant almost everywhere: 0, whatever the gradient."""
    zero = wrap(grad.backend.xp.zeros_like(grad.array), grad.backend)
    return (zero,) * len(node.edges)


def no_derivative_vjp(node: Node, grad: Tensor, op: str) -> None:  # noqa: ARG001
    """The reverse rule of what PyTorch has no derivative for."""
    raise error(RuntimeError, f"{op}: derivative for {op} is not implemented")


def as_tensor_operand(op: str, value: Any, like: TensorBase) -> Tensor:
    """A tensor, or a NumPy array as one on ``like``'s device."""
    if isinstance(value, TensorBase):
        return value  # type: ignore[return-value]
    if isinstance(value, np.ndarray):
        return wrap(like.backend.asarray(value), like.backend)
    wrong = type(value).__name__
    raise error(
        TypeError, f"{op}: operands must be tensors or numbers, got {wrong}", for_non_tensor(value)
    )


def rank(value: Any) -> tuple[dtype, int]:
    """The (dtype, rank) promotion looks at."""
    if isinstance(value, TensorBase):
        return value.dtype, 2 if value.array.ndim else 1
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (int, float)):
        raise error(
            TypeError, f"result_type: expected tensors or numbers, got {type(value).__name__}"
        )
    return of_scalar(value), 0


def result_type(*values: Any) -> dtype:
    """The dtype an operation on these tensors and numbers computes in.

    >>> import lucidlite
    >>> lucidlite.result_type(lucidlite.tensor([1, 2]), 1.5)
    torch.float32

    Semantics: torch.result_type.
    """
    return result_type_of([rank(value) for value in values])


def operands(
    op: str, x: Any, y: Any, floating: bool = False, wide: bool = False
) -> tuple[Tensor, Tensor]:
    """Two operands as tensors of one dtype on one device; ``floating`` lifts integers to float.

    With ``wide``, a second operand that is a number or 0-dim tensor stays float32 where it meets
    float16: the result is then rounded once.
    """
    if isinstance(x, TensorBase) and isinstance(y, TensorBase):
        if x.backend is not y.backend:
            x, y = same_device(op, x, y)
        kind = x.array.dtype
        if kind == y.array.dtype and (not floating or kind.kind == "f"):
            return x, y
    elif isinstance(x, TensorBase) and isinstance(y, SCALARS):
        return _with_scalar(op, x, y, floating, wide)
    elif isinstance(y, TensorBase) and isinstance(x, SCALARS):
        other, scalar = _with_scalar(op, y, x, floating, False)
        return scalar, other
    elif isinstance(x, TensorBase):
        y = as_tensor_operand(op, y, x)
    elif isinstance(y, TensorBase):
        x = as_tensor_operand(op, x, y)
    else:
        raise error(TypeError, f"{op}: expected a Tensor, got {type(x).__name__}")
    kind = result_type(x, y)
    if floating and not kind.is_floating_point:
        kind = get_default_dtype()
    wide = wide and kind is float16 and not y.array.ndim and y.array.dtype.itemsize >= 4
    return to_dtype(x, kind.numpy), to_dtype(y, float32.numpy if wide else kind.numpy)


def _with_scalar(
    op: str, x: TensorBase, y: Any, floating: bool, wide: bool
) -> tuple[Tensor, Tensor]:
    kind = x.array.dtype
    if kind.kind != "f":
        promoted = result_type(x, y)
        if floating and not promoted.is_floating_point:
            promoted = get_default_dtype()
        kind = promoted.numpy
    backend = x.backend
    if kind.kind == "f":
        x = to_dtype(x, kind)
        kind = float32.numpy if wide and kind == np.float16 else kind
        if -6e4 < y < 6e4:  # fits every float dtype
            return x, wrap(backend.constant(y, kind), backend)
        return x, wrap(backend.constant(cpu.cast(_checked_int(op, y), kind), kind), backend)
    try:
        array = backend.constant(y, kind)
    except OverflowError:  # too big for the dtype: its low bits, as in PyTorch
        array = backend.constant(_checked_int(op, y).astype(kind), kind)
    return to_dtype(x, kind), wrap(array, backend)


def _checked_int(op: str, value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise error(OverflowError, f"{op}: int too big to convert, got {value}")
    return np.asarray(value)


def number_array(op: str, value: Any, like: TensorBase) -> Any:
    """A number as a 0-dim array of ``like``'s dtype; RuntimeError where it doesn't fit.

    A negative number wraps in an unsigned dtype, as in PyTorch.
    """
    kind = like.array.dtype
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (int, float)):
        raise error(TypeError, f"{op}: expected a number, got {type(value).__name__}")
    if kind.kind in "iu":
        info = np.iinfo(kind)
        low = info.min if kind.kind == "i" or isinstance(value, float) else -info.max
        if not low <= value <= info.max:  # NaN and inf too
            raise error(
                RuntimeError,
                f"{op}: value cannot be converted to type {like.dtype} without overflow, "
                f"got value={value}",
            )
        value = int(value) & info.max if value < 0 and kind.kind == "u" else int(value)
    elif kind.kind == "f" and float(np.finfo(kind).max) < abs(value) < np.inf:
        raise error(
            RuntimeError,
            f"{op}: value cannot be converted to type {like.dtype} without overflow, "
            f"got value={value}",
        )
    return like.backend.constant(value, kind)


def same_device(op: str, x: TensorBase, y: TensorBase) -> tuple[TensorBase, TensorBase]:
    """Operands on one device: a 0-dim CPU tensor follows the other, anything else is refused."""
    if x.backend is cpu and not x.array.ndim:
        return moved(x, y.backend), y
    if y.backend is cpu and not y.array.ndim:
        return x, moved(y, x.backend)
    raise _elsewhere(op, x, y)


def moved(input: TensorBase, backend: Backend, non_blocking: bool = False) -> Tensor:
    """``input`` on another device; its gradient comes back to this one."""
    host = input.backend.to_numpy(input.array)
    array = backend.send(host) if non_blocking else backend.asarray(host)
    return record(array, moved_vjp, (input,), (input.backend,), name="to", backend=backend)


def moved_vjp(node: Node, grad: Tensor, backend: Backend) -> Tensor:
    return moved(grad, backend)


def check_device(op: str, *tensors: TensorBase | None) -> None:
    """Refuse tensors of different devices."""
    there = [t for t in tensors if t is not None]
    for t in there[1:]:
        if t.backend is not there[0].backend:
            raise _elsewhere(op, there[0], t)


def _elsewhere(op: str, x: TensorBase, y: TensorBase) -> RuntimeError:
    return error(
        RuntimeError,
        f"{op}: expected all tensors to be on the same device, got {x.device} and {y.device}",
        for_devices(x.device, y.device),
    )


def check_tensor(op: str, name: str, value: Any) -> None:
    """Refuse what isn't a tensor."""
    if not isinstance(value, TensorBase):
        raise error(
            TypeError,
            f"{op}: argument '{name}' must be Tensor, got {type(value).__name__}",
            for_non_tensor(value),
        )


def check_dtype(op: str, input: TensorBase, kinds: str) -> None:
    """Refuse a dtype PyTorch has no kernel for: ``kinds`` are the letters of those it has."""
    if input.array.dtype.kind not in kinds:
        raise error(
            NotImplementedError, f"{op}: not implemented for this dtype, got dtype={input.dtype}"
        )


def floating(op: str, input: Any) -> Tensor:
    """``input`` in a floating dtype: integers and bools become the default one."""
    check_tensor(op, "input", input)
    if input.array.dtype.kind == "f":
        return input  # type: ignore[no-any-return]
    return to_dtype(input, get_default_dtype().numpy)


def check_broadcast(op: str, *tensors: TensorBase) -> None:
    """Refuse shapes that don't broadcast, in PyTorch's words."""
    broadcast_shape(op, *[t.array.shape for t in tensors])


def broadcast_shape(op: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which these broadcast; RuntimeError where they don't."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        a, b = shapes[:2]
        for i in range(1, min(len(a), len(b)) + 1):
            if a[-i] != b[-i] and 1 not in (a[-i], b[-i]):
                at = max(len(a), len(b)) - i
                raise error(
                    RuntimeError,
                    f"{op}: the size of tensor a ({a[-i]}) must match the size of tensor b "
                    f"({b[-i]}) at non-singleton dimension {at}, got shapes {a} and {b}",
                    for_broadcast(a, b),
                ) from None
        listed = " and ".join(map(str, shapes))
        raise error(RuntimeError, f"{op}: shapes must broadcast, got {listed}") from None


def as_int(op: str, name: str, value: Any) -> int:
    """An index-like argument as int; bools and floats are refused as in PyTorch."""
    if isinstance(value, bool):
        raise error(TypeError, f"{op}: {name} must be int, got {name}={value}")
    try:
        return operator.index(value)
    except TypeError:
        raise error(
            TypeError, f"{op}: {name} must be int, got {name}={value!r} ({type(value).__name__})"
        ) from None


def wrap_dim(op: str, dim: Any, ndim: int) -> int:
    """``dim`` counted from the front; IndexError outside [-ndim, ndim - 1]."""
    dim = as_int(op, "dim", dim)
    low = max(ndim, 1)
    if not -low <= dim < low:
        raise error(
            IndexError,
            f"{op}: dimension out of range (expected to be in range of [{-low}, {low - 1}], "
            f"but got {dim})",
        )
    return int(dim % low)


def wrap_dims(op: str, dim: Any, ndim: int) -> tuple[int, ...]:
    """One dim, several, or None for all, counted from the front; duplicates are refused."""
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        dim = (dim,)
    dims = tuple(wrap_dim(op, d, ndim) for d in dim)
    if len(set(dims)) != len(dims):
        raise error(
            RuntimeError, f"{op}: each dim may appear once in the list of dims, got dim={dim}"
        )
    return tuple(d for d in dims if ndim) if dims else tuple(range(ndim))


def as_sizes(op: str, sizes: Sequence[Any]) -> tuple[int, ...]:
    """``(2, 3)``, ``([2, 3],)`` or a Size as a tuple of ints."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    return tuple([n if type(n) is int else as_int(op, "size", n) for n in sizes])


def as_ints(op: str, name: str, values: Any) -> tuple[int, ...]:
    """A sequence of ints as a tuple; TypeError for a single int."""
    if not isinstance(values, (tuple, list)):
        raise error(
            TypeError, f"{op}: argument '{name}' must be tuple of ints, not {type(values).__name__}"
        )
    return tuple([n if type(n) is int else as_int(op, name, n) for n in values])


def listed(op: str, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What a method takes as ``op(2, 3)``, ``op((2, 3))`` or ``op(name=...)``, as one sequence."""
    if named and (values or set(named) != {name}):
        raise error(TypeError, f"{op}: expected ints or {name}=, got {', '.join(named)}")
    if named:
        return named[name]
    if not values:
        raise error(TypeError, f"{op}: missing 1 required positional argument: '{name}'")
    return values[0] if len(values) == 1 and isinstance(values[0], (tuple, list)) else values
