"""The data types, the default float type, and PyTorch's type promotion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lucidlite.callsite import error


class dtype:
    """A data type. The ten instances below are the only ones; compare them with ``is`` or ``==``.

    >>> import lucidlite
    >>> lucidlite.float32, lucidlite.float32.itemsize, lucidlite.int64.is_floating_point
    (torch.float32, 4, False)
    """

    __slots__ = ("category", "is_floating_point", "itemsize", "name", "numpy")

    def __init__(self, name: str) -> None:
        self.name = name
        self.numpy: np.dtype[Any] = np.dtype(name)
        self.itemsize: int = self.numpy.itemsize
        self.is_floating_point: bool = self.numpy.kind == "f"
        # Promotion compares categories first: bool < integer < float.
        self.category: int = {"b": 0, "u": 1, "i": 1, "f": 2}[self.numpy.kind]

    @property
    def is_complex(self) -> bool:
        return False

    @property
    def is_signed(self) -> bool:
        return self.numpy.kind in "if"

    def to_complex(self) -> dtype:
        raise error(TypeError, f"dtype: complex numbers are not supported, got dtype={self}")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name

    def __copy__(self) -> dtype:
        return self

    def __deepcopy__(self, memo: Any) -> dtype:
        return self


float16 = half = dtype("float16")
float32 = float_ = dtype("float32")
float64 = double = dtype("float64")
uint8 = dtype("uint8")
int8 = dtype("int8")
int16 = short = dtype("int16")
int32 = int_ = dtype("int32")
int64 = long = dtype("int64")
bool_ = dtype("bool")

ALL = (float16, float32, float64, uint8, int8, int16, int32, int64, bool_)
_BY_NUMPY: dict[np.dtype[Any], dtype] = {t.numpy: t for t in ALL}
_default = float32


def from_numpy_dtype(numpy_dtype: np.dtype[Any]) -> dtype:
    """The dtype of an array; TypeError for one that tensors cannot have."""
    found = _BY_NUMPY.get(numpy_dtype)
    if found is None:
        found = _BY_NUMPY.get(numpy_dtype.newbyteorder("="))
    if found is None:
        names = ", ".join(t.name for t in ALL)
        raise error(TypeError, f"tensor: array dtype must be one of {names}, got {numpy_dtype}")
    return found


def as_dtype(value: Any, op: str) -> dtype:
    """``value`` as a dtype: ours, or Python's float, int and bool as PyTorch reads them."""
    if isinstance(value, dtype):
        return value
    found = (
        {float: float64, int: int64, bool: bool_}.get(value) if isinstance(value, type) else None
    )
    if found is None:
        raise error(TypeError, f"{op}: dtype must be a lucidlite.dtype, got dtype={value!r}")
    return found


def get_default_dtype() -> dtype:
    """The dtype of float tensors made without one (float32 unless changed)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Make ``d``, a floating-point dtype, the default for new float tensors."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise error(
            TypeError, f"set_default_dtype: only floating-point types are supported, got {d!r}"
        )
    _default = d


def of_scalar(value: bool | int | float) -> dtype:
    """The dtype a Python number has as a tensor."""
    if isinstance(value, bool):
        return bool_
    return int64 if isinstance(value, int) else _default


def promote_types(a: dtype, b: dtype) -> dtype:
    """The dtype both convert to among equals (two dimensioned tensors).

    >>> from lucidlite import dtypes
    >>> dtypes.promote_types(dtypes.int64, dtypes.float16)
    torch.float16
    >>> dtypes.promote_types(dtypes.uint8, dtypes.int8)
    torch.int16
    """
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    return _BY_NUMPY[np.promote_types(a.numpy, b.numpy)]


def result_type_of(operands: Iterable[tuple[dtype, int]]) -> dtype:
    """PyTorch's promotion over (dtype, rank): 2 a dimensioned tensor, 1 a 0-dim one, 0 a number.

    A lower rank counts only where its category (bool < int < float) is the higher one; a number
    or 0-dim tensor that lifts the category brings the default float type (or int64) of its rank.
    """
    best: list[dtype | None] = [None, None, None]
    for kind, rank in operands:
        held = best[rank]
        best[rank] = kind if held is None else promote_types(held, kind)
    result = best[2]
    for lower in (best[1], best[0]):
        if lower is not None and (result is None or lower.category > result.category):
            result = lower
    return result if result is not None else _default


class finfo:
    """Limits of a floating-point dtype (default: the default dtype), as ``torch.finfo``."""

    def __init__(self, type: dtype | None = None) -> None:
        kind = type or _default
        if not kind.is_floating_point:
            raise error(
                TypeError, f"finfo: dtype must be floating point, use iinfo, got dtype={kind}"
            )
        info = np.finfo(kind.numpy)
        self.dtype = kind.name
        self.bits = info.bits
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(info.resolution)


class iinfo:
    """Limits of an integer dtype, as ``torch.iinfo``."""

    def __init__(self, type: dtype) -> None:
        if type.category != 1:
            raise error(TypeError, f"iinfo: dtype must be an integer type, got dtype={type}")
        info = np.iinfo(type.numpy)
        self.dtype = type.name
        self.bits, self.max, self.min = info.bits, int(info.max), int(info.min)
