"""How a list of samples becomes a batch: PyTorch's rules."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.creation import as_tensor, tensor
from lucidlite.dtypes import float64
from lucidlite.ops.join import stack
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """Join samples of one structure into a batch of the same structure.

    Tensors and arrays of equal shape are stacked along a new first dimension; Python floats
    become a float64 tensor, ints an int64 one, bools a bool one; strings and bytes stay a list (a
    tuple inside tuples and lists).
    Mappings, named tuples and lists are joined entry by entry; tuples become lists. Raises
    TypeError for anything else, RuntimeError for sequences of different lengths.

    >>> import lucidlite
    >>> from lucidlite.utils.data import default_collate
    >>> batch = default_collate([{"x": 1.0, "id": "a"}, {"x": 2.0, "id": "b"}])
    >>> batch["x"].tolist(), batch["id"]
    ([1.0, 2.0], ['a', 'b'])

    Semantics: torch.utils.data.default_collate.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack_tensors(batch)
    if isinstance(first, np.ndarray):
        return _stack_arrays(batch)
    if isinstance(first, np.generic):
        if first.dtype.kind in "SaUO":
            raise _unsupported(type(first))
        return as_tensor(np.asarray(batch))
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return rebuild(first, {k: default_collate([d[k] for d in batch]) for k in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(each) for each in zip(*batch, strict=False)))
    if isinstance(first, Sequence):
        lengths = {len(sample) for sample in batch}
        if len(lengths) != 1:
            raise error(
                RuntimeError,
                "default_collate: each element in list of batch should be of equal size, "
                f"got sizes={sorted(lengths)}",
            )
        columns = [default_collate(each) for each in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else refill(first, columns)
    raise _unsupported(type(first))


def default_convert(data: Any) -> Any:
    """Turn the arrays and NumPy numbers in a structure into tensors; everything else stays.

    Tuples become lists, named tuples, lists and mappings keep their types. What a DataLoader does
    with each sample when ``batch_size`` is None. Semantics: torch.utils.data.default_convert.
    """
    if isinstance(data, Tensor):
        return data
    if isinstance(data, np.ndarray | np.generic):
        return data if data.dtype.kind in "SaUO" else as_tensor(data)
    if isinstance(data, Mapping):
        return rebuild(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple):
        values = [default_convert(each) for each in data]
        return type(data)(*values) if hasattr(data, "_fields") else values
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return refill(data, [default_convert(each) for each in data])
    return data


def _stack_tensors(batch: Sequence[Any]) -> Tensor:
    shape, dtype, backend = batch[0].shape, batch[0].dtype, batch[0].backend
    plain = all(
        isinstance(t, Tensor)
        and not t.requires_grad
        and (t.shape, t.dtype, t.backend) == (shape, dtype, backend)
        for t in batch
    )
    if plain:  # nothing to record, promote or complain about
        return wrap(backend.xp.stack([t.array for t in batch]), backend)
    return stack(list(batch))


def _stack_arrays(batch: Sequence[Any]) -> Tensor:
    first = batch[0]
    if first.dtype.kind in "SaUO":
        raise _unsupported(first.dtype)
    kind = first.dtype, first.shape
    if all(isinstance(a, np.ndarray) and (a.dtype, a.shape) == kind for a in batch):
        return as_tensor(np.stack(batch))
    return _stack_tensors([as_tensor(a) for a in batch])


def rebuild(like: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """``values`` in a mapping of the same class, or a dict where it can't be made."""
    try:
        if isinstance(like, MutableMapping):
            clone = copy.copy(like)
            clone.update(values)
            return clone
        make: Callable[..., Any] = type(like)
        return make(values)
    except TypeError:
        return values


def refill(like: Sequence[Any], values: list[Any]) -> Any:
    """``values`` in a sequence of the same class, or a list where it can't be made."""
    try:
        if isinstance(like, MutableSequence):
            clone = copy.copy(like)
            for position, value in enumerate(values):
                clone[position] = value
            return clone
        make: Callable[..., Any] = type(like)
        return make(values)
    except TypeError:
        return values


def _unsupported(found: Any) -> TypeError:
    return error(
        TypeError,
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {found}",
    )
