"""The functions of the stand-in, collected in NAMES (some would hide Python's own here)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from fakecupy import cuda_module, memory, pinned
from fakecupy.api import ATOMIC, FUNCTIONS, SHARED, UFUNCS
from fakecupy.array_methods import checked, key_of, without_cublas
from fakecupy.device_array import made, ndarray, placed, produce, room, spoil, unwrap, viewed, write
from fakecupy.machine import count, counted, counts, here, machine, no_sync
from fakecupy.raw import RawKernel, RawModule
from fakecupy.streams import issue, synchronous

_VIEWS = {"broadcast_to", "diagonal", "expand_dims", "flip", "moveaxis", "ravel", "reshape",
          "split", "squeeze", "swapaxes", "transpose"}  # fmt: skip
# Of the others: those that ask the device for the size of their result, those done by cuBLAS, those
# with more than one kernel.
_SYNC = {"bincount", "nonzero", "unique"}
_CUBLAS = {"dot", "einsum", "matmul", "outer", "tensordot"}
_KERNELS = {"array_equal": 2, "allclose": 2, "isclose": 1, "median": 2, "var": 2, "std": 3,
            "pad": 2, "roll": 1, "cumsum": 1, "argsort": 2, "sort": 2, "unique": 4,
            "bincount": 3, "nansum": 1, "take_along_axis": 1}  # fmt: skip


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
        hosts = [unwrap(each) for each in args]
        if out is None:
            return produce(lambda: self._numpy(*hosts, **named))
        target = unwrap(out)

        def run() -> None:
            with np.errstate(all="ignore"):
                self._numpy(*hosts, out=target, **named)

        issue(run)
        return out

    def at(self, array: Any, key: Any, values: Any) -> None:
        if self.__name__ not in ("add", "subtract", "maximum", "minimum"):
            raise NotImplementedError(f"`{self.__name__}.at` is not supported")
        if array.dtype.name not in ATOMIC:
            raise TypeError(f"{self.__name__}.at: unsupported dtype {array.dtype}")
        target, given = unwrap(array), unwrap(values)
        key_of(array, key)
        issue(lambda: self._numpy.at(target, key_of(array, key)[0], given))


def _function(name: str, words: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        checked(name, words, args, kwargs)
        if name in _SYNC:
            synchronous()
        if name in _CUBLAS:
            without_cublas(*args)
        out = kwargs.pop("out", None)
        hosts = [unwrap(each) for each in args]
        named = {key: unwrap(value) for key, value in kwargs.items()}
        if name in _VIEWS and isinstance(args[0], ndarray):
            return viewed(args[0], lambda host: getattr(np, name)(host, *hosts[1:], **named))
        kernels = _KERNELS.get(name, 1)
        if out is None:
            return produce(lambda: getattr(np, name)(*hosts, **named), kernels)
        write(unwrap(out), lambda: getattr(np, name)(*hosts, **named), kernels)
        return out

    function.__name__ = name
    return function


def array(obj: Any, dtype: Any = None, copy: Any = True, order: str = "K", subok: bool = False,
          ndmin: int = 0, *, blocking: bool = False) -> ndarray:  # fmt: skip
    """To the device, or a copy there; what comes from the host is in C (or F) order."""
    del subok, ndmin
    if isinstance(obj, ndarray):
        here_already = obj._pointer.device_id == here.device
        if not copy and here_already and (dtype is None or obj.dtype == np.dtype(dtype)):
            kept = {"C": obj.flags.c_contiguous, "F": obj.flags.f_contiguous}
            if kept.get(order, True):
                return obj
        host = obj._host
        return produce(  # type: ignore[no-any-return]
            lambda: np.array(host, dtype=dtype, copy=True, order=order), keep=True
        )
    if isinstance(obj, (list, tuple)) and any(isinstance(each, ndarray) for each in obj):
        hosts = [unwrap(each) for each in obj]
        return produce(lambda: np.array(hosts, dtype=dtype))  # type: ignore[no-any-return]
    given = np.array(obj, dtype=dtype, copy=True)
    if given.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {given.dtype}")
    synchronous("h2d")
    if blocking:
        count("sync")
    return placed(given, keep=bool(given.flags.f_contiguous))


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None,
            blocking: bool = False) -> ndarray:  # fmt: skip
    return array(a, dtype, bool(copy), order or "K", blocking=blocking)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return array(a, dtype, False, "C")


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *,
            blocking: bool = True) -> np.ndarray:  # fmt: skip
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    host = np.asarray(a, order=order)  # type: ignore[call-overload]
    if out is None:
        return host  # type: ignore[no-any-return]
    out[...] = host
    return out  # type: ignore[no-any-return]


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Memory that nobody should read: NaN, or an unlikely number."""
    like = np.empty(shape, dtype, order)  # type: ignore[call-overload]
    return _spoilt(room(like.shape, like.dtype, like.strides))


def empty_like(prototype: ndarray, dtype: Any = None, order: str = "K", subok: Any = None,
               shape: Any = None) -> ndarray:  # fmt: skip
    del subok
    like = np.empty_like(unwrap(prototype), dtype, order, shape=shape)
    return _spoilt(room(like.shape, like.dtype, like.strides))


def _spoilt(array: ndarray) -> ndarray:
    if array.dtype.kind not in "fc":  # NaN is there already
        spoil(array._host)
    return array


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return condition.nonzero()
    chosen, hosts = unwrap(condition), (unwrap(x), unwrap(y))
    return produce(lambda: np.where(chosen.astype(bool), *hosts))


def argsort(a: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    host = unwrap(a)
    return produce(lambda: np.argsort(host, axis=axis, kind="stable"), 2)  # type: ignore[no-any-return]


def is_available() -> bool:
    return machine.devices > 0


def get_array_module(*args: Any) -> Any:
    import fakecupy

    return fakecupy if any(isinstance(each, ndarray) for each in args) else np


def _as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    return made(np.lib.stride_tricks.as_strided(x._host, shape, strides), x._pointer)


lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_as_strided))
_compute_types: dict[np.dtype, int] = {}
_core = SimpleNamespace(
    set_compute_type=lambda dtype, kind: _compute_types.__setitem__(np.dtype(dtype), kind),
    get_compute_type=lambda dtype: _compute_types.get(np.dtype(dtype), 1),
)


def from_dlpack(array: Any, device: Any = None, copy: Any = None) -> ndarray:
    """The device array over another library's device memory."""
    del device, copy
    if array.__dlpack_device__()[0] != 2:
        raise TypeError("only an array on a GPU is taken over")
    return array.__dlpack__().open()  # type: ignore[no-any-return]


NAMES: dict[str, Any] = {
    **{name: getattr(np, name) for name in SHARED},
    **{name: ufunc(name) for name in UFUNCS},
    **{name: _function(name, words) for name, words in FUNCTIONS.items()},
    **{f.__name__: f for f in (array, asarray, ascontiguousarray, asnumpy, empty, empty_like, where,
                               from_dlpack, argsort, is_available, get_array_module,
                               memory.get_default_memory_pool,
                               pinned.get_default_pinned_memory_pool)},
    "cuda": cuda_module, "lib": lib, "ndarray": ndarray, "ufunc": ufunc, "counts": counts,
    "RawKernel": RawKernel, "RawModule": RawModule, "_core": _core, "machine": machine,
    "no_sync": no_sync, "counted": counted,
}  # fmt: skip
