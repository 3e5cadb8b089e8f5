"""NVIDIA GPUs: CuPy, with our own CUDA kernels where they pay."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from lucidlite.backends.base import Backend
from lucidlite.backends.cupy_kernels.alarms import Alarms
from lucidlite.backends.cupy_kernels.amp import CuPyAmp
from lucidlite.backends.cupy_kernels.conv import CuPyConv
from lucidlite.backends.cupy_kernels.data import CuPyData
from lucidlite.backends.cupy_kernels.index import CuPyIndex
from lucidlite.backends.cupy_kernels.launch import Launcher
from lucidlite.backends.cupy_kernels.loss import CuPyLoss
from lucidlite.backends.cupy_kernels.matmul import CuPyMatmul
from lucidlite.backends.cupy_kernels.memory import install
from lucidlite.backends.cupy_kernels.norm import CuPyNorm
from lucidlite.backends.cupy_kernels.optim import CuPyOptim
from lucidlite.backends.cupy_kernels.pool import CuPyPool
from lucidlite.backends.cupy_kernels.probe import device_index, starting, usable_cupy
from lucidlite.backends.cupy_kernels.random import CuPyRandom
from lucidlite.backends.cupy_kernels.reduce import CuPyReduce
from lucidlite.backends.cupy_kernels.special import CuPySpecial
from lucidlite.backends.kernels import Array
from lucidlite.device import Device

MOST_CONSTANTS = 1024
_ELEMENTWISE = {"clip", "where"}  # what ``call`` is asked for beside reductions and products


class _Current(threading.local):
    """The backend whose device and stream this thread uses."""

    backend: Any = None


_current = _Current()


class CuPyBackend(
    CuPyConv,
    CuPyPool,
    CuPyMatmul,
    CuPyNorm,
    CuPyLoss,
    CuPyIndex,
    CuPyOptim,
    CuPyRandom,
    CuPyAmp,
    CuPyReduce,
    CuPySpecial,
    CuPyData,
    Backend,
):
    """CuPy on one device, in one stream of its own."""

    # Images are (N, H, W, C) in memory.
    order = (0, 2, 3, 1)
    order_back = (0, 3, 1, 2)

    capturing = False  # a CUDA graph is being recorded: cuBLAS is out of reach

    def __init__(self, cupy: Any, device: Device) -> None:
        self._cupy = cupy
        self.device = device
        self._device = cupy.cuda.Device(device.index or 0)
        with self._device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
        self.launch = Launcher(self.enter)
        self.alarms = Alarms(self.enter)
        self._constants: dict[tuple[str, bytes], Array] = {}

    @property
    def xp(self) -> Any:
        """CuPy, with this backend's device and stream made current."""
        return self._cupy if _current.backend is self else self.enter()

    def enter(self) -> Any:
        """Make device and stream this thread's current ones."""
        if _current.backend is not self:
            self._device.use()
            self.stream.use()
            _current.backend = self
        return self._cupy

    def in_conv_layout(self, array: Array) -> bool:
        return bool(array.transpose(self.order).flags.c_contiguous)

    def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array:
        """CuPy's results are in C order whatever the operands': so they are turned before."""
        function = getattr(self.xp, name)
        turned = self._turned(arrays)
        if turned is not None:
            inner = None if out is None else out.transpose(self.order)
            return self.seen(function(*turned, out=inner))
        return self.xp.asarray(function(*arrays) if out is None else function(*arrays, out=out))

    def call(self, name: str, *args: Any, **kwargs: Any) -> Array:
        if name in _ELEMENTWISE and args[0].ndim == 4:
            kind = self._cupy.ndarray  # NumPy's scalars have a number of dims too
            arrays = tuple([a for a in args if isinstance(a, kind)])
            turned = self._turned(arrays)
            if turned is not None:
                each = iter(turned)
                inner = [next(each) if isinstance(a, kind) else a for a in args]
                return self.seen(getattr(self.xp, name)(*inner))
        return getattr(self.xp, name)(*args, **kwargs)

    def _turned(self, arrays: tuple[Array, ...]) -> list[Array] | None:
        """Operands with conv layout's axes, if a whole one of them is in that order only."""
        size = max([a.size for a in arrays])
        if max([a.ndim for a in arrays]) != 4 or not any(
            [
                a.ndim == 4 and a.size == size and not a.flags.c_contiguous
                and self.in_conv_layout(a)
                for a in arrays
            ]
        ):  # fmt: skip
            return None
        whole = [a if a.ndim == 4 else a.reshape((1,) * (4 - a.ndim) + a.shape) for a in arrays]
        return [a.transpose(self.order) for a in whole]

    def constant(self, value: Any, dtype: np.dtype[Any]) -> Array:
        """Kept, so that a number used in every step is copied to the device once."""
        host = np.asarray(value, dtype)
        key = (host.dtype.char, host.tobytes())
        kept = self._constants.get(key)
        if kept is None:
            if len(self._constants) >= MOST_CONSTANTS:
                self._constants.clear()
            kept = self._constants[key] = self.asarray(host)
        return kept

    def alarm(self, kind: type[Exception], message: str) -> int:
        return self.alarms.register(kind, message)

    def check_index(
        self,
        index: Array,
        low: int,
        high: int,
        kind: type[Exception],
        message: str,
        ignore: int | None = None,
    ) -> bool:
        self.look(index, low, high, self.alarm(kind, message), ignore)
        return not index.size

    def check_alarms(self) -> None:
        if not self.capturing:  # nothing ran yet
            self.alarms.check()

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        host = self.xp.asnumpy(array)
        self.check_alarms()
        return host  # type: ignore[no-any-return]

    def synchronize(self) -> None:
        self.enter()
        self.stream.synchronize()
        self.check_alarms()


def make_backend(device: Device) -> CuPyBackend:
    """The backend of a cuda device, or RuntimeError with what is missing."""
    cupy = usable_cupy(device)
    place = Device("cuda", device_index(cupy, device))
    with starting(place):
        install(cupy)
        return CuPyBackend(cupy, place)
