"""Elements named one by one: gather and scatter_add along a dim, masks, one-hot vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.common import broadcast_shape, check_device, check_tensor, wrap_dim
from lucidlite.ops.indexing import index_put_add, taken
from lucidlite.ops.precision import precision
from lucidlite.ops.shape import expand, reshape
from lucidlite.tape import record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def along(op: str, input: Tensor, dim: int, index: Any) -> Any:
    """The array of ``index``, checked, for elements along ``dim``; None if there is nothing in it.

    It has a dim at least, as what it is used with must have.
    """
    check_tensor(op, "index", index)
    check_device(op, input, index)
    kind = index.array.dtype
    if index.array.size and kind != np.int64 and kind != np.int32:
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
    size = shape[dim]
    rule = f"{op}: index {{}} is out of bounds for dimension {dim} with size {size}"
    index.backend.check_index(index.array, 0, size, RuntimeError, rule)
    return as_row(index.array)


def as_row(array: Any) -> Any:
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
    places, shape = along("gather", input, dim, index), index.array.shape
    if places is None:
        out = input.backend.xp.empty(shape, input.array.dtype)
    else:
        out = input.backend.gather(as_row(input.array), dim, places).reshape(shape)
    args = (dim, input.array.shape)
    return record(out, gather_vjp, (input, None), args, save=(index,))


def gather_vjp(node: Node, grad: Tensor, dim: int, shape: tuple[int, ...]) -> Gradients:
    (index,) = node.saved_tensors
    zero = wrap(grad.backend.xp.zeros(shape, grad.array.dtype), grad.backend)
    return scatter_add(zero, dim, index, grad), None


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src`` added at the places ``index`` names. Semantics: torch.scatter_add."""
    if precision.active:
        input, src = precision.cast("scatter_add", input, src)
    check_tensor("scatter_add", "input", input)
    check_tensor("scatter_add", "src", src)
    dim = wrap_dim("scatter_add", dim, input.array.ndim)
    places = along("scatter_add", input, dim, index)
    if src.array.dtype != input.array.dtype:
        raise error(
            RuntimeError,
            "scatter_add: expected self.dtype to be equal to src.dtype, "
            f"got {input.dtype} and {src.dtype}",
        )
    if places is None:
        return input.clone()
    sizes, whole = index.array.shape or (1,), as_row(src.array)
    if len(sizes) != whole.ndim or any(n > m for n, m in zip(sizes, whole.shape, strict=True)):
        raise error(
            RuntimeError,
            f"scatter_add: expected index {sizes} to be no larger than src "
            f"{tuple(whole.shape)} in any dimension",
        )
    part = whole[tuple(map(slice, sizes))]
    out = input.backend.scatter_add(as_row(input.array), dim, places, part)
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
    out = input.backend.gather(as_row(input.array), dim, as_row(indices.array))
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
    if num_classes <= 0 and not input.array.size:
        raise error(
            RuntimeError, "one_hot: can not infer total number of classes from empty tensor"
        )
    if num_classes == -1:  # a look at the values: the shape of the result hangs on them
        num_classes = int(input.array.max()) + 1
    rule = (
        "one_hot: class values must be in [0, num_classes), got value {}, "
        f"num_classes={num_classes}"
    )
    input.backend.check_index(input.array, 0, num_classes, RuntimeError, rule)
    classes = input.backend.xp.arange(max(num_classes, 0))
    return wrap((input.array[..., None] == classes).astype(np.int64), input.backend)
