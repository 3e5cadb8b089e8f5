"""Taking elements out and putting them back: getitem, gather, scatter, masks.

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
    result_type,
    to_dtype,
    wrap_dim,
)
from lucidlite.tape import as_view, record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Key = tuple[Any, ...]


def normalize(input: Tensor, key: Any) -> tuple[Key, bool]:
    """An index as a tuple of ints, slices, None, Ellipsis and tensors, all within bounds.

    Returns it with whether it is basic (no tensors: the result is a view).
    """
    if isinstance(key, tuple) or (isinstance(key, list) and _means_tuple(key)):
        items = tuple([_item(input, item) for item in key])
    else:
        items = (_item(input, key),)
    _check_bounds(input.array.shape, items)
    return items, not any([isinstance(item, TensorBase) for item in items])


def _means_tuple(key: list[Any]) -> bool:
    """Whether a list stands for a tuple of indices, by NumPy's old rule that PyTorch follows."""
    inner = (TensorBase, np.ndarray, list, tuple, slice, range)
    return len(key) < 32 and any(i is None or i is Ellipsis or isinstance(i, inner) for i in key)


def _item(input: Tensor, item: Any) -> Any:
    kind = type(item)
    if kind is int or item is None or item is Ellipsis:
        return item
    if kind is slice:
        if item.start is None and item.stop is None and item.step is None:
            return item
        parts = [_slice_part(v) for v in (item.start, item.stop, item.step)]
        if parts[2] is not None and parts[2] <= 0:
            raise error(
                ValueError, f"getitem: step must be greater than zero, got step={parts[2]}"
            )
        return slice(*parts)
    if isinstance(item, (bool, np.bool_, list, tuple, range, np.ndarray, TensorBase)):
        index = _index_tensor(input, item)
        if index.array.ndim == 0 and index.array.dtype.kind != "b":
            return int(index.backend.to_numpy(index.array))
        return index
    try:
        return as_int("getitem", "index", item)
    except TypeError:
        raise error(
            TypeError if isinstance(item, (str, bytes)) else IndexError,
            "getitem: only integers, slices (`:`), ellipsis (`...`), None and long or byte "
            f"Variables are valid indices, got {kind.__name__}",
        ) from None


def _slice_part(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    if isinstance(value, TensorBase):
        return int(value.backend.to_numpy(value.array))
    return as_int("getitem", "slice index", value)


def _index_tensor(input: Tensor, item: Any) -> TensorBase:
    backend = input.backend
    if isinstance(item, TensorBase):
        array = item.array if item.backend is backend else backend.asarray(item.array)
    else:
        try:
            host = np.asarray(item)
        except ValueError as problem:
            raise error(ValueError, f"getitem: {problem}") from None
        array = backend.asarray(host.astype(np.int64) if host.size == 0 else host)
    if array.dtype == np.uint8:
        array = array.astype(bool)
    if array.dtype.kind not in "biu" or array.dtype.itemsize == 2:
        raise error(
            IndexError,
            "getitem: tensors used as indices must be long, int, byte or bool tensors, "
            f"got dtype={array.dtype}",
        )
    return wrap(array, backend)


def _check_bounds(shape: tuple[int, ...], items: Key) -> None:
    used = 0
    for item in items:
        if item is not None and item is not Ellipsis:
            used += _width(item)
    if used > len(shape):
        if not shape:
            raise error(
                IndexError,
                "getitem: invalid index of a 0-dim tensor. Use `tensor.item()` to convert it to a "
                "Python number",
            )
        raise error(
            IndexError,
            f"getitem: too many indices for tensor of dimension {len(shape)}, got {used}",
        )
    dim, dots = 0, 0
    for item in items:
        if type(item) is int:
            _check_place(item, item, shape, dim)
        elif item is Ellipsis:
            dim += len(shape) - used
            dots += 1
        elif isinstance(item, TensorBase):
            array = item.array
            if array.dtype.kind != "b":
                if array.size:
                    _check_place(int(array.min()), int(array.max()), shape, dim)
            elif array.shape != shape[dim : dim + array.ndim]:
                raise error(
                    IndexError,
                    f"getitem: the shape of the mask {list(array.shape)} at index {dim} does not "
                    f"match the shape of the indexed tensor {list(shape)}",
                )
        if item is not None and item is not Ellipsis:
            dim += _width(item)
    if dots > 1:
        raise error(IndexError, "getitem: an index can only have a single ellipsis ('...')")


def _width(item: Any) -> int:
    """The dims an item of a normalized index takes."""
    if isinstance(item, TensorBase) and item.array.dtype.kind == "b":
        return int(item.array.ndim)
    return 1


def _check_place(low: int, high: int, shape: tuple[int, ...], dim: int) -> None:
    size = shape[dim]
    if low < -size or high >= size:
        raise error(
            IndexError,
            f"getitem: index {low if low < -size else high} is out of bounds for dimension {dim} "
            f"with size {size}",
        )


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
    first, key = _ints_first(key)
    if first:
        input = _part(input, first)
    tensors = tuple(i for i in key if isinstance(i, TensorBase))
    try:
        out = input.array[_raw(key)]
    except IndexError as problem:  # index tensors that don't broadcast
        raise error(IndexError, f"getitem: {problem}") from None
    args = (_template(key), input.array.shape)
    inputs = (input, *(None for _ in tensors))
    return record(out, index_vjp, inputs, args, save=tensors, name=name)


def _ints_first(key: Key) -> tuple[Key, Key]:
    """A mixed index as one of its ints alone, then one without them.

    PyTorch takes ints first; NumPy would count them among the arrays, which may move dims.
    """
    if not any(type(i) is int for i in key):
        return (), key
    first: list[Any] = []
    for item in key:
        if type(item) is int or item is Ellipsis:
            first.append(item)
        elif item is not None:
            first.extend([slice(None)] * _width(item))
    return tuple(first), tuple(i for i in key if type(i) is not int)


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
    name = _last_step(key, shape) if input.requires_grad else ""
    return record(array, slice_vjp, (input,), (key, shape), name=name)


def _view_of(input: Tensor, key: Key) -> Tensor:
    return as_view(_part(input, key), input, _view_of, (key,))


def _last_step(key: Key, shape: tuple[int, ...]) -> str:
    """PyTorch takes an index item by item, and prints the last one that did something."""
    name, dim = "getitem_all", 0
    if len(key) == 1 and isinstance(key[0], slice):
        return "slice"
    for item in key:
        if item is None:
            name = "unsqueeze"
        elif item is Ellipsis:
            dim += len(shape) - sum(i is not None and i is not Ellipsis for i in key)
        else:
            if type(item) is int:
                name = "select"
            elif item.indices(shape[dim]) != (0, shape[dim], 1):
                name = "slice"
            dim += 1
    return name


def slice_vjp(node: Node, grad: Tensor, key: Key, shape: tuple[int, ...]) -> Tensor:
    return index_put_add(grad, key, (), shape)


def index_put_add(grad: Tensor, template: Key, indices: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of ``shape`` with ``grad`` added at an index; places named twice add up."""
    key = _filled(template, indices)
    out = grad.backend.index_add(shape, grad.array.dtype, _raw(key), grad.array)
    inputs = (grad, *(None for _ in indices))
    return record(out, index_put_add_vjp, inputs, (template,), save=tuple(indices))


def index_put_add_vjp(node: Node, grad: Tensor, template: Key) -> tuple[Tensor | None, ...]:
    indices = node.saved_tensors
    return (getitem(grad, _filled(template, indices)), *(None for _ in indices))


def _template(key: Key) -> Key:
    """The key with a number in a tuple where a tensor stood: args hold no arrays."""
    nth = iter(range(len(key)))
    return tuple((next(nth),) if isinstance(i, TensorBase) else i for i in key)


def _filled(template: Key, indices: Any) -> Key:
    return tuple(indices[i[0]] if isinstance(i, tuple) else i for i in template)


def _raw(key: Key) -> Key:
    return tuple(i.array if isinstance(i, TensorBase) else i for i in key)


def index_put(input: Tensor, key: Key, value: Tensor) -> Tensor:
    """A copy of ``input`` with ``value`` at a normalized index. Semantics: torch.index_put."""
    first, rest = _ints_first(key)
    tensors = tuple(i for i in rest if isinstance(i, TensorBase))
    out = input.array.copy(order="K")
    part, raw = out[(*first, ...)] if first else out, _raw(rest)
    try:
        part[raw] = value.array
    except (ValueError, TypeError):
        raise error(
            RuntimeError,
            f"index_put: shape mismatch: value tensor of shape {list(value.array.shape)} cannot be "
            f"broadcast to indexing result of shape {list(part[raw].shape)}",
        ) from None
    inputs = (input, value, *(None for _ in tensors))
    return record(out, index_put_vjp, inputs, (_template(key),), save=tensors)


def index_put_vjp(node: Node, grad: Tensor, template: Key) -> tuple[Tensor | None, ...]:
    indices = node.saved_tensors
    key = _filled(template, indices)
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
    _check_place(index, index, shape, dim)
    return _view_of(input, (slice(None),) * dim + (index,))


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``length`` slices from ``start`` along ``dim``, as a view. Semantics: torch.narrow."""
    check_tensor("narrow", "input", input)
    if not input.array.ndim:
        raise error(RuntimeError, "narrow: cannot be applied to a 0-dim tensor")
    dim = wrap_dim("narrow", dim, input.array.ndim)
    size = input.array.shape[dim]
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
    if places.size and not 0 <= int(places.min()) <= int(places.max()) < size:
        raise error(
            IndexError,
            f"index_select: index out of range, got {int(places.min())} to {int(places.max())} for "
            f"dimension {dim} with size {size}",
        )
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
