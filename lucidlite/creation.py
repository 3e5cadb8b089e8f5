"""Making tensors: from data, filled, as ranges. Random ones are in ``sampling.py``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucidlite.backends import default_backend, get_backend
from lucidlite.callsite import error
from lucidlite.device import default_device
from lucidlite.dtypes import (
    ALL,
    as_dtype,
    float64,
    from_numpy_dtype,
    get_default_dtype,
    int64,
    of_scalar,
)
from lucidlite.ops.common import as_int, as_ints, as_sizes, check_tensor, listed, number_array
from lucidlite.reading import read
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor


def finish(array: Any, device: Any, requires_grad: bool) -> Tensor:
    """A host array as a new tensor."""
    backend = default_backend() if device is None else get_backend(device)
    out = wrap(backend.asarray(array), backend)
    return out.requires_grad_() if requires_grad else out


def filled(
    name: str, sizes: tuple[int, ...], kind: Any, device: Any, requires_grad: bool, *value: Any
) -> Tensor:
    """``zeros``, ``ones``, ``empty`` or ``full`` of the array library, where the tensor will be."""
    backend = default_backend() if device is None else get_backend(device)
    out = wrap(getattr(backend.xp, name)(sizes, *value, dtype=kind), backend)
    return out.requires_grad_() if requires_grad else out


def numpy_dtype(dtype: Any, op: str) -> np.dtype[Any]:
    """The array dtype of ``dtype``, or of the default one."""
    return (get_default_dtype() if dtype is None else as_dtype(dtype, op)).numpy


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of its own memory from numbers, nested sequences, arrays or tensors.

    Python floats become the default dtype, ints int64, bools bool; arrays keep their dtype.
    ValueError for ragged sequences. ``pin_memory`` puts it into pinned memory (see Tensor.to).

    >>> import lucidlite
    >>> lucidlite.tensor([[1, 2], [3, 4]]).dtype
    torch.int64

    Semantics: torch.tensor.
    """
    if device is None and isinstance(data, Tensor):
        device = default_device() or data.device
    out = finish(read("tensor", data, dtype), device, False)
    if pin_memory:
        out = out.pin_memory()
    return out.requires_grad_() if requires_grad else out


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, sharing memory where it can. Semantics: torch.as_tensor."""
    device = default_device() if device is None else device
    if isinstance(data, Tensor):
        kind = data.dtype if dtype is None else as_dtype(dtype, "as_tensor")
        return data.to(data.device if device is None else device, kind)
    if isinstance(data, np.ndarray) and data.dtype in _SHARED:
        out = from_numpy(data)
        return as_tensor(out, dtype, device) if dtype is not None or device is not None else out
    return tensor(data, dtype=dtype, device=device)


_SHARED = frozenset(kind.numpy for kind in ALL)


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """A CPU tensor that shares memory with a NumPy array. Semantics: torch.from_numpy.

    TypeError for what isn't an array, and for dtypes that tensors don't have.
    """
    if not isinstance(ndarray, np.ndarray):
        raise error(TypeError, f"from_numpy: expected np.ndarray, got {type(ndarray).__name__}")
    kind = from_numpy_dtype(ndarray.dtype).numpy
    backend = get_backend("cpu")
    if ndarray.dtype != kind or any(s < 0 for s in ndarray.strides):
        raise error(
            ValueError,
            "from_numpy: the array must be in native byte order with non-negative strides; "
            f"use array.copy(), got dtype={ndarray.dtype}, strides={ndarray.strides}",
        )
    out = wrap(ndarray, backend)
    out.version_cell().leave()
    return out


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``size`` filled with one number, whose type decides the dtype. Semantics: torch.full."""
    value = fill_value
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and not value.array.ndim):
        value = value.item()
    if not isinstance(value, (bool, int, float)):
        raise error(
            TypeError, f"full: fill_value must be a number, got {type(fill_value).__name__}"
        )
    kind = of_scalar(value).numpy if dtype is None else numpy_dtype(dtype, "full")
    stub = wrap(np.empty((), kind), get_backend("cpu"))
    number = number_array("full", value, stub)
    sizes = checked_sizes("full", as_ints("full", "size", size))
    return filled("full", sizes, kind, device, requires_grad, number[()])


def sizes_of(op: str, size: tuple[Any, ...], named: dict[str, Any]) -> tuple[int, ...]:
    """The shape a factory is given as ints, as one sequence or as ``size=``."""
    return checked_sizes(op, as_sizes(op, (listed(op, "size", size, named),)))


def checked_sizes(op: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """``sizes``, none of them negative."""
    if any(n < 0 for n in sizes):
        raise error(
            RuntimeError, f"{op}: trying to create tensor with negative dimension, got size={sizes}"
        )
    return sizes


def zeros(
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """Zeros of a shape given as ints or one sequence. Semantics: torch.zeros."""
    sizes, kind = sizes_of("zeros", size, named), numpy_dtype(dtype, "zeros")
    return filled("zeros", sizes, kind, device, requires_grad)


def ones(
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """Ones of a shape given as ints or one sequence. Semantics: torch.ones."""
    sizes, kind = sizes_of("ones", size, named), numpy_dtype(dtype, "ones")
    return filled("ones", sizes, kind, device, requires_grad)


def empty(
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """Uninitialised memory of a shape. Semantics: torch.empty."""
    sizes, kind = sizes_of("empty", size, named), numpy_dtype(dtype, "empty")
    return filled("empty", sizes, kind, device, requires_grad)


def like(op: str, input: Any, dtype: Any, device: Any) -> tuple[tuple[int, ...], Any, Any]:
    """The shape, dtype and device of a new tensor that is like ``input`` where not told."""
    check_tensor(op, "input", input)
    kind = input.dtype if dtype is None else as_dtype(dtype, op)
    return tuple(input.shape), kind, input.device if device is None else device


def _shaped(op: str, input: Tensor, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """A tensor like ``input`` filled as ``op`` says, in the same memory order."""
    _, kind, place = like(op, input, dtype, device)
    backend = get_backend(place)
    order = "C" if 0 in input.array.strides or backend is not input.backend else "K"
    array = input.array if backend is input.backend else np.empty(input.array.shape)
    out = wrap(getattr(backend.xp, op)(array, dtype=kind.numpy, order=order), backend)
    return out.requires_grad_() if requires_grad else out


def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of ``input``'s shape, dtype and device. Semantics: torch.zeros_like."""
    return _shaped("zeros_like", input, dtype, device, requires_grad)


def ones_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of ``input``'s shape, dtype and device. Semantics: torch.ones_like."""
    return _shaped("ones_like", input, dtype, device, requires_grad)


def empty_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uninitialised memory of ``input``'s shape, dtype and device. Semantics: torch.empty_like."""
    return _shaped("empty_like", input, dtype, device, requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number in ``input``'s shape, dtype and device. Semantics: torch.full_like."""
    size, kind, place = like("full_like", input, dtype, device)
    return full(size, fill_value, dtype=kind, device=place, requires_grad=requires_grad)


def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from ``start`` (default 0) below ``end`` by ``step``; int64 where all are ints.

    Semantics: torch.arange.
    """
    if end is None:
        start, end = 0, start
    elif start is None:
        start = 0
    numbers = [_number("arange", v) for v in (start, end, step)]
    whole = all(isinstance(v, int) for v in numbers)
    kind = int64 if whole else get_default_dtype()
    kind = kind if dtype is None else as_dtype(dtype, "arange")
    if kind.category == 0:
        raise error(NotImplementedError, "arange: not implemented for dtype=torch.bool")
    if not all(math.isfinite(v) for v in numbers):
        raise error(
            RuntimeError, f"arange: unsupported range: {numbers[0]} -> {numbers[1]}, step {step}"
        )
    first, last, by = numbers if kind is not int64 else (int(v) for v in numbers)
    if by == 0:
        raise error(RuntimeError, f"arange: step must be nonzero, got step={step}")
    if (last - first) * by < 0:
        raise error(
            RuntimeError,
            "arange: upper bound and lower bound inconsistent with step sign, "
            f"got start={first}, end={last}, step={by}",
        )
    count = -((first - last) // by) if kind is int64 else math.ceil((last - first) / by)
    if kind.category == 1:
        first, by = int(first), int(by)
    if count >= 2**48:
        raise error(RuntimeError, f"arange: invalid size, possible overflow? got {count} elements")
    with np.errstate(all="ignore"):
        return finish((np.arange(count) * by + first).astype(kind.numpy), device, requires_grad)


def _number(op: str, value: Any) -> Any:
    """A Python number from one, or from NumPy's, or from a one-element tensor."""
    if isinstance(value, (Tensor, np.generic)):
        value = value.item()
    if not isinstance(value, (int, float)):
        raise error(TypeError, f"{op}: expected a number, got {type(value).__name__}")
    return value


def _end(op: str, value: Any, kind: np.dtype[Any]) -> float:
    """An end of a range as PyTorch takes it: whole for an integer dtype, which must hold it."""
    number = float(_number(op, value))
    if kind.kind not in "iu":
        return number
    if not np.iinfo(kind).min <= number <= np.iinfo(kind).max:  # NaN too
        raise error(
            RuntimeError,
            f"{op}: value cannot be converted to type {kind.name} without overflow, got {number}",
        )
    return float(math.trunc(number))


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end``. Semantics: torch.linspace."""
    steps = as_int("linspace", "steps", steps)
    if steps < 0:
        raise error(
            RuntimeError, f"linspace: number of steps must be non-negative, got steps={steps}"
        )
    kind = numpy_dtype(dtype, "linspace")
    first, last = (_end("linspace", value, kind) for value in (start, end))
    with np.errstate(all="ignore"):
        # Counted from both ends, so that both are exact and the middle is symmetric.
        by = (last - first) / max(steps - 1, 1)
        up, half = np.arange(steps), steps // 2
        values = np.where(up < half, first + by * up, last - by * (steps - 1 - up))
        values = values if steps != 1 else np.array([first])
        return finish(values.astype(kind), device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The identity matrix, or ``n`` rows and ``m`` columns of it. Semantics: torch.eye."""
    sizes = as_ints("eye", "n", (n, n if m is None else m))
    if min(sizes) < 0:
        raise error(RuntimeError, f"eye: n and m must be greater or equal to 0, got n={n}, m={m}")
    return finish(np.eye(*sizes, dtype=numpy_dtype(dtype, "eye")), device, requires_grad)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """(2, count): the places in a lower triangle, row by row. Semantics: torch.tril_indices."""
    return _triangle("tril", row, col, offset, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """(2, count): the places in an upper triangle, row by row. Semantics: torch.triu_indices."""
    return _triangle("triu", row, col, offset, dtype, device)


def _triangle(op: str, row: Any, col: Any, offset: Any, dtype: Any, device: Any) -> Tensor:
    sizes = as_ints(f"{op}_indices", "row and col", (row, col))
    if min(sizes) < 0:
        raise error(
            RuntimeError, f"{op}_indices: row and col must be non-negative, got {row} and {col}"
        )
    shape = np.ones(sizes, bool)
    inside = np.stack(getattr(np, op)(shape, as_int(op, "offset", offset)).nonzero())
    kind = int64 if dtype is None else as_dtype(dtype, f"{op}_indices")
    return finish(inside.astype(kind.numpy), device, False)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``base`` to the powers of ``linspace(start, end, steps)``. Semantics: torch.logspace."""
    kind = numpy_dtype(dtype, "logspace")
    first, last = (_end("logspace", value, kind) for value in (start, end))
    powers = linspace(first, last, steps, dtype=float64, device="cpu").array
    with np.errstate(all="ignore"):
        values = (np.float64(base) ** powers).astype(kind)
    return finish(values, device, requires_grad)


def scalar_tensor(
    s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A number as a 0-dim tensor of the default dtype. Semantics: torch.scalar_tensor."""
    kind = get_default_dtype() if dtype is None else dtype
    return full((), s, dtype=kind, device=device, requires_grad=requires_grad)
