"""Tensors joined and taken apart: cat and stack, split and unbind, repeats, flips and rolls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.hints import for_cat
from lucidlite.ops.common import (
    as_int,
    as_ints,
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
from lucidlite.training_hints import SAME_SIZE

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Shape = tuple[int, ...]


def repeat(input: Tensor, repeats: Sequence[int]) -> Tensor:
    """Copies side by side, ``repeats`` times along each dim. Semantics: torch.Tensor.repeat."""
    check_tensor("repeat", "input", input)
    times = as_ints("repeat", "repeats", repeats)
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


def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """``repeat`` with missing leading repeats taken as 1. Semantics: torch.tile."""
    check_tensor("tile", "input", input)
    times = as_ints("tile", "dims", dims)
    return repeat(input, (1,) * (input.array.ndim - len(times)) + times)


def flip(input: Tensor, dims: Sequence[int]) -> Tensor:
    """The order reversed along ``dims`` (a copy). Semantics: torch.flip."""
    check_tensor("flip", "input", input)
    axes = as_ints("flip", "dims", dims)
    axes = wrap_dims("flip", axes, input.array.ndim) if axes else ()
    out = input.backend.copy(input.backend.xp.flip(input.array, axes))
    return record(out, flip_vjp, (input,), (axes,))


def flip_vjp(node: Node, grad: Tensor, dims: Shape) -> Tensor:
    return flip(grad, dims)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved along ``dims``, those pushed out coming back in. Semantics: torch.roll."""
    check_tensor("roll", "input", input)
    steps = _ints("roll", "shifts", shifts)
    axes = _ints("roll", "dims", () if dims is None else dims)
    if not steps or len(steps) != (len(axes) or 1):
        raise error(
            RuntimeError,
            f"roll: shifts and dimensions must align, got shifts={shifts}, dims={dims}",
        )
    if axes and not input.array.ndim:
        raise error(IndexError, "roll: dimension specified but tensor has no dimensions")
    axes = tuple(wrap_dim("roll", d, input.array.ndim) for d in axes)
    out = input.backend.xp.roll(input.array, steps if axes else steps[0], axes or None)
    return record(out, roll_vjp, (input,), (steps, axes))


def _ints(op: str, name: str, value: Any) -> Shape:
    return as_ints(op, name, value if isinstance(value, (tuple, list)) else (value,))


def roll_vjp(node: Node, grad: Tensor, shifts: Any, dims: Any) -> Tensor:
    return roll(grad, tuple(-n for n in shifts), dims)


def _joined(op: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    if isinstance(tensors, TensorBase) or not isinstance(tensors, (tuple, list)):
        raise error(
            TypeError, f"{op}: tensors must be tuple of Tensors, got {type(tensors).__name__}"
        )
    if not tensors:
        wrong = ValueError if op == "cat" else RuntimeError
        raise error(wrong, f"{op}: expected a non-empty list of Tensors")
    for x in tensors:
        check_tensor(op, "tensors", x)
    check_device(op, *tensors)
    kind = result_type(*tensors).numpy
    return [to_dtype(x, kind) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dim; those of shape (0,) are passed over.

    Semantics: torch.cat.
    """
    parts = _joined("cat", tensors)
    if not all([x.array.ndim for x in parts]):
        raise error(RuntimeError, "cat: zero-dimensional tensor cannot be concatenated")
    real = [x.array for x in parts if x.array.shape != (0,)]
    if not real:
        return record(parts[0].array.copy(), cat_vjp, parts, ((0,) * len(parts), 0))
    first = real[0].shape
    dim = wrap_dim("cat", dim, len(first))
    for array in real:
        shape = array.shape
        if len(shape) != len(first) or (shape[:dim], shape[dim + 1 :]) != (
            first[:dim], first[dim + 1 :]
        ):  # fmt: skip
            raise error(
                RuntimeError,
                f"cat: sizes of tensors must match except in dimension {dim}, "
                f"got shapes {tuple(first)} and {tuple(shape)}",
                for_cat(first, shape, dim),
            )
    out = parts[0].backend.join(real, dim)
    sizes = tuple([None if x.array.shape == (0,) else x.array.shape[dim] for x in parts])
    return record(out, cat_vjp, parts, (sizes, dim))


def cat_vjp(
    node: Node, grad: Tensor, sizes: tuple[int | None, ...], dim: int
) -> tuple[Tensor, ...]:
    found = iter(split(grad, [n for n in sizes if n is not None], dim))
    return tuple([zeros_like_shape(grad, (0,)) if n is None else next(found) for n in sizes])


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
                SAME_SIZE,
            )
    dim = wrap_dim("stack", dim, len(shape) + 1)
    out = parts[0].backend.xp.stack([x.array for x in parts], dim)
    return record(out, stack_vjp, parts, (dim,))


def stack_vjp(node: Node, grad: Tensor, dim: int) -> tuple[Tensor, ...]:
    return unbind(grad, dim)


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive pieces, of one size or of the sizes listed. Semantics: torch.split."""
    check_tensor("split", "tensor", tensor)
    input, split_size = tensor, split_size_or_sections
    if not input.array.ndim:
        raise error(RuntimeError, "split: expects at least a 1-dimensional tensor")
    dim = wrap_dim("split", dim, input.array.ndim)
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
    name = "split_sizes" if isinstance(split_size, (tuple, list)) else ""
    args = (input.array.shape, sizes, dim)
    outs = record_many(arrays, split_vjp, (input,), args, name=name)
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
    if not input.array.ndim:
        raise error(RuntimeError, "chunk: expects at least a 1-dimensional tensor")
    dim = wrap_dim("chunk", dim, input.array.ndim)
    total = input.array.shape[dim]
    if not total:
        return split(input, [0] * chunks, dim)
    return split(input, -(-total // chunks), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of each slice along ``dim``, as one node. Semantics: torch.unbind."""
    check_tensor("unbind", "input", input)
    if not input.array.ndim:
        raise error(IndexError, "unbind: dimension specified as 0 but tensor has no dimensions")
    dim = wrap_dim("unbind", dim, input.array.ndim)
    keys = [(*(slice(None),) * dim, i, ...) for i in range(input.array.shape[dim])]
    arrays = [input.array[key] for key in keys]
    outs = record_many(arrays, unbind_vjp, (input,), (dim,))
    return _many_views(outs, input, unbind, (dim,))


def unbind_vjp(node: Node, grads: tuple[Tensor | None, ...], dim: int) -> Tensor:
    some = next(g for g in grads if g is not None)
    zero = zeros_like_shape(some, some.array.shape)
    return stack([zero if g is None else g for g in grads], dim)
