"""Values put at an index, at flat places, or where a view looks; elements taken at flat places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.ops.common import check_device, check_tensor, wrap_dim
from lucidlite.ops.diagonals import diagonal
from lucidlite.ops.elementwise import add
from lucidlite.ops.index_key import Key, filled, normalize, template_of
from lucidlite.ops.indexing import getitem, index_put_add, nonzero, select
from lucidlite.ops.indexing import index_put as put_at
from lucidlite.ops.inplace import fill_, masked_fill_, view_scatter, view_scatter_vjp
from lucidlite.ops.precision import precision
from lucidlite.ops.shape import expand, reshape
from lucidlite.tape import record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``values`` at ``input[indices]``, a tuple of tensors; added with ``accumulate``.

    Semantics: torch.index_put.
    """
    check_tensor("index_put", "input", input)
    check_tensor("index_put", "values", values)
    if precision.active:
        input, values = precision.cast("index_put", input, values)
    if not isinstance(indices, (tuple, list)):
        raise error(
            TypeError,
            f"index_put: indices must be tuple of Tensors, got {type(indices).__name__}",
        )
    if values.array.dtype != input.array.dtype:
        raise error(
            RuntimeError,
            "index_put: index put requires the source and destination dtypes match, "
            f"got {input.dtype} for the destination and {values.dtype} for the source",
        )
    check_device("index_put", input, values)
    everything = tuple(slice(None) if i is None else i for i in indices)
    key, _ = normalize(input, everything)
    return _added(input, key, values) if accumulate else put_at(input, key, values)


def _added(input: Tensor, key: Key, values: Tensor) -> Tensor:
    shape = getitem(input.detach(), key).array.shape
    try:
        wide = expand(values, shape)
    except RuntimeError:
        raise error(
            RuntimeError,
            f"index_put: shape mismatch: value tensor of shape {list(values.array.shape)} cannot "
            f"be broadcast to indexing result of shape {list(shape)}",
        ) from None
    tensors = tuple(i for i in key if hasattr(i, "array"))
    template = template_of(key)
    with no_grad():
        out = add(input, index_put_add(wide, template, tensors, input.array.shape))
    inputs = (input, values, *(None for _ in tensors))
    return record(out.array, index_add_at_vjp, inputs, (template,), save=tensors, name="index_put")


def index_add_at_vjp(node: Node, grad: Tensor, template: Key) -> tuple[Tensor | None, ...]:
    indices = node.saved_tensors
    value = getitem(grad, filled(template, indices)) if node.needs_input_grad[1] else None
    return (grad, value, *(None for _ in indices))


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at places in the flat tensor, shaped as ``index``. Semantics: torch.take."""
    flat, places = _flat("take", input, index)
    with no_grad():
        out = reshape(getitem(flat, (reshape(places, (-1,)),)), index.array.shape)
    args = (input.array.shape,)
    return record(out.array, take_vjp, (input, None), args, save=(index,))


def take_vjp(node: Node, grad: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, None]:
    (index,) = node.saved_tensors
    zeros = wrap(grad.backend.xp.zeros(shape, grad.array.dtype), grad.backend)
    return put(zeros, index, grad, accumulate=True), None


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``source`` at places in the flat tensor; added with ``accumulate``.

    Semantics: torch.Tensor.put.
    """
    flat, places = _flat("put", input, index)
    check_tensor("put", "source", source)
    if source.array.size != index.array.size or source.array.dtype != input.array.dtype:
        raise error(
            IndexError if source.array.size != index.array.size else RuntimeError,
            "put: expected source and index to have the same number of elements, and source the "
            f"dtype of self, got {source.array.size} and {index.array.size}, {source.dtype}",
        )
    one = reshape(places, (-1,))
    with no_grad():
        out = index_put(flat, (one,), reshape(source, (-1,)), accumulate)
        out = reshape(out, input.array.shape)
    args = (accumulate, source.array.shape)
    return record(out.array, put_vjp, (input, None, source), args, save=(index,))


def put_vjp(
    node: Node, grad: Tensor, accumulate: bool, shape: tuple[int, ...]
) -> tuple[Tensor | None, ...]:
    (index,) = node.saved_tensors
    kept, needs = grad, node.needs_input_grad
    if needs[0] and not accumulate:
        zeros = wrap(grad.backend.xp.zeros(index.array.shape, grad.array.dtype), grad.backend)
        kept = put(grad, index, zeros)
    return kept, None, reshape(take(grad, index), shape) if needs[2] else None


def _flat(op: str, input: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    check_tensor(op, "input", input)
    check_tensor(op, "index", index)
    check_device(op, input, index)
    if index.array.dtype != np.int64:
        raise error(
            RuntimeError, f"{op}: expected a long tensor for index, got dtype={index.dtype}"
        )
    size = input.array.size
    rule = f"{op}: index out of range: tried to access index {{}} on a tensor of {size} elements"
    input.backend.check_index(index.array, -size, size, IndexError, rule)
    return reshape(input, (-1,)), index


def argwhere(input: Tensor) -> Tensor:
    """``nonzero``. Semantics: torch.argwhere."""
    found: Tensor = nonzero(input)
    return found


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with ``src`` as the slice at ``index`` along ``dim``.

    Semantics: torch.select_scatter.
    """
    return _written("select_scatter", input, src, select, (dim, index))


def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy with ``src`` in place of a slice along ``dim``. Semantics: torch.slice_scatter."""
    check_tensor("slice_scatter", "input", input)
    dim = wrap_dim("slice_scatter", dim, input.array.ndim)
    if step <= 0:
        raise error(RuntimeError, f"slice_scatter: slice step must be positive, got step={step}")
    key = (*(slice(None),) * dim, slice(start, end, step))
    return _written("slice_scatter", input, src, getitem, (key,))


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy with ``src`` as its diagonal. Semantics: torch.diagonal_scatter."""
    return _written("diagonal_scatter", input, src, diagonal, (offset, dim1, dim2))


def _written(op: str, input: Tensor, src: Tensor, look: Any, args: tuple[Any, ...]) -> Tensor:
    check_tensor(op, "input", input)
    check_tensor(op, "src", src)
    check_device(op, input, src)
    seen = look(input.detach(), *args).array.shape
    if src.array.shape != seen:
        raise error(
            RuntimeError,
            f"{op}: expected src to have a size equal to the slice of self, "
            f"got src={tuple(src.array.shape)}, slice={tuple(seen)}",
        )
    steps = ((look, args),)
    with no_grad():
        out = view_scatter(input, src, steps)
    return record(out.array, view_scatter_vjp, (input, src), (steps,), name=op)


def fill_diagonal_(target: Tensor, fill_value: Any, again: bool = False) -> Tensor:
    """Set a matrix's main diagonal (of a cube too) to a number; ``again`` below it too.

    Semantics: torch.Tensor.fill_diagonal_.
    """
    check_tensor("fill_diagonal_", "input", target)
    shape = target.array.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) != 1):
        raise error(
            RuntimeError,
            "fill_diagonal_: dimensions must be larger than 1, and all of one size if there are "
            f"more than 2, got shape={tuple(shape)}",
        )
    xp, places = target.backend.xp, target.backend.xp.arange(min(shape))
    on = xp.zeros(shape, bool)
    if again and len(shape) == 2 and shape[0] > shape[1]:
        rows = xp.arange(shape[0]).reshape(-1, 1)
        on = rows % (shape[1] + 1) == xp.arange(shape[1])
    else:
        on[(places,) * len(shape)] = True
    return masked_fill_(target, wrap(on, target.backend), fill_value)


def fill(input: Tensor, value: Any) -> Tensor:
    """One number (or a 0-dim tensor's) in ``input``'s shape and dtype. Semantics: torch.fill."""
    check_tensor("fill", "input", input)
    with no_grad():
        twin = input.detach().clone()
    return fill_(record(twin.array, fill_vjp, (input,), name="fill"), value)


def fill_vjp(node: Node, grad: Tensor) -> Tensor:
    return grad  # 0 by now: what was there is overwritten
