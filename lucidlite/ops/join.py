"""Tensors joined and taken apart: cat and stack, split and unbind, repeats, flips and rolls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.ops.common import (
    as_int,
    as_sizes,
    check_device,
    check_tensor,
    result_type,
    to_dtype,
    wrap_dim,
    wrap_dims,
)
from lucidlite.ops.shape import reshape
from lucidlite.tape import as_view, record, record_many, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Shape = tuple[int, ...]


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Copies laid side by side, ``repeats`` times along each dim. Semantics: torch.Tensor.repeat."""
    check_tensor("repeat", "input", input)
    times = as_sizes("repeat", repeats)
    if len(times) < input.array.ndim:
        raise error(
            RuntimeError,
            "repeat: number of dimensions of repeat dims can not be smaller than number of "
            f"dimensions of tensor, got repeats={times}, shape={tuple(input.array.shape)}",
        )
    if any(n < 0 for n in times):
        raise error(RuntimeError, f"repeat: repeats must not be negative, got repeats={times}")
    out = input.backend.xp.tile(input.array, times)
    return record(out, repeat_vjp, (input,), (input.array.shape, times))


def repeat_vjp(node: Node, grad: Tensor, shape: Shape, times: Shape) -> Tensor:
    full = (1,) * (len(times) - len(shape)) + tuple(shape)
    split = tuple(n for pair in zip(times, full, strict=True) for n in pair)
    summed = reshape(grad, split).sum(tuple(range(0, 2 * len(times), 2))) if times else grad
    return reshape(summed, shape)


def tile(input: Tensor, *dims: Any) -> Tensor:
    """``repeat`` with missing leading repeats taken as 1. Semantics: torch.tile."""
    times = as_sizes("tile", dims)
    return repeat(input, (1,) * (input.array.ndim - len(times)) + times)


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The order reversed along ``dims`` (a copy). Semantics: torch.flip."""
    check_tensor("flip", "input", input)
    axes = as_sizes("flip", dims)
    axes = wrap_dims("flip", axes, input.array.ndim) if axes else ()
    out = input.backend.copy(input.backend.xp.flip(input.array, axes))
    return record(out, flip_vjp, (input,), (axes,))


def flip_vjp(node: Node, grad: Tensor, dims: Shape) -> Tensor:
    return flip(grad, dims)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved along ``dims``, those pushed out coming back in. Semantics: torch.roll."""
    check_tensor("roll", "input", input)
    if dims is not None:
        dims = wrap_dims("roll", dims, input.array.ndim)
        shifts = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
        if len(shifts) != len(dims):
            raise error(
                RuntimeError,
                f"roll: shifts and dimensions must align, got shifts={shifts}, dims={dims}",
            )
    out = input.backend.xp.roll(input.array, shifts, dims)
    back = tuple(-s for s in shifts) if isinstance(shifts, tuple) else -shifts
    return record(out, roll_vjp, (input,), (back, dims))


def roll_vjp(node: Node, grad: Tensor, shifts: Any, dims: Any) -> Tensor:
    return roll(grad, shifts, dims)


def _joined(op: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    if isinstance(tensors, TensorBase) or not isinstance(tensors, (tuple, list)):
        raise error(
            TypeError, f"{op}: tensors must be tuple of Tensors, got {type(tensors).__name__}"
        )
    if not tensors:
        raise error(RuntimeError, f"{op}: expected a non-empty list of Tensors")
    for x in tensors:
        check_tensor(op, "tensors", x)
    check_device(op, *tensors)
    kind = result_type(*tensors).numpy
    return [to_dtype(x, kind) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dim. Semantics: torch.cat."""
    parts = _joined("cat", tensors)
    real = [x for x in parts if x.array.shape != (0,)] or parts[:1]  # (0,) joins anything
    if any(not x.array.ndim for x in real):
        raise error(RuntimeError, "cat: zero-dimensional tensor cannot be concatenated")
    ndim = real[0].array.ndim
    dim = wrap_dim("cat", dim, ndim)
    for x in real:
        shapes = x.array.shape, real[0].array.shape
        if x.array.ndim != ndim or any(
            a != b for d, (a, b) in enumerate(zip(*shapes, strict=True)) if d != dim
        ):
            raise error(
                RuntimeError,
                f"cat: sizes of tensors must match except in dimension {dim}, "
                f"got shapes {tuple(shapes[1])} and {tuple(shapes[0])}",
            )
    backend = real[0].backend
    out = backend.join([x.array for x in real], dim)
    return record(out, cat_vjp, real, (tuple(x.array.shape[dim] for x in real), dim))


def cat_vjp(node: Node, grad: Tensor, sizes: Shape, dim: int) -> tuple[Tensor, ...]:
    return split(grad, sizes, dim)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dim. Semantics: torch.stack."""
    parts = _joined("stack", tensors)
    shape = parts[0].array.shape
    for x in parts:
        if x.array.shape != shape:
            raise error(
                RuntimeError,
                "stack: expects each tensor to be equal size, "
                f"got {list(shape)} and {list(x.array.shape)}",
            )
    dim = wrap_dim("stack", dim, len(shape) + 1)
    out = parts[0].backend.xp.stack([x.array for x in parts], dim)
    return record(out, stack_vjp, parts, (dim,))


def stack_vjp(node: Node, grad: Tensor, dim: int) -> tuple[Tensor, ...]:
    return unbind(grad, dim)


def split(input: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive pieces, of one size or of the sizes listed. Semantics: torch.split."""
    check_tensor("split", "input", input)
    dim = wrap_dim("split", dim, input.array.ndim)
    if not input.array.ndim:
        raise error(RuntimeError, "split: expects at least a 1-dimensional tensor")
    total = input.array.shape[dim]
    if isinstance(split_size, (tuple, list)):
        sizes = tuple(as_int("split", "split_size", n) for n in split_size)
        if sum(sizes) != total or any(n < 0 for n in sizes):
            raise error(
                RuntimeError,
                "split: expects split_sizes to sum exactly to the size of the dim, "
                f"got split_size={list(sizes)}, size={total}",
            )
    else:
        size = as_int("split", "split_size", split_size)
        if size < 0 or (size == 0 and total):
            raise error(RuntimeError, f"split: split_size must be positive, got {size}")
        count = max(1, -(-total // size)) if size else 1
        sizes = tuple(min(size, total - i * size) if size else 0 for i in range(count))
    arrays, start = [], 0
    for n in sizes:
        arrays.append(input.array[(slice(None),) * dim + (slice(start, start + n),)])
        start += n
    outs = record_many(arrays, split_vjp, (input,), (input.array.shape, sizes, dim))
    return _many_views(outs, input, split, (sizes, dim))


def split_vjp(
    node: Node, grads: tuple[Tensor | None, ...], shape: Shape, sizes: Shape, dim: int
) -> Tensor:
    some = next(g for g in grads if g is not None)
    parts = [
        zeros_like_shape(some, (*shape[:dim], n, *shape[dim + 1 :])) if g is None else g
        for g, n in zip(grads, sizes, strict=True)
    ]
    return cat(parts, dim)


def zeros_like_shape(like: Tensor, shape: Shape) -> Tensor:
    """Zeros of ``like``'s dtype and device."""
    return wrap(like.backend.xp.zeros(shape, like.array.dtype), like.backend)


def _many_views(
    outs: tuple[Tensor, ...], base: Tensor, op: Any, args: tuple[Any, ...]
) -> tuple[Tensor, ...]:
    refusal = "is the output of a function that returns multiple views"
    for i, out in enumerate(outs):
        as_view(out, base, _nth, (op, args, i), refusal)
    return outs


def _nth(input: Tensor, op: Any, args: tuple[Any, ...], i: int) -> Tensor:
    return op(input, *args)[i]  # type: ignore[no-any-return]


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` pieces of equal size (the last may be smaller). Semantics: torch.chunk."""
    check_tensor("chunk", "input", input)
    chunks = as_int("chunk", "chunks", chunks)
    if chunks <= 0:
        raise error(RuntimeError, f"chunk: expects chunks to be greater than 0, got {chunks}")
    dim = wrap_dim("chunk", dim, input.array.ndim)
    total = input.array.shape[dim] if input.array.ndim else 0
    if not total:
        return split(input, [0] * chunks, dim)
    return split(input, -(-total // chunks), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of each slice along ``dim``, as one node. Semantics: torch.unbind."""
    check_tensor("unbind", "input", input)
    if not input.array.ndim:
        raise error(RuntimeError, "unbind: dimension specified as 0 but tensor has no dimensions")
    dim = wrap_dim("unbind", dim, input.array.ndim)
    lead = (slice(None),) * dim
    arrays = [input.array[(*lead, i, ...)] for i in range(input.array.shape[dim])]
    outs = record_many(arrays, unbind_vjp, (input,), (dim,))
    return _many_views(outs, input, unbind, (dim,))


def unbind_vjp(node: Node, grads: tuple[Tensor | None, ...], dim: int) -> Tensor:
    some = next(g for g in grads if g is not None)
    zero = zeros_like_shape(some, some.array.shape)
    return stack([zero if g is None else g for g in grads], dim)
