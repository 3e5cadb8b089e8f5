"""Reading data: numbers, nested sequences, arrays and tensors as one array on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.dtypes import (
    as_dtype,
    bool_,
    dtype,
    from_numpy_dtype,
    get_default_dtype,
    int64,
    promote_types,
)
from lucidlite.tensor_base import TensorBase

Host = np.ndarray[Any, Any]
_NUMBERS = {bool, int, float}


def read(op: str, data: Any, kind: Any = None) -> Host:
    """``data`` as a host array of its own memory, in dtype ``kind`` or the one it has as a tensor.

    Python floats are of the default dtype, ints int64; in a sequence the widest counts.
    """
    wanted = None if kind is None else as_dtype(kind, op)
    if isinstance(data, TensorBase):
        return _converted(op, data.backend.to_numpy(data.array), wanted)
    if hasattr(data, "__array__"):
        return _converted(op, np.asarray(data), wanted)
    if isinstance(data, (str, bytes)):
        raise error(TypeError, f"{op}: invalid data type '{type(data).__name__}', got {data!r}")
    kinds: set[Any] = set()
    plain = _plain(op, data, kinds, wanted, 0)
    return _built(op, plain, wanted or _inferred(kinds))


def _converted(op: str, array: Host, wanted: dtype | None) -> Host:
    if array.dtype.kind not in "biuf":
        raise error(TypeError, f"{op}: can't convert an array of dtype {array.dtype}")
    target = (wanted or from_numpy_dtype(array.dtype)).numpy
    with np.errstate(all="ignore"):
        return np.array(array, target, copy=True)


def _plain(op: str, data: Any, kinds: set[Any], wanted: dtype | None, depth: int) -> Any:
    """Nested sequences with tensors as arrays; the types of what they hold go to ``kinds``."""
    if type(data) in _NUMBERS:
        kinds.add(type(data))
    elif isinstance(data, TensorBase):
        kinds.add(data.dtype)
        array = data.backend.to_numpy(data.array)
        return array.reshape(()) if array.size == 1 else array
    elif isinstance(data, (np.ndarray, np.generic)):
        kinds.add(from_numpy_dtype(data.dtype))
    elif isinstance(data, (str, bytes)):
        raise error(TypeError, f"{op}: invalid data type '{type(data).__name__}', got {data!r}")
    elif isinstance(data, Sequence):
        if data and isinstance(data[0], (str, bytes)):
            found = type(data[0]).__name__
            raise error(ValueError, f"{op}: too many dimensions '{found}', got {data[0]!r}")
        if depth > 64:
            raise error(ValueError, f"{op}: too many dimensions, or a sequence that holds itself")
        types = set(map(type, data))
        if types <= _NUMBERS:
            kinds |= types
            return data
        return [_plain(op, item, kinds, wanted, depth + 1) for item in data]
    elif isinstance(data, (int, float)):  # a subclass, as an enum's
        kinds.add(float if isinstance(data, float) else int)
    elif wanted is not None or isinstance(data, complex):
        raise error(TypeError, f"{op}: must be real numbers, not {type(data).__name__}")
    else:
        raise error(RuntimeError, f"{op}: could not infer dtype of {type(data).__name__}")
    return data


def _inferred(kinds: set[Any]) -> dtype:
    """The dtype that numbers of these Python types and dtypes have together."""
    names = {bool: bool_, int: int64, float: get_default_dtype()}
    found: dtype | None = None
    for kind in kinds:
        one = names.get(kind, kind)
        found = one if found is None else promote_types(found, one)
    return found or get_default_dtype()


def _mixed(data: Any) -> bool:
    """Whether numbers stand beside sequences somewhere."""
    if not isinstance(data, (list, tuple)):
        return False
    return len({isinstance(item, (list, tuple)) for item in data}) > 1 or any(map(_mixed, data))


def _built(op: str, plain: Any, kind: dtype) -> Host:
    target = kind.numpy
    try:
        with np.errstate(over="ignore"):
            # Numbers are read as they are first: a direct read would refuse -1 for uint8.
            if kind.category != 1:
                return np.array(plain, target)
            array = np.array(plain)
    except OverflowError:
        raise error(
            ValueError, f"{op}: overflow when unpacking an int, got a number too big"
        ) from None
    except (ValueError, TypeError) as problem:
        if _mixed(plain):
            raise error(
                TypeError, f"{op}: expected sequences or numbers at one depth, got both: {plain}"
            ) from None
        raise error(ValueError, f"{op}: expected sequences of equal length ({problem})") from None
    if array.dtype == target:
        return array
    if array.dtype.kind in "Ou":  # ints beyond int64
        raise error(ValueError, f"{op}: overflow when unpacking an int, got a number too big")
    array = array.astype(np.float64) if array.dtype.kind == "f" else array
    info = np.iinfo(target)
    low = info.min if target.kind == "i" or array.dtype.kind == "f" else -info.max
    if not bool(((array >= low) & (array <= info.max)).all()):  # NaN too
        raise error(
            RuntimeError, f"{op}: value cannot be converted to type {kind} without overflow"
        )
    return array.astype(target)
