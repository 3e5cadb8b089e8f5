"""Which values there are, how often and where they fall: unique, bincount, histc, searchsorted.

How many results there are hangs on the values, so a GPU waits here, as it does in PyTorch.
"""

from __future__ import annotations

from math import prod as product
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.common import (
    as_int,
    check_device,
    check_dtype,
    check_tensor,
    no_derivative_vjp,
    result_type,
    to_dtype,
    wrap_dim,
)
from lucidlite.ops.compare import ne
from lucidlite.ops.reduce import Dim, sum
from lucidlite.tape import record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def _found(op: str, input: Tensor, parts: tuple[Any, Any, Any], wanted: tuple[bool, bool]) -> Any:
    """The values, and if wanted where each element is among them, and how often each occurs."""
    backend = input.backend
    values, *more = (backend.asarray(part) for part in parts)
    out = record(values, unique_vjp, (input,), (op,), name=op)
    extra = [wrap(array, backend) for array, want in zip(more, wanted, strict=True) if want]
    return (out, *extra) if extra else out


def unique_vjp(node: Node, grad: Tensor, op: str) -> None:  # noqa: ARG001
    raise error(NotImplementedError, f"{op}: the derivative for '{op}' is not implemented")


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (or slices along ``dim``), in order whatever ``sorted`` says.

    With ``return_inverse`` also where each element is among them, with ``return_counts`` also how
    often each occurs.

    >>> import lucidlite
    >>> lucidlite.unique(lucidlite.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))

    Semantics: torch.unique.
    """
    check_tensor("unique", "input", input)
    del sorted  # PyTorch's order is ours either way
    host = input.backend.to_numpy(input.array)
    if dim is None:
        values, inverse, counts = np.unique(
            host.reshape(-1), return_inverse=True, return_counts=True, equal_nan=False
        )
        inverse = inverse.reshape(host.shape)
    else:
        axis = _axis("unique", input, dim)
        rows = np.moveaxis(host, axis, 0)
        flat = _flat_rows(rows)
        order = np.lexsort(flat.T[::-1]) if flat.shape[1] else np.arange(flat.shape[0])
        starts, runs, counts = _runs(flat[order])
        inverse = np.empty_like(runs)
        inverse[order] = runs
        values = np.moveaxis(rows[order[starts]], 0, axis)
    parts = (values, inverse.astype(np.int64), counts.astype(np.int64))
    name = "unique2" if dim is None else "unique_dim"
    return _found(name, input, parts, (return_inverse, return_counts))


def _axis(op: str, input: Tensor, dim: int) -> int:
    axis = wrap_dim(op, dim, input.array.ndim)
    shape = input.array.shape
    if not input.array.size and any(not n for d, n in enumerate(shape) if d != axis):
        raise error(
            RuntimeError,
            f"{op}: there are 0 sized dimensions, and they aren't selected, so unique cannot be "
            f"applied, got shape={tuple(shape)}, dim={dim}",
        )
    if not shape:
        raise error(IndexError, f"{op}: dimension specified as {dim} but tensor has no dimensions")
    return axis


def _flat_rows(rows: Any) -> Any:
    return rows.reshape(rows.shape[0], product(rows.shape[1:]))


def _runs(rows: Any) -> tuple[Any, Any, Any]:
    """Where runs of equal rows start, the number of each row's run, and the runs' lengths."""
    n = rows.shape[0]
    first = np.ones(n, bool)
    if n > 1:
        first[1:] = (rows[1:] != rows[:-1]).any(1)
    starts = np.flatnonzero(first)
    return starts, np.cumsum(first) - 1, np.diff(np.append(starts, n))


def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements (or slices along ``dim``) without those that equal the one before.

    Semantics: torch.unique_consecutive.
    """
    check_tensor("unique_consecutive", "input", input)
    host = input.backend.to_numpy(input.array)
    axis = 0 if dim is None else _axis("unique_consecutive", input, dim)
    rows = host.reshape(-1) if dim is None else np.moveaxis(host, axis, 0)
    starts, inverse, counts = _runs(_flat_rows(rows))
    inverse = inverse.reshape(host.shape) if dim is None else inverse
    values = np.moveaxis(rows[starts], 0, axis)
    parts = (values, inverse.astype(np.int64), counts.astype(np.int64))
    return _found("unique_consecutive", input, parts, (return_inverse, return_counts))


def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """How many elements (over ``dim``) are not 0. Semantics: torch.count_nonzero."""
    check_tensor("count_nonzero", "input", input)
    return sum(ne(input, 0), dim)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often (or with what weight) each number from 0 on occurs. Semantics: torch.bincount."""
    check_tensor("bincount", "input", input)
    check_dtype("bincount", input, "iu")
    minlength = as_int("bincount", "minlength", minlength)
    if minlength < 0:
        raise error(RuntimeError, f"bincount: minlength should be >= 0, got {minlength}")
    array, xp = input.array, input.backend.xp
    if array.ndim != 1 or (array.size and int(array.min()) < 0):
        raise error(
            RuntimeError,
            "bincount: only supports 1-d non-negative integral inputs, "
            f"got shape={tuple(array.shape)}",
        )
    array = array.astype(np.int64)
    if weights is None:
        out = xp.bincount(array, minlength=minlength) if array.size else xp.zeros(minlength, int)
        return wrap(out.astype(np.int64), input.backend)
    check_tensor("bincount", "weights", weights)
    check_device("bincount", input, weights)
    if weights.array.shape != array.shape:
        raise error(
            RuntimeError,
            "bincount: weights should be 1-d and have the same length as input, "
            f"got weights={tuple(weights.array.shape)}, input={tuple(array.shape)}",
        )
    kind = np.dtype(np.float32 if weights.array.dtype == np.float32 else np.float64)
    if not array.size:
        return wrap(xp.zeros(minlength, np.int64), input.backend)
    out = xp.bincount(array, weights.array.astype(np.float64), minlength).astype(kind)
    return record(out, no_derivative_vjp, (weights,), ("bincount",), name="not_implemented")


def histc(input: Tensor, bins: int = 100, min: Any = 0, max: Any = 0) -> Tensor:
    """How many elements fall into each of ``bins`` equal parts of [min, max].

    Where both are equal, the least and largest elements stand for them. Semantics: torch.histc.
    """
    check_tensor("histc", "input", input)
    check_dtype("histc", input, "f")
    bins = as_int("histc", "bins", bins)
    if bins <= 0:
        raise error(RuntimeError, f"histc: bins must be > 0, got bins={bins}")
    xp, x = input.backend.xp, input.array.reshape(-1)
    low, high = float(min), float(max)
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not np.isfinite([low, high]).all():
        raise error(RuntimeError, f"histc: range of [{low}, {high}] is not finite")
    if low > high:
        raise error(RuntimeError, f"histc: max must be larger than min, got {low} and {high}")
    place = xp.floor((x.astype(np.float64) - low) / (high - low) * bins)
    place = xp.where(x == high, bins - 1, place)
    inside = (x >= low) & (x <= high)
    place = xp.where(inside, place, bins).astype(np.int64)
    counts = xp.bincount(place, minlength=bins + 1)[:bins].astype(input.array.dtype)
    return wrap(counts, input.backend)


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would go into its row of a sorted sequence (``right``: after equal ones).

    Semantics: torch.searchsorted.
    """
    check_tensor("searchsorted", "sorted_sequence", sorted_sequence)
    if side not in (None, "left", "right") or (side == "left" and right):
        raise error(
            RuntimeError,
            "searchsorted: side must be 'left' or 'right' and agree with right, "
            f"got side={side!r}, right={right}",
        )
    backend, rows = sorted_sequence.backend, sorted_sequence.array
    if sorter is not None:
        check_tensor("searchsorted", "sorter", sorter)
        if sorter.array.shape != rows.shape or sorter.array.dtype != np.int64:
            raise error(
                RuntimeError,
                "searchsorted: boundary and sorter must have the same size and sorter be int64, "
                f"got {tuple(rows.shape)} and {tuple(sorter.array.shape)}, {sorter.dtype}",
            )
        rows = backend.gather(rows, rows.ndim - 1, sorter.array)
    if not isinstance(input, TensorBase):
        input = wrap(backend.asarray(input, np.asarray(input).dtype), backend)
    check_device("searchsorted", sorted_sequence, input)
    values = input.array
    if rows.ndim != 1 and rows.shape[:-1] != values.shape[:-1]:
        raise error(
            RuntimeError,
            "searchsorted: boundaries tensor should be 1 dimension or the first N-1 dimensions of "
            "boundaries tensor and input value tensor must match, "
            f"got {tuple(rows.shape)} and {tuple(values.shape)}",
        )
    where = "right" if right or side == "right" else "left"
    xp = backend.xp
    if rows.ndim == 1:
        out = xp.searchsorted(rows, values.reshape(-1), where).reshape(values.shape)
    else:
        count = product(rows.shape[:-1])
        flat = rows.reshape(count, rows.shape[-1]), values.reshape(count, values.shape[-1])
        found = [xp.searchsorted(a, b, where) for a, b in zip(*flat, strict=True)]
        out = xp.stack(found).reshape(values.shape) if found else xp.zeros(values.shape, int)
    return wrap(xp.asarray(out).astype(np.int32 if out_int32 else np.int64), backend)


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the bucket between ``boundaries`` of each value. Semantics: torch.bucketize."""
    check_tensor("bucketize", "boundaries", boundaries)
    if boundaries.array.ndim != 1:
        raise error(
            RuntimeError,
            f"bucketize: boundaries tensor must be 1 dimension, got {boundaries.array.ndim}",
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is among ``test_elements``. Semantics: torch.isin."""
    del assume_unique  # of no effect on the result
    given = [v for v in (elements, test_elements) if isinstance(v, TensorBase)]
    if not given:
        raise error(TypeError, "isin: expected a Tensor")
    check_device("isin", *given)
    backend, kind = given[0].backend, result_type(elements, test_elements).numpy
    x, known = (
        to_dtype(v, kind).array if isinstance(v, TensorBase) else backend.constant(v, kind)
        for v in (elements, test_elements)
    )
    xp = backend.xp
    known = xp.sort(known.reshape(-1))
    if not known.size:
        found = xp.zeros(x.shape, bool)
    else:
        places = xp.searchsorted(known, x.reshape(-1)).reshape(x.shape)
        found = backend.map("equal", known[xp.clip(places, 0, known.size - 1)], x)
    return wrap(backend.map("logical_not", found) if invert else found, backend)
