"""What an ndarray can do: elements, methods, operators. Importing this gives them to the class."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fakecupy.api import ARITHMETIC, COMPARISONS, METHODS, PARAMETERS, VIEWS
from fakecupy.device_array import made, ndarray, produce, unwrap, viewed, write
from fakecupy.errors import StandInError
from fakecupy.streams import current_capture, synchronous

CUBLAS = "calling cuBLAS API during stream capture is currently unsupported"


def without_cublas(*values: Any) -> None:
    """What CuPy says where a graph is captured: products of floating-point numbers are cuBLAS's."""
    if current_capture() is not None and any(getattr(v, "dtype", np.dtype(int)).kind in "fc"
                                             for v in values):  # fmt: skip
        raise NotImplementedError(CUBLAS)


def key_of(array: ndarray, key: Any) -> tuple[tuple[Any, ...], bool]:
    """A key for NumPy, and whether it makes a view. Integers out of range wrap around."""
    items = key if isinstance(key, tuple) else (key,)
    counted = [i for i in items if i is not None and i is not ...]
    used = sum(i.ndim if is_mask(i) else 1 for i in counted)
    out: list[Any] = []
    axis, basic = 0, True
    for item in items:
        if item is None:
            out.append(item)
            continue
        if item is ...:
            out.append(item)
            axis += array.ndim - used
            continue
        if isinstance(item, np.ndarray):
            raise TypeError("an index is a NumPy array: move it to the device first")
        if isinstance(item, ndarray):
            basic = False
            host = unwrap(item)
            if is_mask(item):
                synchronous()
                out.append(host)
                axis += item.ndim
                continue
            size = array._host.shape[axis]
            out.append(host % size if size else host)
        else:
            basic = basic and not isinstance(item, (list, bool))
            out.append(item)
        axis += 1
    if basic and not any(item is ... for item in out):
        out.append(...)  # keeps NumPy from copying one element out
    return tuple(out), basic


def is_mask(item: Any) -> bool:
    return isinstance(item, ndarray) and item.dtype == bool


def _getitem(self: ndarray, key: Any) -> Any:
    found, basic = key_of(self, key)
    if basic:
        return made(self._host[found], self._pointer)
    host = unwrap(self)
    return produce(lambda: host[key_of(self, key)[0]])


def _setitem(self: ndarray, key: Any, value: Any) -> None:
    found, basic = key_of(self, key)
    if isinstance(value, (list, tuple)):
        raise TypeError(f"Unsupported type {type(value)}")
    items = key if isinstance(key, tuple) else (key,)
    several = getattr(value, "size", 1) > 1  # one number for all is the same in any order
    masked = any(is_mask(each) for each in items)
    if several and not basic and not masked and current_capture() is None:
        times = np.zeros(self._host.shape, np.int64)
        np.add.at(times, found, 1)
        if (times > 1).any():
            raise StandInError("duplicate indices: which value stays is undefined on a GPU")
    target, given = unwrap(self), unwrap(value)
    if basic:
        write(target[found], lambda: given)
        return

    def run() -> Any:
        target[key_of(self, key)[0]] = given
        return target

    write(target, run)


def _astype(self: ndarray, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None,
            copy: bool = True) -> ndarray:  # fmt: skip
    del casting, subok
    if not copy and self._host.dtype == np.dtype(dtype):
        return self
    host = unwrap(self)
    return produce(lambda: host.astype(dtype, order=order), keep=True)  # type: ignore[no-any-return]


def _copy(self: ndarray, order: str = "C") -> ndarray:
    host = self._host  # may be another device's
    return produce(lambda: host.copy(order=order), keep=True)  # type: ignore[no-any-return]


def _fill(self: ndarray, value: Any) -> None:
    given = unwrap(value)
    write(unwrap(self), lambda: given)


def _nonzero(self: ndarray) -> Any:
    synchronous()
    host = unwrap(self)
    return produce(lambda: host.nonzero())


def _sort(self: ndarray, axis: int = -1, kind: Any = None) -> None:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    host = unwrap(self)
    write(host, lambda: np.sort(host, axis=axis, kind="stable"))


class Capsule:
    """What crosses from library to library: it is opened once."""

    def __init__(self, array: ndarray) -> None:
        self.array: ndarray | None = array

    def open(self) -> ndarray:
        array, self.array = self.array, None
        if array is None:
            raise ValueError("a DLPack capsule is consumed once")
        return made(array._host, array._pointer)


def _dlpack(self: ndarray, stream: Any = None, *, max_version: Any = None, dl_device: Any = None,
            copy: Any = None) -> Capsule:  # fmt: skip
    del stream, max_version, dl_device, copy
    return Capsule(self)


def _dlpack_device(self: ndarray) -> tuple[int, int]:
    return 2, self._pointer.device_id


for _name, _function in {
    "__dlpack__": _dlpack, "__dlpack_device__": _dlpack_device, "__getitem__": _getitem,
    "__setitem__": _setitem, "astype": _astype, "copy": _copy, "fill": _fill, "nonzero": _nonzero,
    "sort": _sort,
}.items():  # fmt: skip
    setattr(ndarray, _name, _function)


def checked(name: str, words: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """TypeError for arguments that CuPy doesn't take."""
    names = words.split()
    several = any(word.startswith("*") for word in names)
    for key in kwargs:
        if key not in names and not any(word.startswith("**") for word in names):
            raise TypeError(f"{name}() got an unexpected keyword argument {key!r}")
    if several:
        return
    if len(args) > len(names):
        raise TypeError(f"{name}() takes {len(names)} positional arguments")
    twice = set(names[: len(args)]) & set(kwargs)
    if twice:
        raise TypeError(f"{name}() got multiple values for argument {min(twice)!r}")


def _method(name: str) -> Any:
    def method(self: ndarray, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        checked(name, PARAMETERS[name], args, kwargs)
        if name in ("argmax", "argmin") and len(args) > 1:
            raise TypeError(f"{name}: CuPy and NumPy disagree on the second argument; name it")
        if name == "dot":
            without_cublas(self, *args)
        host, values = unwrap(self), [unwrap(a) for a in args]
        named = {key: unwrap(value) for key, value in kwargs.items()}
        if out is not None:
            write(unwrap(out), lambda: getattr(host, name)(*values, **named))
            return out
        return produce(lambda: getattr(host, name)(*values, **named))

    method.__name__ = name
    return method


def _view(name: str) -> Any:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        checked(name, PARAMETERS[name], args, kwargs)
        values = [unwrap(a) for a in args]
        return viewed(self, lambda host: getattr(host, name)(*values, **kwargs))

    method.__name__ = name
    return method


def _binary(name: str) -> tuple[Any, Any, Any]:
    function = getattr(operator, f"__{name}__")

    def operand(one: Any, other: Any) -> Any:
        if isinstance(other, (list, tuple)):
            raise TypeError(f"Unsupported type {type(other)}")
        if name == "matmul":
            without_cublas(one, other)
        return unwrap(other)

    def left(self: ndarray, other: Any) -> Any:
        mine, given = unwrap(self), operand(self, other)
        return produce(lambda: function(mine, given))

    def right(self: ndarray, other: Any) -> Any:
        mine, given = unwrap(self), operand(self, other)
        return produce(lambda: function(given, mine))

    def inplace(self: ndarray, other: Any) -> ndarray:
        mine, given = unwrap(self), operand(self, other)

        def run() -> Any:
            return getattr(operator, f"__i{name}__")(mine, given)

        write(mine, run)
        return self

    return left, right, inplace


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))
for _name in VIEWS:
    setattr(ndarray, _name, _view(_name))
ndarray.diagonal = _view("diagonal")  # type: ignore[attr-defined]
for _name in ARITHMETIC:
    _left, _right, _inplace = _binary(_name)
    setattr(ndarray, f"__{_name}__", _left)
    setattr(ndarray, f"__r{_name}__", _right)
    setattr(ndarray, f"__i{_name}__", _inplace)
for _name in COMPARISONS:
    setattr(ndarray, f"__{_name}__", _binary(_name)[0])


def _unary(function: Any) -> Any:
    def method(self: ndarray) -> Any:
        host = unwrap(self)
        return produce(lambda: function(host))

    return method


for _name, _ufunc in {"neg": np.negative, "abs": np.absolute, "invert": np.invert}.items():
    setattr(ndarray, f"__{_name}__", _unary(_ufunc))
