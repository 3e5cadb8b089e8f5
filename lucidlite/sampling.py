"""Random tensors. Every number comes from a generator's counter, the same on every device."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.creation import checked_sizes, finish, like, sizes_of
from lucidlite.dtypes import as_dtype, bool_, dtype, get_default_dtype, int64
from lucidlite.generator import Generator, current_generator, default_generator
from lucidlite.ops.common import as_int, as_ints, broadcast_shape, check_dtype
from lucidlite.tensor import Tensor


def _float_dtype(op: str, kind: Any) -> np.dtype[Any]:
    kind = get_default_dtype() if kind is None else as_dtype(kind, op)
    if not kind.is_floating_point:
        raise error(NotImplementedError, f"{op}: not implemented for dtype={kind}")
    return kind.numpy  # type: ignore[no-any-return]


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """Uniform numbers in [0, 1), the same on every device. Semantics: torch.rand."""
    sizes, kind = sizes_of("rand", size, named), _float_dtype("rand", dtype)
    return finish((generator or current_generator()).uniform(sizes, kind), device, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """Standard normal numbers, the same on every device. Semantics: torch.randn."""
    sizes, kind = sizes_of("randn", size, named), _float_dtype("randn", dtype)
    return finish((generator or current_generator()).normal(sizes, kind), device, requires_grad)


def rand_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``rand`` of ``input``'s shape, dtype and device. Semantics: torch.rand_like."""
    size, kind, place = like("rand_like", input, dtype, device)
    return rand(size, dtype=kind, device=place, requires_grad=requires_grad)


def randn_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``randn`` of ``input``'s shape, dtype and device. Semantics: torch.randn_like."""
    size, kind, place = like("randn_like", input, dtype, device)
    return randn(size, dtype=kind, device=place, requires_grad=requires_grad)


def randint(
    low: Any = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high), as ``randint(high, size)`` from 0. Semantics: torch.randint."""
    if isinstance(high, (tuple, list)) and size is None:
        high, size = None, high
    if high is None:
        low, high = 0, low
    first, last = as_int("randint", "low", low), as_int("randint", "high", high)
    sizes = checked_sizes("randint", as_ints("randint", "size", size))
    if first >= last:
        raise error(
            RuntimeError,
            f"randint: expects 'from' to be less than 'to', got low={first}, high={last}",
        )
    kind = int64 if dtype is None else as_dtype(dtype, "randint")
    for name, value in (("low", first), ("high - 1", last - 1)):
        _check_fits("randint", name, value, kind)
    values = (generator or current_generator()).integers(first, last, sizes)
    return finish(values.astype(kind.numpy), device, requires_grad)


def randint_like(
    input: Tensor,
    low: Any,
    high: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``randint`` of ``input``'s shape, dtype and device. Semantics: torch.randint_like."""
    size, kind, place = like("randint_like", input, dtype, device)
    first, last = (0, low) if high is None else (low, high)
    return randint(first, last, size, dtype=kind, device=place, requires_grad=requires_grad)


def _check_fits(op: str, name: str, value: int, kind: dtype) -> None:
    """Refuse integers that ``kind`` can't hold exactly."""
    if kind.is_floating_point:
        limit = 2 ** (np.finfo(kind.numpy).nmant + 1)
        low, high = -limit, limit
    elif kind is bool_:
        low, high = 0, 1
    else:
        info = np.iinfo(kind.numpy)
        low, high = int(info.min), int(info.max)
    if not low <= value <= high:
        raise error(RuntimeError, f"{op}: {name} is out of bounds for {kind}, got {name}={value}")


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
    kind = int64 if dtype is None else as_dtype(dtype, "randperm")
    _check_fits("randperm", "n - 1", max(n - 1, 0), kind)
    values = (generator or current_generator()).permutation(n)
    return finish(values.astype(kind.numpy), device, requires_grad)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers with a mean and a standard deviation: numbers with a ``size``, or tensors.

    Semantics: torch.normal.
    """
    given = [v for v in (mean, std) if isinstance(v, Tensor)]
    if bool(given) == (size is not None):
        raise error(
            TypeError,
            "normal: expected two numbers and a size, or tensors and none, "
            f"got {type(mean).__name__}, {type(std).__name__}, size={size}",
        )
    for value in given:
        check_dtype("normal", value, "f")
    if bool((std < 0).any()) if isinstance(std, Tensor) else std < 0:
        raise error(RuntimeError, f"normal: expects std >= 0.0, but found std={std}")
    if size is not None:
        place = "cpu" if device is None else device  # the default device doesn't count, as there
        draws = randn(size, generator=generator, dtype=dtype, device=place)
        return (draws * std + mean).requires_grad_(requires_grad)  # type: ignore[no-any-return]
    if dtype is not None or device is not None or requires_grad:
        raise error(TypeError, "normal: dtype, device and requires_grad go with a size")
    shape = broadcast_shape("normal", *[v.array.shape for v in given])
    draws = randn(shape, generator=generator, dtype=given[0].dtype, device=given[0].device)
    fixed = [v.detach() if isinstance(v, Tensor) else v for v in (mean, std)]
    return draws * fixed[1] + fixed[0]


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
