"""Making tensors: from data, filled, as ranges, at random."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucidlite.backends import get_backend
from lucidlite.callsite import error
from lucidlite.dtypes import (
    as_dtype,
    float64,
    from_numpy_dtype,
    get_default_dtype,
    int64,
    of_scalar,
)
from lucidlite.generator import Generator, current_generator, default_generator
from lucidlite.ops.common import as_int, as_sizes
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor, _plain


def _finish(array: Any, device: Any, requires_grad: bool) -> Tensor:
    backend = get_backend("cpu" if device is None else device)
    out = wrap(backend.asarray(array), backend)
    return out.requires_grad_() if requires_grad else out  # type: ignore[no-any-return]


def _numpy_dtype(dtype: Any, op: str) -> np.dtype[Any]:
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
    ValueError for ragged sequences. ``pin_memory`` has no effect.

    >>> import lucidlite
    >>> lucidlite.tensor([[1, 2], [3, 4]]).dtype
    torch.int64

    Semantics: torch.tensor.
    """
    del pin_memory
    array = _host(data, dtype, "tensor")
    return _finish(np.array(array, copy=True), device, requires_grad)


def _host(data: Any, dtype: Any, op: str) -> np.ndarray[Any, Any]:
    kind = None if dtype is None else as_dtype(dtype, op).numpy
    if isinstance(data, (Tensor, np.ndarray, np.generic)):
        array = np.asarray(_plain(data))
    else:
        try:
            array = np.array(_plain(data))
        except (ValueError, TypeError) as problem:
            raise error(ValueError, f"{op}: expected sequences of equal length ({problem})") from None
        if array.dtype.kind in "OUS":
            raise error(
                TypeError, f"{op}: data must be numbers or sequences of them, got {_found(data)}"
            )
        # What held Python numbers has no dtype of its own.
        if array.dtype.kind == "f" and not _holds_arrays(data):
            array = array.astype(get_default_dtype().numpy) if kind is None else array
        elif array.size == 0 and array.dtype.kind == "f":
            array = array.astype(get_default_dtype().numpy)
    if kind is not None:
        with np.errstate(all="ignore"):
            return array.astype(kind)
    return array.astype(from_numpy_dtype(array.dtype).numpy, copy=False)


def _holds_arrays(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (Tensor, np.ndarray, np.generic))


def _found(data: Any) -> str:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return f"{data!r} ({type(data).__name__})"


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, sharing memory where it can. Semantics: torch.as_tensor."""
    if isinstance(data, Tensor):
        kind = data.dtype if dtype is None else as_dtype(dtype, "as_tensor")
        return data.to(data.device if device is None else device, kind)
    if isinstance(data, np.ndarray):
        out = from_numpy(data)
        return as_tensor(out, dtype, device) if dtype is not None or device is not None else out
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """A CPU tensor that shares memory with a NumPy array. Semantics: torch.from_numpy.

    TypeError for what isn't an array, and for dtypes that tensors don't have.
    """
    if not isinstance(ndarray, np.ndarray):
        raise error(
            TypeError, f"from_numpy: expected np.ndarray, got {type(ndarray).__name__}"
        )
    kind = from_numpy_dtype(ndarray.dtype).numpy
    backend = get_backend("cpu")
    if ndarray.dtype != kind or any(s < 0 for s in ndarray.strides):
        raise error(
            ValueError,
            "from_numpy: the array must be in native byte order with non-negative strides; "
            f"use array.copy(), got dtype={ndarray.dtype}, strides={ndarray.strides}",
        )
    out = wrap(ndarray, backend)
    out.version_cell(share=True)
    return out


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``size`` filled with one number, whose type decides the dtype. Semantics: torch.full."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    kind = of_scalar(value).numpy if dtype is None else _numpy_dtype(dtype, "full")
    sizes = as_sizes("full", (size,) if isinstance(size, int) else (tuple(size),))
    return _finish(np.full(_checked("full", sizes), value).astype(kind), device, requires_grad)


def _checked(op: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    if any(n < 0 for n in sizes):
        raise error(
            RuntimeError, f"{op}: trying to create tensor with negative dimension, got size={sizes}"
        )
    return sizes


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of a shape given as ints or one sequence. Semantics: torch.zeros."""
    array = np.zeros(_checked("zeros", as_sizes("zeros", size)), _numpy_dtype(dtype, "zeros"))
    return _finish(array, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of a shape given as ints or one sequence. Semantics: torch.ones."""
    array = np.ones(_checked("ones", as_sizes("ones", size)), _numpy_dtype(dtype, "ones"))
    return _finish(array, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uninitialised memory of a shape. Semantics: torch.empty."""
    array = np.empty(_checked("empty", as_sizes("empty", size)), _numpy_dtype(dtype, "empty"))
    return _finish(array, device, requires_grad)


def _like(input: Tensor, dtype: Any, device: Any, op: str) -> tuple[tuple[int, ...], Any, Any]:
    kind = input.dtype if dtype is None else as_dtype(dtype, op)
    return tuple(input.shape), kind, input.device if device is None else device


def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of ``input``'s shape, dtype and device. Semantics: torch.zeros_like."""
    size, kind, place = _like(input, dtype, device, "zeros_like")
    return zeros(size, dtype=kind, device=place, requires_grad=requires_grad)


def ones_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of ``input``'s shape, dtype and device. Semantics: torch.ones_like."""
    size, kind, place = _like(input, dtype, device, "ones_like")
    return ones(size, dtype=kind, device=place, requires_grad=requires_grad)


def empty_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uninitialised memory of ``input``'s shape, dtype and device. Semantics: torch.empty_like."""
    size, kind, place = _like(input, dtype, device, "empty_like")
    return empty(size, dtype=kind, device=place, requires_grad=requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number in ``input``'s shape, dtype and device. Semantics: torch.full_like."""
    size, kind, place = _like(input, dtype, device, "full_like")
    return full(size, fill_value, dtype=kind, device=place, requires_grad=requires_grad)


def arange(
    start: Any,
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
    start, end, step = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if step == 0 or (end - start) * step < 0:
        raise error(
            RuntimeError,
            "arange: step must be nonzero and lead from start to end (upper bound and lower bound "
            f"inconsistent with step sign), got start={start}, end={end}, step={step}",
        )
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    kind = int64 if whole and dtype is None else None
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    values = np.arange(count) * step + start
    numpy_kind = kind.numpy if kind is not None else _numpy_dtype(dtype, "arange")
    return _finish(values.astype(numpy_kind), device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end``. Semantics: torch.linspace."""
    steps = as_int("linspace", "steps", steps)
    if steps < 0:
        raise error(RuntimeError, f"linspace: number of steps must be non-negative, got steps={steps}")
    values = np.linspace(float(start), float(end), steps)
    return _finish(values.astype(_numpy_dtype(dtype, "linspace")), device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The identity matrix, or ``n`` rows and ``m`` columns of it. Semantics: torch.eye."""
    return _finish(np.eye(n, m, dtype=_numpy_dtype(dtype, "eye")), device, requires_grad)


def _random(op: str, dtype: Any) -> Any:
    kind = get_default_dtype() if dtype is None else as_dtype(dtype, op)
    if not kind.is_floating_point:
        raise error(RuntimeError, f"{op}: expected a floating point dtype, got dtype={kind}")
    return kind.numpy


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1), the same on every device. Semantics: torch.rand."""
    sizes = _checked("rand", as_sizes("rand", size))
    values = (generator or current_generator()).uniform(sizes, _random("rand", dtype))
    return _finish(values, device, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal numbers, the same on every device. Semantics: torch.randn."""
    sizes = _checked("randn", as_sizes("randn", size))
    values = (generator or current_generator()).normal(sizes, _random("randn", dtype))
    return _finish(values, device, requires_grad)


def rand_like(input: Tensor, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``rand`` of ``input``'s shape, dtype and device. Semantics: torch.rand_like."""
    size, kind, place = _like(input, dtype, device, "rand_like")
    return rand(size, dtype=kind, device=place)


def randn_like(input: Tensor, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``randn`` of ``input``'s shape, dtype and device. Semantics: torch.randn_like."""
    size, kind, place = _like(input, dtype, device, "randn_like")
    return randn(size, dtype=kind, device=place)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high), ``low`` 0 if left out. Semantics: torch.randint."""
    if size is None:  # randint(high, size)
        low, high, size = 0, low, high
    if not isinstance(size, (tuple, list)):
        raise error(TypeError, f"randint: size must be a tuple of ints, got size={size!r}")
    if not low < high:
        raise error(
            RuntimeError, f"randint: expects 'from' to be less than 'to', got low={low}, high={high}"
        )
    sizes = _checked("randint", as_sizes("randint", (size,)))
    values = (generator or current_generator()).integers(low, high, sizes)
    kind = int64.numpy if dtype is None else as_dtype(dtype, "randint").numpy
    return _finish(values.astype(kind), device, requires_grad)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """0 to n - 1 in random order. Semantics: torch.randperm."""
    n = as_int("randperm", "n", n)
    if n < 0:
        raise error(RuntimeError, f"randperm: n must be non-negative, got n={n}")
    kind = int64.numpy if dtype is None else as_dtype(dtype, "randperm").numpy
    values = (generator or current_generator()).permutation(n)
    return _finish(values.astype(kind), device, requires_grad)


def normal(
    mean: float = 0.0,
    std: float = 1.0,
    size: Any = (),
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Normal numbers with a mean and a standard deviation. Semantics: torch.normal."""
    if std < 0:
        raise error(RuntimeError, f"normal: expects std >= 0.0, but found std={std}")
    return randn(tuple(size), generator=generator, dtype=dtype, device=device) * std + mean


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability each element gives, else 0. Semantics: torch.bernoulli."""
    draws = (generator or current_generator()).uniform(tuple(input.shape), float64.numpy)
    array = input.backend.asarray(draws) < input.array
    return wrap(array.astype(input.array.dtype), input.backend)


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which every device draws from. Semantics: torch.manual_seed."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> dict[str, int]:
    """The default generator's seed and position."""
    return default_generator.get_state()


def set_rng_state(new_state: dict[str, int]) -> None:
    """Put the default generator where ``get_rng_state`` found it."""
    default_generator.set_state(new_state)
