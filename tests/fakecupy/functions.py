"""The functions of the stand-in, collected in NAMES (some would hide Python's own here)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from fakecupy.api import ATOMIC, FUNCTIONS, SHARED, UFUNCS
from fakecupy.device_array import counts, ndarray, unwrap, wrap

_VIEWS = {"broadcast_to", "diagonal", "expand_dims", "flip", "moveaxis", "ravel", "reshape",
          "split", "squeeze", "swapaxes", "transpose"}  # fmt: skip


class ufunc:
    """An elementwise function: device arrays and scalars only, the result in C order."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self._numpy = getattr(np, name)

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: Any = None) -> Any:
        for each in args:
            if isinstance(each, (list, tuple)):
                raise TypeError(f"Unsupported type {type(each)}")
        named = {} if dtype is None else {"dtype": dtype}
        if casting is not None:
            named["casting"] = casting
        if out is not None:
            named["out"] = unwrap(out)
        with np.errstate(all="ignore"):
            result = self._numpy(*[unwrap(each) for each in args], **named)
        return wrap(result) if out is None else out

    def at(self, array: Any, key: Any, values: Any) -> None:
        if self.__name__ not in ("add", "subtract", "maximum", "minimum"):
            raise NotImplementedError(f"`{self.__name__}.at` is not supported")
        if array.dtype.name not in ATOMIC:
            raise TypeError(f"{self.__name__}.at: unsupported dtype {array.dtype}")
        self._numpy.at(array._host, array._key(key)[0], unwrap(values))


def _function(name: str, words: str) -> Any:
    names = words.split()
    anything = any(word.startswith("**") for word in names)

    def function(*args: Any, **kwargs: Any) -> Any:
        for key in kwargs:
            if key not in names and not anything:
                raise TypeError(f"{name}() got an unexpected keyword argument {key!r}")
        if len(args) > len(names) and not names[0].startswith("*"):
            raise TypeError(f"{name}() takes {len(names)} positional arguments")
        out = kwargs.get("out")
        named = {key: unwrap(value) for key, value in kwargs.items()}
        with np.errstate(all="ignore"):
            result = getattr(np, name)(*[unwrap(each) for each in args], **named)
        return wrap(result, name in _VIEWS) if out is None else out

    function.__name__ = name
    return function


def array(obj: Any, dtype: Any = None, copy: Any = True, order: str = "K", subok: bool = False,
          ndmin: int = 0, *, blocking: bool = False) -> ndarray:  # fmt: skip
    """To the device, or a copy there; what comes from the host is in C (or F) order."""
    del subok, ndmin, blocking
    if isinstance(obj, ndarray):
        if not copy and (dtype is None or obj.dtype == np.dtype(dtype)):
            kept = {"C": obj.flags.c_contiguous, "F": obj.flags.f_contiguous}
            if kept.get(order, True):
                return obj
        with np.errstate(all="ignore"):
            return ndarray(np.array(obj._host, dtype=dtype, copy=True, order=order))
    if isinstance(obj, (list, tuple)) and any(isinstance(each, ndarray) for each in obj):
        return wrap(np.array([unwrap(each) for each in obj], dtype=dtype))
    counts["h2d"] += 1
    host = np.array(obj, dtype=dtype, copy=True)
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    return ndarray(host if host.flags.f_contiguous else np.array(host, order="C"))


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None,
            blocking: bool = False) -> ndarray:  # fmt: skip
    del blocking
    return array(a, dtype, bool(copy), order or "K")


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return array(a, dtype, False, "C")


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *,
            blocking: bool = True) -> np.ndarray:  # fmt: skip
    del stream, out, blocking
    return a.get(order=order) if isinstance(a, ndarray) else np.asarray(a)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Memory that nobody should read: NaN, or the largest unsigned number."""
    host = np.empty(shape, dtype, order)
    host.fill(np.nan if host.dtype.kind == "f" else 1 if host.dtype.kind == "b" else 113)
    return ndarray(host)


def empty_like(prototype: ndarray, dtype: Any = None, order: str = "K", subok: Any = None,
               shape: Any = None) -> ndarray:  # fmt: skip
    del subok
    host = np.empty_like(prototype._host, dtype, order, shape=shape)
    host[...] = empty((), host.dtype)._host
    return ndarray(host)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return condition.nonzero()
    return wrap(np.where(condition.astype(bool)._host, unwrap(x), unwrap(y)))


def argsort(a: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return wrap(np.argsort(a._host, axis=axis, kind="stable"))  # type: ignore[no-any-return]


def is_available() -> bool:
    return True


class Device:
    def __init__(self, device: int = 0) -> None:
        self.id = device

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def use(self) -> Device:
        return self

    def synchronize(self) -> None:
        counts["sync"] += 1


def _synchronize() -> None:
    counts["sync"] += 1


def get_default_memory_pool() -> Any:
    return SimpleNamespace(free_all_blocks=lambda: None, used_bytes=lambda: 0)


cuda = SimpleNamespace(
    Device=Device,
    is_available=lambda: True,
    runtime=SimpleNamespace(
        getDeviceCount=lambda: 1, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000
    ),
    Stream=SimpleNamespace(null=SimpleNamespace(synchronize=_synchronize)),
    get_current_stream=lambda: SimpleNamespace(ptr=0, synchronize=_synchronize),
)


def _as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    return ndarray(np.lib.stride_tricks.as_strided(x._host, shape, strides))


lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_as_strided))

NAMES: dict[str, Any] = {
    **{name: getattr(np, name) for name in SHARED},
    **{name: ufunc(name) for name in UFUNCS},
    **{name: _function(name, words) for name, words in FUNCTIONS.items()},
    **{f.__name__: f for f in (array, asarray, ascontiguousarray, asnumpy, empty, empty_like, where,
                               argsort, is_available, get_default_memory_pool)},
    "cuda": cuda, "lib": lib, "ndarray": ndarray, "ufunc": ufunc, "counts": counts,
}  # fmt: skip
