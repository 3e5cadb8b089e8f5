"""Tensors joined along one dim or several, repeated, turned, and cut: functions made of others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations as _combinations
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.common import (
    as_int,
    as_ints,
    broadcast_shape,
    check_device,
    check_tensor,
    wrap_dim,
    wrap_dims,
)
from lucidlite.ops.indexing import getitem, index_select
from lucidlite.ops.join import cat, flip, stack
from lucidlite.ops.shape import expand, flatten, reshape, transpose, unsqueeze
from lucidlite.ops.unary import clone
from lucidlite.tape import wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each slice along ``dim`` (each element without it) ``repeats`` times, one after another.

    ``repeats`` is a number, or a vector with one for each slice; alone it gives the indices.

    >>> import lucidlite
    >>> lucidlite.repeat_interleave(lucidlite.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])

    Semantics: torch.repeat_interleave.
    """
    check_tensor("repeat_interleave", "input", input)
    if repeats is None:
        _check_repeats(input)
        return wrap(_repeated(input, input.array.size, output_size), input.backend)
    x = flatten(input) if dim is None else input
    axis = 0 if dim is None else wrap_dim("repeat_interleave", dim, input.array.ndim)
    if not x.array.ndim:
        x = unsqueeze(x, 0)
    size = x.array.shape[axis]
    if isinstance(repeats, (tuple, list)):
        repeats = wrap(x.backend.asarray(np.asarray(repeats, np.int64)), x.backend)
    if not isinstance(repeats, TensorBase):
        count = as_int("repeat_interleave", "repeats", repeats)
        if count < 0:
            raise error(
                RuntimeError, f"repeat_interleave: repeats can not be negative, got {count}"
            )
        _check_output(output_size, size * count)
        shape = x.array.shape
        wide = expand(unsqueeze(x, axis + 1), (*shape[: axis + 1], count, *shape[axis + 1 :]))
        out = reshape(wide, (*shape[:axis], size * count, *shape[axis + 1 :]))
        return clone(out) if 1 in (count, size) else out  # never a view
    check_device("repeat_interleave", x, repeats)
    _check_repeats(repeats)
    if repeats.array.size not in (1, size):
        raise error(
            RuntimeError,
            "repeat_interleave: repeats must have the same size as input along dim, "
            f"got {repeats.array.size}, size={size}",
        )
    index = wrap(_repeated(repeats, size, output_size), x.backend)
    return index_select(x, axis, index)


def _check_repeats(repeats: TensorBase) -> None:
    array = repeats.array
    if array.ndim > 1 or array.dtype not in (np.int64, np.int32):
        raise error(
            RuntimeError,
            "repeat_interleave: repeats must be 0-dim or 1-dim and have dtype int32 or int64, "
            f"got {array.ndim}-dim, dtype={repeats.dtype}",
        )
    rule = "repeat_interleave: repeats can not be negative, got {}"
    repeats.backend.check_index(array, 0, 2**62, RuntimeError, rule)


def _repeated(repeats: TensorBase, size: int, output_size: int | None) -> Any:
    """0 to ``size`` - 1, each as often as ``repeats`` says. Their sum is read from the device."""
    xp = repeats.backend.xp
    ends = xp.cumsum(xp.broadcast_to(repeats.array.astype(np.int64), (size,)))
    total = int(ends[-1]) if size else 0
    _check_output(output_size, total)
    return xp.asarray(xp.searchsorted(ends, xp.arange(total), "right")).astype(np.int64)


def _check_output(output_size: int | None, total: int) -> None:
    if output_size is not None and output_size != total:
        raise error(
            RuntimeError,
            "repeat_interleave: allocated size does not match required size, "
            f"got output_size={output_size}, expected {total}",
        )


def _listed(op: str, tensors: tuple[Any, ...]) -> list[Tensor]:
    """The tensors of ``op(a, b)`` or ``op([a, b])``."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    for x in tensors:
        check_tensor(op, "tensors", x)
    return list(tensors)


def _each(op: str, tensors: tuple[Any, ...], dims: int) -> Any:
    """One tensor, or a tuple of them, with ``dims`` dims at least."""
    if len(tensors) == 1 and isinstance(tensors[0], TensorBase):
        return _at_least(tensors[0], dims)
    return tuple([_at_least(x, dims) for x in _listed(op, tensors)])


def _at_least(x: Any, dims: int) -> Tensor:
    if x.array.ndim >= dims:
        return x  # type: ignore[no-any-return]
    if not x.array.ndim:
        return reshape(x, (1,) * dims)
    if x.array.ndim == 1:
        x = unsqueeze(x, 0)
    return x if dims == 2 else unsqueeze(x, -1)


def atleast_1d(*tensors: Any) -> Any:
    """Tensors, 0-dim ones with a dim. Semantics: torch.atleast_1d."""
    return _each("atleast_1d", tensors, 1)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors, those of fewer dims as matrices of one row. Semantics: torch.atleast_2d."""
    return _each("atleast_2d", tensors, 2)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with three dims at least: (1, n, 1), (n, m, 1). Semantics: torch.atleast_3d."""
    return _each("atleast_3d", tensors, 3)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side: along dim 1, vectors along 0. Semantics: torch.hstack."""
    parts = [_at_least(x, 1) for x in _some("hstack", tensors)]
    return cat(parts, 0 if parts[0].array.ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors under each other, vectors as rows. Semantics: torch.vstack."""
    return cat([_at_least(x, 2) for x in _some("vstack", tensors)], 0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors behind each other, along dim 2. Semantics: torch.dstack."""
    return cat([_at_least(x, 3) for x in _some("dstack", tensors)], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side, vectors as columns. Semantics: torch.column_stack."""
    parts = _some("column_stack", tensors)
    return cat([x if x.array.ndim > 1 else reshape(x, (x.array.size, 1)) for x in parts], 1)


def _some(op: str, tensors: Any) -> list[Tensor]:
    if not isinstance(tensors, (tuple, list)):
        raise error(
            TypeError, f"{op}: tensors must be tuple of Tensors, got {type(tensors).__name__}"
        )
    if not tensors:
        raise error(RuntimeError, f"{op}: expects a non-empty TensorList")
    return _listed(op, (tensors,))


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of one shape. Semantics: torch.broadcast_tensors."""
    given = _listed("broadcast_tensors", tensors)
    shape = broadcast_shape("broadcast_tensors", *[x.array.shape for x in given])
    return tuple([expand(x, shape) for x in given])


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """The coordinates of a grid: each vector along a dim of its own, as views of one shape.

    ``indexing`` 'ij' (the default) gives the first vector dim 0, 'xy' dim 1.

    Semantics: torch.meshgrid (which warns where ``indexing`` is left out).
    """
    given = _listed("meshgrid", tensors)
    if indexing not in (None, "ij", "xy"):
        raise error(
            RuntimeError, f"meshgrid: indexing must be one of 'xy' or 'ij', got {indexing!r}"
        )
    if not given or any(x.array.ndim > 1 for x in given):
        raise error(
            RuntimeError,
            "meshgrid: expected scalars or 1D tensors, at least one, "
            f"got {[tuple(x.array.shape) for x in given]}",
        )
    if any(x.array.dtype != given[0].array.dtype for x in given):
        raise error(
            RuntimeError,
            "meshgrid: expects all tensors to have the same dtype, "
            f"got {', '.join(str(x.dtype) for x in given)}",
        )
    swapped = indexing == "xy" and len(given) > 1
    if swapped:
        given[:2] = given[1], given[0]
    shape = tuple(x.array.size for x in given)
    grids = [
        expand(reshape(x, tuple([n if d == i else 1 for d in range(len(shape))])), shape)
        for i, (x, n) in enumerate(zip(given, shape, strict=True))
    ]
    if swapped:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of vectors' elements, one a row. Semantics: torch.cartesian_prod."""
    given = _listed("cartesian_prod", tensors)
    if any(x.array.ndim != 1 for x in given):
        raise error(
            RuntimeError,
            f"cartesian_prod: expected 1D vectors, got {[tuple(x.array.shape) for x in given]}",
        )
    if len(given) == 1:
        return given[0]
    return stack([flatten(x) for x in meshgrid(*given, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of ``r`` elements in order, one a row. Semantics: torch.combinations."""
    check_tensor("combinations", "input", input)
    if input.array.ndim != 1 or as_int("combinations", "r", r) < 0:
        raise error(
            RuntimeError,
            "combinations: expects a 1D vector and a non-negative number, "
            f"got shape={tuple(input.array.shape)}, r={r}",
        )
    if r == 0:
        return wrap(input.backend.xp.empty(0, input.array.dtype), input.backend)
    choose = combinations_with_replacement if with_replacement else _combinations
    rows = np.array([*choose(range(input.array.size), r)], np.int64).reshape(-1, r)
    return input[wrap(input.backend.asarray(rows), input.backend)]


def fliplr(input: Tensor) -> Tensor:
    """Columns in reverse order. Semantics: torch.fliplr."""
    check_tensor("fliplr", "input", input)
    if input.array.ndim < 2:
        raise error(RuntimeError, f"fliplr: input must be >= 2-d, got {input.array.ndim}")
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """Rows in reverse order. Semantics: torch.flipud."""
    check_tensor("flipud", "input", input)
    if input.array.ndim < 1:
        raise error(RuntimeError, f"flipud: input must be >= 1-d, got {input.array.ndim}")
    return flip(input, (0,))


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned ``k`` times by 90 degrees, from the first of two dims to the second.

    Semantics: torch.rot90.
    """
    check_tensor("rot90", "input", input)
    pair = as_ints("rot90", "dims", dims)
    if len(pair) != 2:
        raise error(RuntimeError, f"rot90: expected total rotation dims == 2, got dims={dims}")
    if input.array.ndim < 2:
        raise error(RuntimeError, f"rot90: expected total dims >= 2, got {input.array.ndim}")
    a, b = wrap_dims("rot90", pair, input.array.ndim)
    turns = as_int("rot90", "k", k) % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip(input, (a, b))
    return transpose(flip(input, (b if turns == 1 else a,)), a, b)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of nearly equal pieces, or of the pieces between indices.

    Semantics: torch.tensor_split.
    """
    check_tensor("tensor_split", "input", input)
    if not input.array.ndim:
        raise error(RuntimeError, "tensor_split: expected at least a one-dimensional tensor")
    axis = wrap_dim("tensor_split", dim, input.array.ndim)
    total = input.array.shape[axis]
    if isinstance(indices_or_sections, TensorBase):
        indices_or_sections = indices_or_sections.tolist()  # type: ignore[attr-defined]
    if isinstance(indices_or_sections, (tuple, list)):
        ends = [*as_ints("tensor_split", "indices", indices_or_sections), total]
    else:
        count = as_int("tensor_split", "sections", indices_or_sections)
        if count <= 0:
            raise error(
                RuntimeError,
                f"tensor_split: number of sections must be larger than 0, got {count}",
            )
        ends = [(total // count) * (i + 1) + min(i + 1, total % count) for i in range(count)]
    key = (slice(None),) * axis
    starts = [0, *ends[:-1]]
    return tuple([getitem(input, (*key, slice(i, j))) for i, j in zip(starts, ends, strict=True)])


def _cut(op: str, input: Tensor, pieces: Any, least: int, dim: int) -> tuple[Tensor, ...]:
    check_tensor(op, "input", input)
    if input.array.ndim < least:
        raise error(
            RuntimeError,
            f"{op}: requires a tensor with at least {least} dimension, got {input.array.ndim}",
        )
    if not isinstance(pieces, (tuple, list)):
        count, size = as_int(op, "sections", pieces), input.array.shape[dim]
        if count <= 0 or size % count:
            raise error(
                RuntimeError,
                f"{op}: attempted to split along dimension {dim}, but the size of the dimension "
                f"{size} is not divisible by the split_size {count}",
            )
    return tensor_split(input, pieces, dim)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Pieces along dim 1 (of a vector along 0). Semantics: torch.hsplit."""
    check_tensor("hsplit", "input", input)
    return _cut("hsplit", input, indices_or_sections, 1, 0 if input.array.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Pieces along dim 0. Semantics: torch.vsplit."""
    return _cut("vsplit", input, indices_or_sections, 2, 0)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Pieces along dim 2. Semantics: torch.dsplit."""
    return _cut("dsplit", input, indices_or_sections, 3, 2)
