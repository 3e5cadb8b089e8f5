"""Taking elements out and putting them back: getitem, index_put, select, narrow, nonzero.

``getitem`` with an array index and ``index_put_add`` are each other's transposes, so each is the
other's reverse rule; basic indices (ints, slices, None, ...) give views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.common import (
    as_int,
    check_device,
    check_tensor,
    wrap_dim,
)
from lucidlite.ops.index_key import (
    Key,
    check_place,
    filled,
    ints_first,
    last_step,
    normalize,
    raw,
    template_of,
)
from lucidlite.tape import as_view, record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def getitem(input: Tensor, key: Any) -> Tensor:
    """``input[key]``: a view for ints, slices, None and Ellipsis, a copy for tensor indices.

    >>> import lucidlite
    >>> x = lucidlite.arange(6).reshape(2, 3)
    >>> x[:, 1], x[x > 3]
    (tensor([1, 4]), tensor([4, 5]))

    Semantics: torch indexing.
    """
    items, basic = normalize(input, key)
    return _view_of(input, items) if basic else taken(input, items)


def taken(input: Tensor, key: Key, name: str = "getitem") -> Tensor:
    """A copy of the elements at a normalized index that holds tensors."""
    first, key = ints_first(key)
    if first:
        input = _part(input, first)
    tensors = tuple(i for i in key if isinstance(i, TensorBase))
    try:
        out = input.backend.take(input.array, raw(key))
    except IndexError as problem:  # index tensors that don't broadcast
        raise error(IndexError, f"getitem: {problem}") from None
    args = (template_of(key), input.array.shape)
    inputs = (input, *(None for _ in tensors))
    return record(out, index_vjp, inputs, args, save=tensors, name=name)


def index_vjp(
    node: Node, grad: Tensor, template: Key, shape: tuple[int, ...]
) -> tuple[Tensor | None, ...]:
    indices = node.saved_tensors
    return (index_put_add(grad, template, indices, shape), *(None for _ in indices))


def _part(input: Tensor, key: Key) -> Tensor:
    """The elements at a basic index, in the same memory."""
    # The Ellipsis keeps NumPy from copying a single element out as a scalar.
    array = input.array[key if Ellipsis in key else (*key, ...)]
    shape = input.array.shape
    name = last_step(key, shape) if input.requires_grad else ""
    return record(array, slice_vjp, (input,), (key, shape), name=name)


def _view_of(input: Tensor, key: Key) -> Tensor:
    return as_view(_part(input, key), input, _view_of, (key,))


def slice_vjp(node: Node, grad: Tensor, key: Key, shape: tuple[int, ...]) -> Tensor:
    return index_put_add(grad, key, (), shape)


def index_put_add(grad: Tensor, template: Key, indices: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of ``shape`` with ``grad`` added at an index; places named twice add up."""
    key = filled(template, indices)
    out = grad.backend.index_add(shape, grad.array.dtype, raw(key), grad.array)
    inputs = (grad, *(None for _ in indices))
    return record(out, index_put_add_vjp, inputs, (template,), save=tuple(indices))


def index_put_add_vjp(node: Node, grad: Tensor, template: Key) -> tuple[Tensor | None, ...]:
    indices = node.saved_tensors
    return (getitem(grad, filled(template, indices)), *(None for _ in indices))


def index_put(input: Tensor, key: Key, value: Tensor) -> Tensor:
    """A copy of ``input`` with ``value`` at a normalized index. Semantics: torch.index_put."""
    first, rest = ints_first(key)
    tensors = tuple(i for i in rest if isinstance(i, TensorBase))
    out = input.array.copy(order="K")
    view, places = (*first, ...), raw(rest)
    part = out[view]
    try:
        part[places] = value.array
    except (ValueError, TypeError):
        raise error(
            RuntimeError,
            f"index_put: shape mismatch: value tensor of shape {list(value.array.shape)} cannot be "
            f"broadcast to indexing result of shape {list(part[places].shape)}",
        ) from None
    inputs = (input, value, *(None for _ in tensors))
    return record(out, index_put_vjp, inputs, (template_of(key),), save=tensors)


def index_put_vjp(node: Node, grad: Tensor, template: Key) -> tuple[Tensor | None, ...]:
    indices = node.saved_tensors
    key = filled(template, indices)
    kept = value = None
    if node.needs_input_grad[0]:
        zero = wrap(grad.backend.xp.zeros((), grad.array.dtype), grad.backend)
        kept = index_put(grad, key, zero)
    if node.needs_input_grad[1]:
        value = getitem(grad, key)
    return (kept, value, *(None for _ in indices))


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice at ``index`` along ``dim``, as a view. Semantics: torch.select."""
    check_tensor("select", "input", input)
    shape = input.array.shape
    if not shape:
        raise error(IndexError, "select: cannot be applied to a 0-dim tensor")
    dim = wrap_dim("select", dim, len(shape))
    index = as_int("select", "index", index)
    check_place(index, index, shape, dim)
    return _view_of(input, (slice(None),) * dim + (index,))


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``length`` slices from ``start`` along ``dim``, as a view. Semantics: torch.narrow."""
    check_tensor("narrow", "input", input)
    if not input.array.ndim:
        raise error(RuntimeError, "narrow: cannot be applied to a 0-dim tensor")
    dim = wrap_dim("narrow", dim, input.array.ndim)
    size = input.array.shape[dim]
    if isinstance(start, TensorBase) and (start.array.ndim or start.array.dtype.kind not in "iu"):
        raise error(
            RuntimeError,
            "narrow: start must be an 0-dim integral Tensor, "
            f"got shape={tuple(start.array.shape)}, dtype={start.dtype}",
        )
    start, length = as_int("narrow", "start", start), as_int("narrow", "length", length)
    if length < 0:
        raise error(RuntimeError, f"narrow: length must be non-negative, got length={length}")
    if not -size <= start <= size:
        raise error(
            IndexError,
            f"narrow: start out of range (expected to be in range of [{-size}, {size}], "
            f"but got {start})",
        )
    start = start + size if start < 0 else start
    if start + length > size:
        raise error(
            RuntimeError,
            f"narrow: start ({start}) + length ({length}) exceeds dimension size ({size})",
        )
    return _view_of(input, (slice(None),) * dim + (slice(start, start + length),))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices ``index`` (1-dim, integer) names along ``dim``. Semantics: torch.index_select."""
    check_tensor("index_select", "input", input)
    check_tensor("index_select", "index", index)
    check_device("index_select", input, index)
    places = index.array.reshape(-1)
    if index.array.ndim > 1:
        raise error(
            IndexError,
            f"index_select: index is supposed to be a vector, got shape={tuple(index.array.shape)}",
        )
    if places.dtype not in (np.int64, np.int32):
        raise error(
            RuntimeError,
            f"index_select: expected dtype int32 or int64 for index, got dtype={index.dtype}",
        )
    dim = wrap_dim("index_select", dim, input.array.ndim)
    if not input.array.ndim and places.size != 1:
        raise error(
            RuntimeError,
            f"index_select: index to scalar can have only 1 value, got {places.size} values",
        )
    size = input.array.shape[dim] if input.array.ndim else 1
    rule = f"index_select: index out of range, got {{}} for dimension {dim} with size {size}"
    input.backend.check_index(places, 0, size, IndexError, rule)
    if not input.array.ndim:
        return record(input.array.copy(), index_select_scalar_vjp, (input,), name="index_select")
    flat = wrap(places, index.backend)
    return taken(input, (slice(None),) * dim + (flat,), "index_select")


def index_select_scalar_vjp(node: Node, grad: Tensor) -> Tensor:
    return grad


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Indices of the nonzero elements, (count, ndim) or one vector per dim.

    Semantics: torch.nonzero.
    """
    check_tensor("nonzero", "input", input)
    xp = input.backend.xp
    array = input.array if input.array.ndim or not as_tuple else input.array.reshape(1)
    if not array.ndim:
        return wrap(xp.zeros((int(bool(array)), 0), np.int64), input.backend)
    found = array.nonzero()
    if as_tuple:
        return tuple(wrap(i.astype(np.int64), input.backend) for i in found)
    return wrap(xp.stack(found, 1).astype(np.int64), input.backend)
