"""Elements named one by one: gather and scatter_add along a dim, masks, one-hot vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.common import broadcast_shape, check_device, check_tensor, wrap_dim
from lucidlite.ops.indexing import index_put_add, taken
from lucidlite.ops.shape import expand, reshape
from lucidlite.tape import record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def _span(index: TensorBase) -> tuple[int, int]:
    """The smallest and the largest index, (0, -1) for none."""
    if not index.array.size:
        return 0, -1
    return int(index.array.min()), int(index.array.max())


def _along(op: str, input: Tensor, dim: int, index: Any) -> Any:
    """``index`` along ``dim`` as a full array index: every other dim runs over its range.

    None where there is nothing in it.
    """
    check_tensor(op, "index", index)
    check_device(op, input, index)
    if index.array.dtype != np.int64 and index.array.dtype != np.int32:
        raise error(
            RuntimeError, f"{op}: expected dtype int32/int64 for index, got dtype={index.dtype}"
        )
    shape, wanted = input.array.shape or (1,), index.array.shape or (1,)
    if not index.array.size:
        return None
    if len(wanted) != len(shape):
        raise error(
            RuntimeError,
            f"{op}: index tensor must have the same number of dimensions as input tensor, "
            f"got {index.array.ndim} and {input.array.ndim}",
        )
    for d, n in enumerate(wanted):
        if d != dim and n > shape[d]:
            raise error(
                RuntimeError,
                f"{op}: size does not match at dimension {d}, expected index {wanted} to be no "
                f"larger than self {tuple(shape)} apart from dimension {dim}",
            )
    low, high = _span(index)
    if low < 0 or high >= shape[dim]:
        raise error(
            RuntimeError,
            f"{op}: index {low if low < 0 else high} is out of bounds for dimension {dim} with "
            f"size {shape[dim]}",
        )
    return _grid(index.backend.xp, index.array, dim)


def _grid(xp: Any, index: Any, dim: int) -> Any:
    shape = index.shape or (1,)
    grid: list[Any] = []
    for d, n in enumerate(shape):
        ones = [1] * len(shape)
        ones[d] = n
        grid.append(xp.arange(n).reshape(ones))
    grid[dim] = index.reshape(shape)
    return tuple(grid)


def _row(array: Any) -> Any:
    """A 0-dim array as one element: gather and scatter treat them alike."""
    return array if array.ndim else array.reshape(1)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on. Semantics: torch.gather."""
    if sparse_grad:
        raise error(
            RuntimeError, "gather: sparse gradients are not supported, got sparse_grad=True"
        )
    check_tensor("gather", "input", input)
    dim = wrap_dim("gather", dim, input.array.ndim)
    key, shape = _along("gather", input, dim, index), index.array.shape
    if key is None:
        out = input.backend.xp.empty(shape, input.array.dtype)
    else:
        out = _row(input.array)[key].reshape(shape)
    args = (dim, input.array.shape)
    return record(out, gather_vjp, (input, None), args, save=(index,))


def gather_vjp(node: Node, grad: Tensor, dim: int, shape: tuple[int, ...]) -> Gradients:
    (index,) = node.saved_tensors
    zero = wrap(grad.backend.xp.zeros(shape, grad.array.dtype), grad.backend)
    return scatter_add(zero, dim, index, grad), None


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src`` added at the places ``index`` names. Semantics: torch.scatter_add."""
    check_tensor("scatter_add", "input", input)
    check_tensor("scatter_add", "src", src)
    dim = wrap_dim("scatter_add", dim, input.array.ndim)
    key = _along("scatter_add", input, dim, index)
    if src.array.dtype != input.array.dtype:
        raise error(
            RuntimeError,
            "scatter_add: expected self.dtype to be equal to src.dtype, "
            f"got {input.dtype} and {src.dtype}",
        )
    if key is None:
        return input.clone()
    sizes, whole = index.array.shape or (1,), _row(src.array)
    if len(sizes) != whole.ndim or any(n > m for n, m in zip(sizes, whole.shape, strict=True)):
        raise error(
            RuntimeError,
            f"scatter_add: expected index {sizes} to be no larger than src "
            f"{tuple(whole.shape)} in any dimension",
        )
    out = input.backend.index_add_to(_row(input.array), key, whole[tuple(map(slice, sizes))])
    args = (dim, src.array.shape)
    inputs = (input, None, src)
    return record(out.reshape(input.array.shape), scatter_add_vjp, inputs, args, save=(index,))


def scatter_add_vjp(node: Node, grad: Tensor, dim: int, shape: tuple[int, ...]) -> Gradients:
    (index,) = node.saved_tensors
    if not node.needs_input_grad[2]:
        return grad, None, None
    taken = gather(grad, dim, index)
    if taken.array.shape != shape:
        part = tuple(slice(n) for n in index.array.shape)
        taken = index_put_add(taken, part, (), shape) if shape else taken.reshape(())
    return grad, None, taken


def pick(
    input: Tensor, dim: int, indices: Tensor, keepdim: bool, name: str
) -> tuple[Tensor, Tensor]:
    """The values at ``indices`` along ``dim``, and the indices, without the dim unless ``keepdim``.

    What max, sort and topk find; ``indices`` has the input's rank.
    """
    out = _row(input.array)[_grid(indices.backend.xp, indices.array, dim)]
    shape = indices.array.shape
    if not keepdim and shape:
        shape = (*shape[:dim], *shape[dim + 1 :])
    args = (dim, input.array.shape)
    values = record(out.reshape(shape), pick_vjp, (input,), args, save=(indices,), name=name)
    return values, wrap(indices.array.reshape(shape), indices.backend)


def pick_vjp(node: Node, grad: Tensor, dim: int, shape: tuple[int, ...]) -> Tensor:
    (indices,) = node.saved_tensors
    zero = wrap(grad.backend.xp.zeros(shape, grad.array.dtype), grad.backend)
    return scatter_add(zero, dim, indices, reshape(grad, indices.array.shape))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Elements at ``indices`` along ``dim``; other dims broadcast.

    Semantics: torch.take_along_dim.
    """
    check_tensor("take_along_dim", "input", input)
    check_tensor("take_along_dim", "indices", indices)
    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    if indices.array.dtype != np.int64:
        raise error(
            RuntimeError, f"take_along_dim: dtype of indices should be Long, got {indices.dtype}"
        )
    a, b = input.array.shape, indices.array.shape
    if len(a) != len(b):
        raise error(
            RuntimeError,
            "take_along_dim: input and indices should have the same number of dimensions, "
            f"got {len(a)} and {len(b)}",
        )
    if not a:
        raise error(IndexError, "take_along_dim: dimension specified but tensor has no dimensions")
    dim = wrap_dim("take_along_dim", dim, len(a))
    wide, deep = list(a), list(b)
    wide[dim] = deep[dim] = 1
    full = list(broadcast_shape("take_along_dim", tuple(wide), tuple(deep)))
    wide, deep = list(full), list(full)
    wide[dim], deep[dim] = a[dim], b[dim]
    # PyTorch wraps whatever index is given: -1 is the last, and the size the first again.
    wrapped = wrap(indices.array % a[dim], indices.backend) if a[dim] else indices
    return gather(expand(input, wide), dim, expand(wrapped, deep))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` is True, as a vector. Semantics: torch.masked_select."""
    check_tensor("masked_select", "input", input)
    check_tensor("masked_select", "mask", mask)
    check_device("masked_select", input, mask)
    if mask.array.dtype.kind != "b":
        raise error(
            RuntimeError, f"masked_select: expected BoolTensor for mask, got dtype={mask.dtype}"
        )
    shape = broadcast_shape("masked_select", input.array.shape, mask.array.shape)
    return taken(expand(input, shape), (expand(mask, shape),), "masked_select")


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """int64 vectors with a 1 at each class and 0 elsewhere, along a new last dim.

    Semantics: torch.nn.functional.one_hot.
    """
    check_tensor("one_hot", "input", input)
    if input.array.dtype != np.int64:
        raise error(
            RuntimeError,
            f"one_hot: is only applicable to index tensor of type int64, got {input.dtype}",
        )
    low, high = _span(input)
    if num_classes <= 0 and not input.array.size:
        raise error(
            RuntimeError, "one_hot: can not infer total number of classes from empty tensor"
        )
    num_classes = high + 1 if num_classes == -1 else num_classes
    if low < 0 or high >= num_classes:
        raise error(
            RuntimeError,
            f"one_hot: class values must be in [0, num_classes), got values {low} to {high}, "
            f"num_classes={num_classes}",
        )
    classes = input.backend.xp.arange(num_classes)
    return wrap((input.array[..., None] == classes).astype(np.int64), input.backend)
