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
    """An index as a tuple of ints, slices, None, Ellipsis and host-checked tensors.

    Returns it with whether it is basic (no arrays: the result is a view).
    """
    items = key if isinstance(key, tuple) else (key,)
    out: list[Any] = []
    basic = True
    for item in items:
        if item is None or item is Ellipsis:
            out.append(item)
        elif isinstance(item, slice):
            out.append(slice(*[_slice_part(v) for v in (item.start, item.stop, item.step)]))
            if item.step is not None and out[-1].step <= 0:
                raise error(
                    ValueError, f"getitem: step must be greater than zero, got step={item.step}"
                )
        elif isinstance(item, (bool, np.bool_, list, range, np.ndarray, TensorBase)):
            index = _index_tensor(input, item)
            if index.array.ndim == 0 and index.array.dtype.kind != "b":
                out.append(int(index.backend.to_numpy(index.array)))
            else:
                basic = False
                out.append(index)
        else:
            try:
                out.append(as_int("getitem", "index", item))
            except TypeError:
                raise error(
                    IndexError,
                    "getitem: only integers, slices (`:`), ellipsis (`...`), None and long or byte "
                    f"Variables are valid indices, got {type(item).__name__}",
                ) from None
    _check_bounds(input, out)
    return tuple(out), basic


def _slice_part(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, TensorBase):
        return int(value.backend.to_numpy(value.array))
    return as_int("getitem", "slice index", value)


def _index_tensor(input: Tensor, item: Any) -> TensorBase:
    backend = input.backend
    if isinstance(item, TensorBase):
        array = item.array if item.backend is backend else backend.asarray(item.array)
    else:
        if isinstance(item, (list, tuple)):
            item = [t.tolist() if isinstance(t, TensorBase) else t for t in item]  # type: ignore[attr-defined]
        host = np.asarray(item)
        array = backend.asarray(host.astype(np.int64) if host.size == 0 else host)
    if array.dtype == np.uint8:
        array = array.astype(bool)
    if array.dtype.kind not in "biu":
        raise error(
            IndexError,
            "getitem: tensors used as indices must be long, int, byte or bool tensors, "
            f"got dtype={array.dtype}",
        )
    return wrap(array, backend)


def _check_bounds(input: Tensor, items: list[Any]) -> None:
    shape = input.array.shape
    used = sum(
        max(i.array.ndim, 0) if isinstance(i, TensorBase) and i.array.dtype.kind == "b" else 1
        for i in items
        if i is not None and i is not Ellipsis
    )
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
    if sum(i is Ellipsis for i in items) > 1:
        raise error(IndexError, "getitem: an index can only have a single ellipsis ('...')")
    dim = 0
    for item in items:
        if item is None:
            continue
        if item is Ellipsis:
            dim += len(shape) - used
            continue
        if isinstance(item, TensorBase):
            array = item.array
            if array.dtype.kind == "b":
                for d in range(array.ndim):
                    if array.shape[d] != shape[dim + d]:
                        raise error(
                            IndexError,
                            f"getitem: the shape of the mask {list(array.shape)} at index {d} does "
                            f"not match the shape of the indexed tensor {list(shape)} at index "
                            f"{dim + d}",
                        )
                dim += array.ndim
                continue
            low, high = _range(item)
        elif isinstance(item, slice):
            dim += 1
            continue
        else:
            low = high = item
        if low < -shape[dim] or high >= shape[dim]:
            raise error(
                IndexError,
                f"getitem: index {low if low < -shape[dim] else high} is out of bounds for "
                f"dimension {dim} with size {shape[dim]}",
            )
        dim += 1


def _range(index: TensorBase) -> tuple[int, int]:
    if not index.array.size:
        return 0, -1
    return int(index.array.min()), int(index.array.max())


def getitem(input: Tensor, key: Any) -> Tensor:
    """``input[key]``: a view for ints, slices, None and Ellipsis, a copy for tensor indices.

    >>> import lucidlite
    >>> x = lucidlite.arange(6).reshape(2, 3)
    >>> x[:, 1], x[x > 3]
    (tensor([1, 4]), tensor([4, 5]))

    Semantics: torch indexing.
    """
    key, basic = normalize(input, key)
    if basic:
        return _view_of(input, key)
    return taken(input, key)


def taken(input: Tensor, key: Key, name: str = "getitem") -> Tensor:
    """A copy of the elements at a normalized index that holds tensors."""
    tensors = tuple(i for i in key if isinstance(i, TensorBase))
    out = input.array[_raw(key)]
    args = (_template(key), input.array.shape)
    inputs = (input, *(None for _ in tensors))
    return record(out, index_vjp, inputs, args, save=tensors, name=name)


def index_vjp(
    node: Node, grad: Tensor, template: Key, shape: tuple[int, ...]
) -> tuple[Tensor | None, ...]:
    indices = node.saved_tensors
    return (index_put_add(grad, template, indices, shape), *(None for _ in indices))


def _view_of(input: Tensor, key: Key) -> Tensor:
    # The Ellipsis keeps NumPy from copying a single element out as a scalar.
    array = input.array[key if Ellipsis in key else (*key, ...)]
    name = "slice"
    if any(isinstance(i, int) for i in key):
        name = "select"
    elif None in key and all(i is None or i is Ellipsis for i in key):
        name = "unsqueeze"
    out = record(array, slice_vjp, (input,), (key, input.array.shape), name=name)
    return as_view(out, input, _view_of, (key,))


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
    tensors = tuple(i for i in key if isinstance(i, TensorBase))
    raw = _raw(key)
    out = input.array.copy(order="K")
    try:
        out[raw] = value.array
    except ValueError:
        raise error(
            RuntimeError,
            f"index_put: shape mismatch: value tensor of shape {list(value.array.shape)} cannot be "
            f"broadcast to indexing result of shape {list(input.array[raw].shape)}",
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
    dim = wrap_dim("select", dim, input.array.ndim)
    return getitem(input, (slice(None),) * dim + (as_int("select", "index", index),))


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``length`` slices from ``start`` along ``dim``, as a view. Semantics: torch.narrow."""
    dim = wrap_dim("narrow", dim, input.array.ndim)
    size = input.array.shape[dim]
    start = start + size if start < 0 else start
    if length < 0 or start < 0 or start + length > size:
        raise error(
            RuntimeError,
            f"narrow: start ({start}) + length ({length}) exceeds dimension size ({size})",
        )
    return getitem(input, (slice(None),) * dim + (slice(start, start + length),))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices ``index`` (1-dim, integer) names along ``dim``. Semantics: torch.index_select."""
    check_tensor("index_select", "index", index)
    if index.array.ndim > 1:
        raise error(
            IndexError,
            f"index_select: index is supposed to be a vector, got shape={tuple(index.array.shape)}",
        )
    dim = wrap_dim("index_select", dim, input.array.ndim)
    flat = wrap(index.array.reshape(-1), index.backend)
    return getitem(input, (slice(None),) * dim + (flat,))


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
