"""Pickles of plain containers and NumPy arrays, read without running anything they name.

A pickle is a program: it may name any function and have it called. Here every name but a handful is
refused, and those few lead to the recorders below, not to NumPy: what a recorder collected is
checked before it becomes an array.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

_KINDS = frozenset("?bBhHiIlLqQefd") | {f"{k}{n}" for k in "iu" for n in (1, 2, 4, 8)}
_TYPES = _KINDS | {"f2", "f4", "f8", "b1"}


class _Dtype:
    """A dtype in the making: a code such as 'u1', then its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_flags: Any) -> None:
        code = _text(code)
        if code not in _TYPES:
            raise pickle.UnpicklingError(f"an array of type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = _text(state[1])
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("a structured array")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array in the making: empty at first, then the state that NumPy pickles."""

    __slots__ = ("array",)

    def __init__(self, *_arguments: Any) -> None:
        self.array: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        shape, dtype, fortran, data = state[-4:]  # a version number may come first
        if isinstance(data, str):
            data = data.encode("latin1")
        self.array = _build(data, dtype, shape, "F" if fortran else "C")


class _Maker:
    """What a permitted name stands for: it can be called, and nothing else."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError("an attempt to change what a name stands for")


def _build(data: Any, dtype: Any, shape: Any, order: str) -> NDArray[Any]:
    if not (isinstance(dtype, _Dtype) and isinstance(data, bytes | bytearray)):
        raise pickle.UnpicklingError("an array without plain data")
    if not (isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)):
        raise pickle.UnpicklingError("an array without a shape")
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise pickle.UnpicklingError(f"an array of shape {shape} with {len(data)} bytes")
    flat: NDArray[Any] = np.frombuffer(bytearray(data), dtype.dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    result = _Array()
    result.array = _build(data, dtype, shape, order)
    return result


def _encode(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes in the old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


def _refuse(*_arguments: Any) -> NoReturn:
    raise pickle.UnpicklingError("a call of numpy.ndarray")


_PERMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _refuse,  # only ever an argument of _reconstruct
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PERMITTED:
            raise pickle.UnpicklingError(f"the name {module}.{name}")
        return _Maker(_PERMITTED[module, name])


def load_dict(data: bytes) -> dict[str, Any]:
    """The dict in a pickle of lists, numbers, text, bytes and NumPy arrays.

    Byte strings of Python 2 become text (latin1), the keys too. Raises ValueError, with what was
    refused, for everything else; nothing that the pickle names is imported or called.
    """
    try:
        value = _Reader(io.BytesIO(data), encoding="latin1").load()
    except pickle.UnpicklingError as problem:
        raise ValueError(f"the pickle holds what is not read here: {problem}") from None
    except (
        EOFError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        ImportError,
        OverflowError,
        MemoryError,
        RecursionError,
        ValueError,
    ) as problem:
        raise ValueError(f"the pickle is damaged: {problem!r}") from None
    if not isinstance(value, dict):
        raise ValueError(f"the pickle must hold a dict, got a {type(value).__name__}")
    return {
        _text(key): item.array if isinstance(item, _Array) else item for key, item in value.items()
    }


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
