"""Views made by their strides: windows along a dim, any sizes and strides over one memory."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.ops.common import as_int, as_ints, check_tensor, wrap_dim
from lucidlite.ops.index_key import template_of
from lucidlite.ops.indexing import index_put_add
from lucidlite.ops.shape import movedim, reshape
from lucidlite.tape import as_view, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Shape = tuple[int, ...]


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of ``size`` along a dim, ``step`` apart, as a last dim: a view.

    Semantics: torch.Tensor.unfold.
    """
    check_tensor("unfold", "input", input)
    array, shape = input.array, input.array.shape
    dim = wrap_dim("unfold", dimension, len(shape))
    total = shape[dim] if shape else 1
    if not 0 <= size <= total or step <= 0:
        raise error(
            RuntimeError,
            f"unfold: size must be within 0 and {total} (the dim's), step > 0, "
            f"got size={size}, step={step}",
        )
    array = array if shape else array.reshape(1)
    count, strides = (total - size) // step + 1, list(array.strides)
    inner = strides[dim]
    strides[dim] *= step
    seen = array.shape
    out = input.backend.xp.lib.stride_tricks.as_strided(
        array, (*seen[:dim], count, *seen[dim + 1 :], size), (*strides, inner)
    )
    out = out if shape else out[0]
    args = (shape, dim, size, step)
    return as_view(record(out, unfold_vjp, (input,), args), input, unfold, args[1:])


def unfold_vjp(
    node: Node, grad: Tensor, shape: tuple[int, ...], dim: int, size: int, step: int
) -> Tensor:
    if not shape:
        return reshape(grad, ())
    xp, count = grad.backend.xp, (shape[dim] - size) // step + 1
    places = xp.arange(count).reshape(-1, 1) * step + xp.arange(size)
    key = (*(slice(None),) * dim, wrap(places, grad.backend))
    windows = movedim(grad, -1, dim + 1)
    return index_put_add(windows, template_of(key), (key[-1],), shape)


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """The memory seen with these sizes and strides (in elements), of a tensor in row-major order.

    Elements may be seen more than once. A view is seen from its own first element, and takes no
    ``storage_offset``, which would count from its base's. Semantics: torch.as_strided.
    """
    check_tensor("as_strided", "input", input)
    sizes, steps = as_ints("as_strided", "size", size), as_ints("as_strided", "stride", stride)
    start = 0 if storage_offset is None else as_int("as_strided", "storage_offset", storage_offset)
    if len(sizes) != len(steps) or min((0, *sizes, *steps, start)) < 0:
        raise error(
            RuntimeError,
            "as_strided: mismatch in length of strides and shape, or negative numbers, "
            f"got size={sizes}, stride={steps}, storage_offset={start}",
        )
    if storage_offset is not None and input._view is not None:
        raise error(
            RuntimeError,
            "as_strided: storage_offset counts from the beginning of the memory, take as_strided "
            f"of the tensor that this is a view of, got storage_offset={storage_offset}",
        )
    if not input.array.flags.c_contiguous:
        raise error(
            RuntimeError,
            "as_strided: only of tensors in row-major order, use contiguous() first, "
            f"got shape={tuple(input.array.shape)}, stride={input.stride()}",
        )
    last = start + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    if 0 not in sizes and last >= input.array.size:
        raise error(
            RuntimeError,
            f"as_strided: size {sizes} and stride {steps} are out of bounds for memory of "
            f"{input.array.size} elements, got storage_offset={start}",
        )
    flat = input.array.reshape(-1)[start:]
    strides = tuple(step * flat.itemsize for step in steps)
    out = input.backend.xp.lib.stride_tricks.as_strided(flat, sizes, strides)
    result = record(out, as_strided_vjp, (input,), (input.array.shape, sizes, steps, start))
    return as_view(result, input, as_strided, (sizes, steps, storage_offset))


def as_strided_vjp(
    node: Node, grad: Tensor, shape: Shape, sizes: Shape, steps: Shape, start: int
) -> Tensor:
    xp = grad.backend.xp
    places: Any = xp.full(sizes, start)
    for d, (n, step) in enumerate(zip(sizes, steps, strict=True)):
        ones = [n if e == d else 1 for e in range(len(sizes))]
        places = places + (xp.arange(n) * step).reshape(ones)
    key = wrap(places.reshape(-1), grad.backend)
    added = index_put_add(reshape(grad, (-1,)), template_of((key,)), (key,), (prod(shape),))
    return reshape(added, shape)
