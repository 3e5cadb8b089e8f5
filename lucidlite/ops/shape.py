"""Shapes: views of the same memory where PyTorch makes views, copies where it copies."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.hints import for_view
from lucidlite.ops.common import (
    as_ints,
    check_tensor,
    wrap_dim,
    wrap_dims,
)
from lucidlite.tape import as_view, record, wrap
from lucidlite.view import replay

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Shape = tuple[int, ...]


def infer_size(op: str, shape: Shape, numel: int) -> Shape:
    """``shape`` with its -1 filled in; RuntimeError where it can't hold ``numel`` elements."""
    if shape.count(-1) > 1:
        raise error(RuntimeError, f"{op}: only one dimension can be inferred, got shape={shape}")
    if any(n < -1 for n in shape):
        raise error(RuntimeError, f"{op}: invalid shape dimension, got shape={shape}")
    if -1 in shape:
        known = prod([n for n in shape if n != -1])
        if known == 0:
            raise error(
                RuntimeError,
                f"{op}: cannot reshape tensor of {numel} elements into shape {list(shape)} because "
                "the unspecified dimension size -1 can be any value and is ambiguous",
            )
        if numel % known == 0:
            return tuple(numel // known if n == -1 else n for n in shape)
    elif prod(shape) == numel:
        return shape
    rule = f"shape '{list(shape)}' is invalid for input of size {numel}"
    raise error(RuntimeError, f"{op}: {rule}", for_view(shape, numel))


def view(input: Tensor, shape: Sequence[int]) -> Tensor:
    """The same memory in another shape (-1 is inferred); RuntimeError where strides forbid it.

    What a convolution or a pool returns has its own memory order and can always be viewed: where
    nobody else sees its memory it is first put into row-major order, else the result is a copy.

    >>> import lucidlite
    >>> lucidlite.arange(6).view(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])

    Semantics: torch.Tensor.view.
    """
    check_tensor("view", "input", input)
    sizes = infer_size("view", as_ints("view", "size", shape), input.array.size)
    out = _same_memory(input, sizes)
    if out is not None:
        result = record(out, view_vjp, (input,), (input.array.shape,))
        return as_view(result, input, view, (sizes,))
    if not _row_major_would_do(input, sizes):
        raise error(
            RuntimeError,
            "view: view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead, "
            f"got shape={sizes}, input={tuple(input.array.shape)}",
        )
    return _copied(input, sizes)


def _same_memory(input: Tensor, sizes: Shape) -> Any:
    """``input``'s memory in another shape, put into row-major order first where nobody else sees
    it; None where that takes a copy."""
    out = input.backend.try_view(input.array, sizes)
    if out is None and input._view is None and not input.version_cell().shared:
        input.array = input.backend.contiguous(input.array)
        out = input.array.reshape(sizes)
    return out


def _row_major_would_do(input: Tensor, sizes: Shape) -> bool:
    """Whether only our memory order is in the way: the user's own views, on a row-major base,
    would leave a tensor that can be seen in shape ``sizes``."""
    return input._view is None or input.backend.try_view(_ghost(input), sizes) is not None


def _ghost(input: Tensor) -> Any:
    """What ``input``'s array would be if its base were row-major; never to be read."""
    base = input if input._view is None else input._view.base
    ghost = base.backend.ghost(base.array)
    if input._view is None:
        return ghost
    with no_grad():
        return replay(wrap(ghost, base.backend), input._view.steps).array


def _copied(input: Tensor, sizes: Shape) -> Tensor:
    out = input.backend.copy(input.array).reshape(sizes)
    return record(out, view_vjp, (input,), (input.array.shape,), name="reshape_copy")


def view_vjp(node: Node, grad: Tensor, shape: Shape) -> Tensor:
    return reshape(grad, shape)


def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """Another shape: a view where strides allow it, else a copy. Semantics: torch.reshape."""
    check_tensor("reshape", "input", input)
    sizes = infer_size("reshape", as_ints("reshape", "shape", shape), input.array.size)
    out = _same_memory(input, sizes)
    if out is None:
        return _copied(input, sizes)
    name = ""
    if not input.array.flags.c_contiguous and input.requires_grad:
        name = "view" if _ghost(input).flags.c_contiguous else "reshape_alias"
    result = record(out, view_vjp, (input,), (input.array.shape,), name=name)
    return as_view(result, input, reshape, (sizes,))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dims ``start_dim`` to ``end_dim`` joined into one. Semantics: torch.flatten."""
    check_tensor("flatten", "input", input)
    shape = input.array.shape
    start = wrap_dim("flatten", start_dim, len(shape))
    end = wrap_dim("flatten", end_dim, len(shape))
    if start > end:
        raise error(
            RuntimeError,
            "flatten: start_dim cannot come after end_dim, "
            f"got start_dim={start_dim}, end_dim={end_dim}",
        )
    if start == end and shape:
        return input
    sizes = (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])
    return reshape(input, sizes)


def ravel(input: Tensor) -> Tensor:
    """All elements in one dim. Semantics: torch.ravel."""
    return reshape(input, (-1,))


def numel(input: Tensor) -> int:
    """The number of elements. Semantics: torch.numel."""
    check_tensor("numel", "input", input)
    return int(input.array.size)


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dim ``dim`` split into ``sizes`` (one may be -1). Semantics: torch.unflatten."""
    check_tensor("unflatten", "input", input)
    shape = input.array.shape
    inner = as_ints("unflatten", "sizes", sizes)
    if not shape or not inner:
        raise error(
            RuntimeError,
            "unflatten: needs a dimension and non-empty sizes, "
            f"got shape={tuple(shape)}, sizes={inner}",
        )
    dim = wrap_dim("unflatten", dim, len(shape))
    inner = infer_size("unflatten", inner, shape[dim])
    return view(input, (*shape[:dim], *inner, *shape[dim + 1 :]))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dims exchanged, as a view. Semantics: torch.transpose."""
    check_tensor("transpose", "input", input)
    ndim = input.array.ndim
    a, b = wrap_dim("transpose", dim0, ndim), wrap_dim("transpose", dim1, ndim)
    out = input.array.swapaxes(a, b) if ndim else input.array.view()
    return as_view(record(out, transpose_vjp, (input,), (a, b)), input, transpose, (a, b))


def transpose_vjp(node: Node, grad: Tensor, dim0: int, dim1: int) -> Tensor:
    return transpose(grad, dim0, dim1)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix (a vector as it is). Semantics: torch.t."""
    check_tensor("t", "input", input)
    if input.array.ndim > 2:
        raise error(
            RuntimeError, f"t: expects a tensor with <= 2 dimensions, got {input.array.ndim}"
        )
    out = record(input.array.T, t_vjp, (input,))
    return as_view(out, input, t, ())


def t_vjp(node: Node, grad: Tensor) -> Tensor:
    return t(grad)


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Dims in the given order, as a view. Semantics: torch.permute."""
    check_tensor("permute", "input", input)
    ndim = input.array.ndim
    order = as_ints("permute", "dims", dims)
    if len(order) != ndim:
        raise error(
            RuntimeError,
            "permute: number of dimensions in the tensor input does not match the length of the "
            f"desired ordering of dimensions, got input.dim()={ndim}, len(dims)={len(order)}",
        )
    order = wrap_dims("permute", order, ndim) if order else ()
    out = record(input.array.transpose(order), permute_vjp, (input,), (order,))
    return as_view(out, input, permute, (order,))


def permute_vjp(node: Node, grad: Tensor, order: Shape) -> Tensor:
    back = [0] * len(order)
    for to, dim in enumerate(order):
        back[dim] = to
    return permute(grad, tuple(back))


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dims moved to new places, the others in order. Semantics: torch.movedim."""
    check_tensor("movedim", "input", input)
    ndim = input.array.ndim
    froms, tos = wrap_dims("movedim", source, ndim), wrap_dims("movedim", destination, ndim)
    if len(froms) != len(tos):
        raise error(
            RuntimeError,
            "movedim: source and destination must have the same number of dims, "
            f"got {source} and {destination}",
        )
    order = [d for d in range(ndim) if d not in froms]
    for to, dim in sorted(zip(tos, froms, strict=True)):
        order.insert(to, dim)
    return permute(input, tuple(order))


def matrix_transpose(input: Tensor) -> Tensor:
    """The last two dims exchanged: ``mT``."""
    if input.array.ndim < 2:
        raise error(
            RuntimeError, f"mT: needs a tensor with >= 2 dimensions, got {input.array.ndim}"
        )
    return transpose(input, -2, -1)


def adjoint_of_matrix(input: Tensor) -> Tensor:
    """A matrix transposed: ``H``."""
    if input.array.ndim not in (0, 2):
        raise error(
            RuntimeError, f"H: only supported on matrices (2-D tensors), got {input.array.ndim}-D"
        )
    return transpose(input, 0, -1)


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dims of size 1 (all of them, or of those in ``dim``).

    Semantics: torch.squeeze.
    """
    check_tensor("squeeze", "input", input)
    shape = input.array.shape
    drop = wrap_dims("squeeze", dim, len(shape))
    if isinstance(dim, (tuple, list)) and not dim:
        drop = ()
    sizes = tuple(n for d, n in enumerate(shape) if not (n == 1 and d in drop))
    several = isinstance(dim, (tuple, list))
    name = "" if dim is None else "squeeze_dims" if several else "squeeze_dim"
    out = record(input.array.reshape(sizes), squeeze_vjp, (input,), (shape,), name=name)
    return as_view(out, input, squeeze, (dim,))


def squeeze_vjp(node: Node, grad: Tensor, shape: Shape) -> Tensor:
    return reshape(grad, shape)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a dim of size 1 at ``dim``. Semantics: torch.unsqueeze."""
    check_tensor("unsqueeze", "input", input)
    shape = input.array.shape
    dim = wrap_dim("unsqueeze", dim, len(shape) + 1)
    out = input.array[(slice(None),) * dim + (None,)]
    return as_view(record(out, unsqueeze_vjp, (input,), (dim,)), input, unsqueeze, (dim,))


def unsqueeze_vjp(node: Node, grad: Tensor, dim: int) -> Tensor:
    return squeeze(grad, dim)


def expand(input: Tensor, size: Sequence[int]) -> Tensor:
    """Dims of size 1 repeated without copying (-1 keeps a dim). Semantics: torch.Tensor.expand."""
    check_tensor("expand", "input", input)
    shape = input.array.shape
    target = as_ints("expand", "size", size)
    lead = len(target) - len(shape)
    if lead < 0:
        raise error(
            RuntimeError,
            "expand: the number of sizes provided must be greater or equal to the number of "
            f"dimensions in the tensor, got sizes={target}, shape={tuple(shape)}",
        )
    full = tuple(shape[d - lead] if n == -1 and d >= lead else n for d, n in enumerate(target))
    for d, n in enumerate(full):
        have = shape[d - lead] if d >= lead else 1
        if n < 0 or (have not in (1, n)):
            raise error(
                RuntimeError,
                f"expand: the expanded size of the tensor ({n}) must match the existing size "
                f"({have}) at non-singleton dimension {d}, got sizes={target}, "
                f"shape={tuple(shape)}",
            )
    if full[lead:] == shape and max(full[:lead], default=1) == 1:
        array = input.array[(None,) * lead + (...,)]  # may be written to
    else:
        array = input.backend.xp.broadcast_to(input.array, full)
    out = record(array, expand_vjp, (input,))
    return as_view(out, input, expand, (full,))


def expand_vjp(node: Node, grad: Tensor) -> Tensor:
    return grad  # the engine sums to the parent's shape


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """``expand``. Semantics: torch.broadcast_to."""
    return expand(input, size)


def detach(input: Tensor) -> Tensor:
    """The same memory, cut from the graph. Semantics: torch.Tensor.detach."""
    check_tensor("detach", "input", input)
    out = wrap(input.array, input.backend)
    out._cell = input.version_cell(share=True)
    out._inference = input._inference
    return out


def contiguous(input: Tensor) -> Tensor:
    """The tensor in row-major memory: itself where it is. Semantics: torch.Tensor.contiguous."""
    check_tensor("contiguous", "input", input)
    if input.array.flags.c_contiguous:
        return input
    return record(input.backend.copy(input.array), contiguous_vjp, (input,))


def contiguous_vjp(node: Node, grad: Tensor) -> Tensor:
    return grad
