"""The CPU: NumPy, with the kernels that pay their way there."""

from __future__ import annotations

import contextvars
import functools
import threading
from typing import Any

import numpy as np

from lucidlite.backends.base import Backend, is_conv_layout
from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.numpy_kernels.conv import NumPyConv
from lucidlite.backends.numpy_kernels.elementwise import NumPyElementwise
from lucidlite.backends.numpy_kernels.index import NumPyIndex
from lucidlite.backends.numpy_kernels.layout import contiguous_image, row_major
from lucidlite.backends.numpy_kernels.loss import NumPyLoss
from lucidlite.backends.numpy_kernels.matmul import NumPyMatmul
from lucidlite.backends.numpy_kernels.norm import NumPyNorm
from lucidlite.backends.numpy_kernels.optim import NumPyOptim
from lucidlite.backends.numpy_kernels.pool import NumPyPool
from lucidlite.backends.numpy_kernels.recurrent import NumPyRecurrent
from lucidlite.backends.numpy_kernels.reduce import NumPyReduce
from lucidlite.backends.numpy_kernels.scan import NumPyScan
from lucidlite.backends.numpy_kernels.special import NumPySpecial
from lucidlite.blas import blas
from lucidlite.device import Device
from lucidlite.threads import get_num_threads

# NumPy 2.1 made "only without a copy" an argument of reshape.
_RESHAPE_COPY = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


class _Quiet(threading.local):
    """A context in which NumPy doesn't warn; entering it is cheaper than ``np.errstate``."""

    def __init__(self) -> None:
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


_quiet = _Quiet()


class _Functions(dict[str, Any]):
    """NumPy's functions by name; a look-up here is cheaper than in the module."""

    def __missing__(self, name: str) -> Any:
        self[name] = function = getattr(np, name)
        return function


_functions = _Functions()

# Elements below which the way to NumPy is all that counts.
_SMALL = 4096


class NumPyBackend(
    NumPyConv,
    NumPyPool,
    NumPyMatmul,
    NumPyNorm,
    NumPyLoss,
    NumPyIndex,
    NumPyOptim,
    NumPyReduce,
    NumPyScan,
    NumPySpecial,
    NumPyRecurrent,
    NumPyElementwise,
    Backend,
):
    """NumPy on the host."""

    xp = np

    def __init__(self) -> None:
        self.device = Device("cpu")

    def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array:
        first, last = arrays[0], arrays[-1]
        if first.size < _SMALL > last.size and first.ndim != 4 != last.ndim and out is None:
            result = _quiet.run(_functions[name], *arrays)
            return result if result.ndim else np.asarray(result)
        return super().map(name, *arrays, out=out)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Array:
        return _quiet.run(_functions[name], *args, **kwargs)

    def cast(self, array: Array, dtype: np.dtype[Any]) -> Array:
        return _quiet.run(array.astype, dtype)

    def try_view(self, array: Array, shape: tuple[int, ...]) -> Array | None:
        if array.flags.c_contiguous:
            return array.reshape(shape)
        if not _RESHAPE_COPY:
            return super().try_view(array, shape)
        try:
            return array.reshape(shape, copy=False)
        except ValueError:
            return None

    def to_conv_layout(self, array: Array) -> Array:
        return nchw(contiguous_image(hwnc(array)))

    def copy_like(self, array: Array, like: Array) -> Array:
        if like.ndim != 4 or like.flags.c_contiguous or not is_conv_layout(like):
            return self.copy(array)
        image = hwnc(array)
        return nchw(image.copy() if image.flags.c_contiguous else contiguous_image(image))

    def copy(self, array: Array) -> Array:
        turned = row_major(array) if array.ndim == 4 else None
        return super().copy(array) if turned is None else turned

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        return array  # type: ignore[no-any-return]


def _kernel(function: Any) -> Any:
    """A kernel that doesn't warn of overflow or NaN, as PyTorch's don't.

    BLAS runs one thread in it, whatever the number of ours: with another it gives other bits. Where
    ours are several it is told so by the kernels, for good; where there is one, for their length.
    """
    quiet = np.errstate(all="ignore")(function)

    @functools.wraps(function)
    def kernel(*args: Any, **kwargs: Any) -> Any:
        if get_num_threads() > 1:
            return quiet(*args, **kwargs)
        with blas:
            return quiet(*args, **kwargs)

    return kernel


for _family in Backend.__mro__[1:-1]:
    for _name in vars(_family):
        if not _name.startswith("_") and callable(getattr(_family, _name)):
            setattr(NumPyBackend, _name, _kernel(getattr(NumPyBackend, _name)))
