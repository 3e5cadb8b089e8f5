"""ndarray: an array that only says what a CuPy array says. Its values are NumPy's, out of sight."""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any

import numpy as np

from fakecupy.api import ARITHMETIC, COMPARISONS, METHODS, VIEWS

SCALARS = (bool, int, float, complex, np.generic, type(None), str, slice, type(...), np.dtype, type)

# How often arrays went to the device, came back, and how often a value was waited for.
counts = {"h2d": 0, "d2h": 0, "sync": 0}


def unwrap(value: Any) -> Any:
    """The host array of a device array; scalars as they are; anything else is refused."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(each) for each in value)
    raise TypeError(f"Unsupported type {type(value)}")


def wrap(result: Any, views: bool = False) -> Any:
    """NumPy results as device arrays, in C order unless they may be views."""
    if isinstance(result, (np.ndarray, np.generic)):
        array = np.asarray(result)
        return ndarray(array if views else np.array(array, order="C", copy=None))
    if isinstance(result, tuple):
        return tuple(wrap(each, views) for each in result)
    if isinstance(result, list):
        return [wrap(each, views) for each in result]
    return result


class Flags:
    """Of an array's flags, those CuPy has."""

    def __init__(self, host: np.ndarray) -> None:
        self.c_contiguous = bool(host.flags.c_contiguous)
        self.f_contiguous = bool(host.flags.f_contiguous)
        self.owndata = host.base is None


class ndarray:
    """A device array. NumPy gets nothing from it but by ``get()``.

    Stricter than CuPy in one thing: NumPy's own functions, which CuPy answers, are refused, so that
    a stray ``np.`` shows.
    """

    __slots__ = ("_host",)
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, host: np.ndarray) -> None:
        if type(host) is not np.ndarray:
            raise TypeError(f"Unsupported type {type(host)}")
        self._host = host

    # -- what NumPy asks -----------------------------------------------------------------------

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        for each in inputs:
            if isinstance(each, np.ndarray):
                raise TypeError(f"Unsupported type {type(each)}")
        if method == "__call__" and any(isinstance(each, np.generic) for each in inputs):
            # numpy_scalar * array arrives here
            with np.errstate(all="ignore"):
                return wrap(ufunc(*[unwrap(each) for each in inputs], **kwargs))
        raise TypeError(f"numpy.{ufunc.__name__} was called with a device array: use xp")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with a device array: use xp")

    # -- facts -----------------------------------------------------------------------------------

    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host))
    T = property(lambda self: ndarray(self._host.T))
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, shape: tuple[int, ...]) -> None:
        seen = self._host.reshape(shape)
        if seen.size and not np.shares_memory(seen, self._host):
            raise AttributeError("incompatible shape for a non-contiguous array")
        self._host = seen

    # -- to the host -----------------------------------------------------------------------------

    def get(self, stream: Any = None, order: str = "C", out: Any = None) -> np.ndarray:
        del stream, out
        counts["d2h"] += 1
        return self._value().copy(order=order)

    def _value(self) -> np.ndarray:
        counts["sync"] += 1
        return self._host

    def item(self, *args: Any) -> Any:
        return self._value().item(*args)

    def tolist(self) -> Any:
        return self._value().tolist()

    def __float__(self) -> float:
        return float(self._value())

    def __int__(self) -> int:
        return int(self._value())

    def __index__(self) -> int:
        return operator.index(self._value())

    def __bool__(self) -> bool:
        return bool(self._value())

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return repr(self._value())

    # -- elements ----------------------------------------------------------------------------------

    def _key(self, key: Any) -> tuple[tuple[Any, ...], bool]:
        """A key for NumPy, and whether it makes a view. Integers out of range wrap around."""
        items = key if isinstance(key, tuple) else (key,)
        counted = [i for i in items if i is not None and i is not ...]
        used = sum(i.ndim if _is_mask(i) else 1 for i in counted)
        out: list[Any] = []
        axis, basic = 0, True
        for item in items:
            if item is None:
                out.append(item)
                continue
            if item is ...:
                out.append(item)
                axis += self.ndim - used
                continue
            if isinstance(item, np.ndarray):
                raise TypeError("an index is a NumPy array: move it to the device first")
            if isinstance(item, ndarray):
                basic = False
                if _is_mask(item):
                    counts["sync"] += 1
                    out.append(item._host)
                    axis += item.ndim
                    continue
                size = self._host.shape[axis]
                out.append(item._host % size if size else item._host)
            else:
                basic = basic and not isinstance(item, (list, bool))
                out.append(item)
            axis += 1
        if basic and not any(item is ... for item in out):
            out.append(...)  # keeps NumPy from copying one element out
        return tuple(out), basic

    def __getitem__(self, key: Any) -> ndarray:
        found, basic = self._key(key)
        return wrap(self._host[found], views=basic)  # type: ignore[no-any-return]

    def __setitem__(self, key: Any, value: Any) -> None:
        found, basic = self._key(key)
        if isinstance(value, (list, tuple)):
            raise TypeError(f"Unsupported type {type(value)}")
        if not basic and not any(_is_mask(each) for each in _listed(key)):
            times = np.zeros(self._host.shape, np.int64)
            np.add.at(times, found, 1)
            if (times > 1).any():
                raise RuntimeError("duplicate indices: which value stays is undefined on a GPU")
        with np.errstate(all="ignore"):
            self._host[found] = unwrap(value)

    # -- methods -----------------------------------------------------------------------------------

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None,
               copy: bool = True) -> ndarray:  # fmt: skip
        del casting, subok
        if not copy and self._host.dtype == np.dtype(dtype):
            return self
        with np.errstate(all="ignore"):
            return ndarray(self._host.astype(dtype, order=order))

    def copy(self, order: str = "C") -> ndarray:
        return ndarray(self._host.copy(order=order))

    def fill(self, value: Any) -> None:
        self._host.fill(unwrap(value))

    def nonzero(self) -> tuple[ndarray, ...]:
        counts["sync"] += 1
        return wrap(self._host.nonzero())  # type: ignore[no-any-return]

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        self._host.sort(axis=axis, kind="stable" if kind is None else kind)


def _listed(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _is_mask(item: Any) -> bool:
    return isinstance(item, ndarray) and item.dtype == bool


def _method(name: str, views: bool) -> Any:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        named = {key: unwrap(value) for key, value in kwargs.items()}
        with np.errstate(all="ignore"):
            return wrap(getattr(self._host, name)(*[unwrap(a) for a in args], **named), views)

    method.__name__ = name
    return method


def _binary(name: str) -> tuple[Any, Any, Any]:
    function = getattr(operator, f"__{name}__")

    def checked(other: Any) -> Any:
        if isinstance(other, (list, tuple)):
            raise TypeError(f"Unsupported type {type(other)}")
        return unwrap(other)

    def left(self: ndarray, other: Any) -> Any:
        other = checked(other)
        with np.errstate(all="ignore"):
            return wrap(function(self._host, other))

    def right(self: ndarray, other: Any) -> Any:
        other = checked(other)
        with np.errstate(all="ignore"):
            return wrap(function(other, self._host))

    def inplace(self: ndarray, other: Any) -> ndarray:
        other = checked(other)
        with np.errstate(all="ignore"):
            self._host = getattr(operator, f"__i{name}__")(self._host, other)
        return self

    return left, right, inplace


for _name in METHODS:
    setattr(ndarray, _name, _method(_name, views=False))
for _name in VIEWS:
    setattr(ndarray, _name, _method(_name, views=True))
for _name in ARITHMETIC:
    _left, _right, _inplace = _binary(_name)
    setattr(ndarray, f"__{_name}__", _left)
    setattr(ndarray, f"__r{_name}__", _right)
    setattr(ndarray, f"__i{_name}__", _inplace)
for _name in COMPARISONS:
    setattr(ndarray, f"__{_name}__", _binary(_name)[0])
for _name, _function in {"neg": np.negative, "abs": np.absolute, "invert": np.invert}.items():
    setattr(ndarray, f"__{_name}__", lambda self, f=_function: wrap(f(self._host)))
