"""Index keys: what stands in ``x[...]``, read and checked as PyTorch does."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.common import as_int
from lucidlite.tape import wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

Key = tuple[Any, ...]


def normalize(input: Tensor, key: Any) -> tuple[Key, bool]:
    """An index as a tuple of ints, slices, None, Ellipsis and tensors, all within bounds.

    Returns it with whether it is basic (no tensors: the result is a view).
    """
    if isinstance(key, tuple) or (isinstance(key, list) and _means_tuple(key)):
        if isinstance(key, list):
            warnings.warn(
                "getitem: a list of sequences is read as a tuple of indices, as PyTorch does for "
                "now; use x[tuple(key)] or x[tensor(key)]",
                UserWarning,
                stacklevel=4,
            )
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
            raise error(ValueError, f"getitem: step must be greater than zero, got step={parts[2]}")
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
        array = item.array
        if item.backend is not backend:
            array = backend.asarray(item.backend.to_numpy(array))
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
    if isinstance(item, TensorBase) and array is item.array:
        return item  # with its version: writing to an index before backward is noticed
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
            check_place(item, item, shape, dim)
        elif item is Ellipsis:
            dim += len(shape) - used
            dots += 1
        elif isinstance(item, TensorBase):
            array = item.array
            if array.dtype.kind != "b":
                size = shape[dim]
                rule = _out_of_bounds("{}", dim, size)
                item.backend.check_index(array, -size, size, IndexError, rule)
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


def check_place(low: int, high: int, shape: tuple[int, ...], dim: int) -> None:
    size = shape[dim]
    if low < -size or high >= size:
        raise error(IndexError, _out_of_bounds(low if low < -size else high, dim, size))


def _out_of_bounds(index: int | str, dim: int, size: int) -> str:
    return f"getitem: index {index} is out of bounds for dimension {dim} with size {size}"


def ints_first(key: Key) -> tuple[Key, Key]:
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


def last_step(key: Key, shape: tuple[int, ...]) -> str:
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


def template_of(key: Key) -> Key:
    """The key with a number in a tuple where a tensor stood: args hold no arrays."""
    nth = iter(range(len(key)))
    return tuple((next(nth),) if isinstance(i, TensorBase) else i for i in key)


def filled(template: Key, indices: Any) -> Key:
    return tuple(indices[i[0]] if isinstance(i, tuple) else i for i in template)


def raw(key: Key) -> Key:
    return tuple(i.array if isinstance(i, TensorBase) else i for i in key)
