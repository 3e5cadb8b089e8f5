"""Triangles and diagonals of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.ops.common import as_int, check_tensor, result_type, to_dtype, wrap_dim
from lucidlite.ops.indexing import index_put_add
from lucidlite.ops.precision import precision
from lucidlite.ops.shape import reshape
from lucidlite.tape import as_view, record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Shape = tuple[int, ...]


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangles: 0 above ``diagonal`` (0 is the main one). Semantics: torch.tril."""
    return _triangle("tril", input, diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangles: 0 below ``diagonal`` (0 is the main one). Semantics: torch.triu."""
    return _triangle("triu", input, diagonal)


def _triangle(op: str, input: Tensor, diagonal: int) -> Tensor:
    check_tensor(op, "input", input)
    diagonal = as_int(op, "diagonal", diagonal)
    if input.array.ndim < 2:
        raise error(
            RuntimeError,
            f"{op}: input tensor must have at least 2 dimensions, got {input.array.ndim}",
        )
    out = input.backend.call(op, input.array, diagonal)
    return record(out, tril_vjp, (input,), (op, diagonal), name=op)


def tril_vjp(node: Node, grad: Tensor, op: str, diagonal: int) -> Tensor:
    return _triangle(op, grad, diagonal)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal along two dims as the last dim, a view. Semantics: torch.diagonal."""
    check_tensor("diagonal", "input", input)
    offset = as_int("diagonal", "offset", offset)
    shape = input.array.shape
    a, b = (wrap_dim("diagonal", dim, len(shape)) for dim in (dim1, dim2))
    if a == b:
        raise error(
            RuntimeError,
            f"diagonal: dimensions cannot be identical, got dim1={dim1}, dim2={dim2}",
        )
    array = _seen(input, offset, a, b)
    args = (offset, a, b)
    out = record(array, diagonal_vjp, (input,), (shape, *args))
    return as_view(out, input, diagonal, args)


def _seen(input: Tensor, offset: int, dim1: int, dim2: int) -> Any:
    """The memory of a diagonal: what the array library gives is read-only, or a copy."""
    xp = input.backend.xp
    array = xp.moveaxis(input.array, (dim1, dim2), (-2, -1))
    array = array[..., max(-offset, 0) :, max(offset, 0) :]
    *rest, down, right = array.strides
    shape = (*array.shape[:-2], min(array.shape[-2:]))
    return xp.lib.stride_tricks.as_strided(array, shape, (*rest, down + right))


def diagonal_vjp(
    node: Node, grad: Tensor, shape: Shape, offset: int, dim1: int, dim2: int
) -> Tensor:
    full = diag_embed(grad, offset, dim1, dim2)
    if full.array.shape == shape:
        return full
    key = tuple(slice(min(n, m)) for n, m in zip(full.array.shape, shape, strict=True))
    return index_put_add(full[key], key, (), shape)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices along two new dims with the last dim as their diagonal, 0 elsewhere.

    Semantics: torch.diag_embed.
    """
    check_tensor("diag_embed", "input", input)
    offset = as_int("diag_embed", "offset", offset)
    shape = input.array.shape
    a, b = (wrap_dim("diag_embed", dim, len(shape) + 1) for dim in (dim1, dim2))
    if a == b:
        raise error(
            RuntimeError,
            f"diag_embed: dimensions cannot be identical, got dim1={dim1}, dim2={dim2}",
        )
    if not shape:
        raise error(IndexError, "diag_embed: dimension out of range, got a 0-dim tensor")
    n, xp = shape[-1], input.backend.xp
    size = n + abs(offset)
    places = xp.arange(n)
    out = xp.zeros((*shape[:-1], size, size), input.array.dtype)
    out[..., places + max(-offset, 0), places + max(offset, 0)] = input.array
    return record(xp.moveaxis(out, (-2, -1), (a, b)), diag_embed_vjp, (input,), (offset, a, b))


def diag_embed_vjp(node: Node, grad: Tensor, offset: int, dim1: int, dim2: int) -> Tensor:
    return diagonal(grad, offset, dim1, dim2)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix. Semantics: torch.diag."""
    check_tensor("diag", "input", input)
    offset = as_int("diag", "diagonal", diagonal)
    if input.array.ndim == 1:
        return diag_embed(input, offset)
    if input.array.ndim == 2:
        return _copy_of_diagonal(input, offset)
    raise error(RuntimeError, f"diag: expects a 1D or 2D tensor, got {input.array.ndim}D")


def _copy_of_diagonal(input: Tensor, offset: int) -> Tensor:
    seen = diagonal(input.detach(), offset).array
    args = (input.array.shape, offset, 0, 1)
    return record(seen.copy(), diagonal_vjp, (input,), args, name="diagonal_copy")


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The elements as the diagonal of a matrix. Semantics: torch.diagflat."""
    check_tensor("diagflat", "input", input)
    return diag_embed(reshape(input, (-1,)), offset)


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal. Semantics: torch.trace."""
    if precision.active:
        (input,) = precision.cast("trace", input)
    check_tensor("trace", "input", input)
    if input.array.ndim != 2:
        raise error(RuntimeError, f"trace: expected a matrix, got a tensor with dim {input.ndim}")
    total = diagonal(input.detach()).sum()
    return record(total.array, trace_vjp, (input,), (input.array.shape,))


def trace_vjp(node: Node, grad: Tensor, shape: Shape) -> Tensor:
    return diagonal_vjp(node, grad.expand((min(shape),)), shape, 0, 0, 1)


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal of a matrix, 0 elsewhere. Semantics: torch.block_diag."""
    for x in tensors:
        check_tensor("block_diag", "tensors", x)
        if x.array.ndim > 2:
            raise error(
                RuntimeError,
                f"block_diag: input tensors must have 2 or fewer dimensions, got {x.array.ndim}",
            )
    kind = result_type(*tensors).numpy
    blocks = [to_dtype(x, kind) for x in tensors]
    blocks = [reshape(x, (1, -1)) if x.array.ndim < 2 else x for x in blocks]
    shape = tuple(sum([x.array.shape[d] for x in blocks]) for d in (0, 1))
    out = blocks[0].backend.xp.zeros(shape, kind)
    keys, down, right = [], 0, 0
    for x in blocks:
        n, m = x.array.shape
        keys.append((slice(down, down + n), slice(right, right + m)))
        out[keys[-1]] = x.array
        down, right = down + n, right + m
    return record(out, block_diag_vjp, blocks, (tuple(keys),))


def block_diag_vjp(node: Node, grad: Tensor, keys: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return tuple([grad[key] for key in keys])
