"""ndarray: an array that only says what a CuPy array says. Its values are NumPy's, out of sight."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fakecupy import memory, pinned, races
from fakecupy.device import Device
from fakecupy.machine import count, here, machine
from fakecupy.streams import current_capture, get_current_stream, issue, synchronous

SCALARS = (bool, int, float, complex, np.generic, type(None), str, slice, type(...), np.dtype, type)


def unwrap(value: Any) -> Any:
    """The host array of a device array; scalars as they are; anything else is refused."""
    if isinstance(value, ndarray):
        if value._pointer.device_id != here.device and not machine.peers:
            raise ValueError(
                "Array device must be same as the current device: array device = "
                f"{value._pointer.device_id} while current = {here.device}"
            )
        if machine.races:
            races.used(value._pointer.mem, get_current_stream(), writes=False)
        return value._host
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(each) for each in value)
    raise TypeError(f"Unsupported type {type(value)}")


def made(host: np.ndarray, pointer: Any) -> ndarray:
    """The device array over memory that is the device's already."""
    array = object.__new__(ndarray)
    array._host, array._pointer = host, pointer
    return array


def room(shape: Any, dtype: Any, strides: Any = None) -> ndarray:
    """A device array in fresh memory."""
    like = np.empty(0, dtype)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    size = int(np.prod(shape, dtype=np.int64))
    pointer = memory.alloc(size * like.itemsize)
    if not size:
        return made(np.empty(shape, like.dtype), pointer)
    host = np.ndarray(shape, like.dtype, pointer.mem.bytes, pointer.ptr - pointer.mem.ptr, strides)
    return made(host, pointer)


def placed(result: np.ndarray, keep: bool = False) -> ndarray:
    """A host array in device memory, in C order, or ``keep`` its own."""
    strides = np.empty_like(result).strides if keep else None
    array = room(result.shape, result.dtype, strides)
    array._host[...] = result
    return array


def spoil(host: np.ndarray) -> None:
    """What memory holds that nobody has written: NaN, or an unlikely number."""
    host.fill(np.nan if host.dtype.kind in "fc" else 1 if host.dtype.kind == "b" else 113)


def produce(compute: Callable[[], Any], kernels: int = 1, keep: bool = False) -> Any:
    """The results of kernels as device arrays: now, or at each launch of the captured graph."""
    with np.errstate(all="ignore"):
        results = compute()
    outs = _map(lambda result: placed(np.asarray(result), keep), results)
    if current_capture() is None:
        issue(_nothing, kernels)
        return outs
    _map(lambda out: spoil(out._host), outs)
    hosts = _map(lambda out: out._host, outs)

    def again() -> None:
        with np.errstate(all="ignore"):
            _pairs(hosts, compute())

    issue(again, kernels)
    return outs


def write(target: np.ndarray, compute: Callable[[], Any], kernels: int = 1) -> None:
    """Kernels that write where there is an array already."""

    def run() -> None:
        with np.errstate(all="ignore"):
            target[...] = compute()

    issue(run, kernels)


def _nothing() -> None:
    pass


def _map(function: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_map(function, each) for each in value)
    return function(value)


def _pairs(hosts: Any, results: Any) -> None:
    if isinstance(hosts, (tuple, list)):
        for host, result in zip(hosts, results, strict=True):
            _pairs(host, result)
    else:
        hosts[...] = results


def viewed(source: ndarray, look: Callable[[np.ndarray], Any]) -> Any:
    """What ``look`` makes of an array: views without a kernel, copies with one."""

    def one(result: np.ndarray) -> Any:
        if not result.size or np.may_share_memory(result, source._host):
            return made(result, source._pointer)
        return None

    views = _map(one, look(source._host))
    if views is None or (isinstance(views, (tuple, list)) and None in [*map(_is_none, views)]):
        return produce(lambda: look(unwrap(source)))
    return views


def _is_none(value: Any) -> Any:
    return None if value is None else 0


class Flags:
    """Of an array's flags, those CuPy has."""

    def __init__(self, host: np.ndarray) -> None:
        self.c_contiguous = bool(host.flags.c_contiguous)
        self.f_contiguous = bool(host.flags.f_contiguous)
        self.forc = self.fnc = False
        self.owndata = host.base is None


# NumPy 2.1 made "only without a copy" an argument of reshape.
RESHAPE_COPY = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


class ndarray:
    """A device array. NumPy gets nothing from it but by ``get()``.

    Stricter than CuPy in one thing: NumPy's own functions, which CuPy answers, are refused, so that
    a stray ``np.`` shows.
    """

    __slots__ = ("__weakref__", "_host", "_pointer")
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100
    _host: np.ndarray
    _pointer: Any

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None,
                 order: str = "C") -> None:  # fmt: skip
        if isinstance(shape, np.ndarray):
            raise TypeError(f"Unsupported type {type(shape)}")
        like = np.empty(shape, dtype, order)
        if memptr is None:
            out = room(like.shape, like.dtype, strides or like.strides)
            self._host, self._pointer = out._host, out._pointer
            spoil(self._host)
            return
        offset = memptr.ptr - memptr.mem.ptr
        self._host = np.ndarray(like.shape, like.dtype, memptr.mem.bytes, offset,
                                strides or like.strides)  # fmt: skip
        self._pointer = memptr

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
            hosts = [unwrap(each) for each in inputs]
            return produce(lambda: ufunc(*hosts, **kwargs))
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
    device = property(lambda self: Device(self._pointer.device_id))
    T = property(lambda self: made(self._host.T, self._pointer))

    @property
    def data(self) -> Any:
        if not self._pointer.mem.ptr:
            return self._pointer
        offset = self._host.__array_interface__["data"][0] - self._pointer.mem.ptr
        return memory.MemoryPointer(self._pointer.mem, offset)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, shape: tuple[int, ...]) -> None:
        seen = self._host.view()
        try:  # without a copy even to look: strides may lead out of the memory there is
            if RESHAPE_COPY:
                seen = seen.reshape(shape, copy=False)
            else:
                seen.shape = shape
        except (AttributeError, ValueError):
            raise AttributeError("incompatible shape for a non-contiguous array") from None
        self._host = seen

    # -- from and to the host ----------------------------------------------------------------------

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Values from the host; in pinned memory they must stay until the copy has ended."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        stream = stream or get_current_stream()
        host = self._host
        if not self.size:
            return
        races.used(self._pointer.mem, stream, writes=True)
        if stream._capture is not None:
            if not pinned.is_pinned(arr):
                synchronous("h2d")
            count("h2d")
            stream._capture.add(stream, lambda: host.__setitem__(..., arr))
            return
        count("h2d")
        host[...] = arr
        if pinned.is_pinned(arr):
            stream._pending.append(pinned.unchanged(arr, arr.copy()))

    def get(self, stream: Any = None, order: str = "C", out: Any = None,
            blocking: bool = True) -> np.ndarray:  # fmt: skip
        if out is not None:
            if not isinstance(out, np.ndarray):
                raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
            if self.dtype != out.dtype:
                raise TypeError(f"{self.dtype} array cannot be obtained to {out.dtype} array")
            if self.shape != out.shape:
                raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual shape: "
                                 f"{out.shape}")  # fmt: skip
        else:
            out = np.empty(self.shape, self.dtype, "F" if order == "F" else "C")
        if self.size and not (self._host.flags.c_contiguous or self._host.flags.f_contiguous):
            count("launch")  # made contiguous first
        if blocking or not pinned.is_pinned(out):
            with stream or get_current_stream():
                synchronous("d2h")
            out[...] = self._host
            return out  # type: ignore[no-any-return]
        count("d2h")
        values, later = self._host.copy(), stream or get_current_stream()
        if later._capture is not None:
            later._capture.add(later, lambda: out.__setitem__(..., self._host))
            return out  # type: ignore[no-any-return]
        spoil(out)
        later._pending.append(lambda: out.__setitem__(..., values))
        return out  # type: ignore[no-any-return]

    def _value(self) -> np.ndarray:
        synchronous()
        return self._host

    def item(self) -> Any:
        return self._value().item()

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
