"""Tensors from other libraries' memory: DLPack, and whatever can be read."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.backends import get_backend
from lucidlite.callsite import error
from lucidlite.creation import as_tensor, from_numpy
from lucidlite.device import Device
from lucidlite.dtypes import from_numpy_dtype
from lucidlite.ops.shape import detach
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor

# DLPack's numbers for where memory is.
_HOST, _CUDA = (1, 3), (2, 13)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares memory with another library's, through its ``__dlpack__`` method.

    It is where the memory is, or on ``device``, which copies; ``copy=True`` always does, and with
    ``copy=False`` a copy that can't be avoided raises ValueError. CuPy imports what is on a GPU.
    A bare capsule is refused: pass the object that makes it.

    >>> import lucidlite, numpy
    >>> array = numpy.zeros(2, numpy.float32)
    >>> lucidlite.from_dlpack(array).fill_(1)
    tensor([1., 1.])
    >>> array
    array([1., 1.], dtype=float32)

    Semantics: torch.from_dlpack.
    """
    if isinstance(ext_tensor, Tensor):
        if ext_tensor.requires_grad:
            raise error(
                BufferError,
                "from_dlpack: can't export tensors that require gradient, use tensor.detach()",
            )
        found = detach(ext_tensor)
    else:
        found = _imported(ext_tensor)
    there = found.device if device is None else Device(device)
    if copy is False and there != found.device:
        raise error(
            ValueError,
            f"from_dlpack: another device needs a copy, got device={there}, copy=False",
        )
    moved = found.to(there)
    return moved.clone() if copy and moved is found else moved


def _imported(source: Any) -> Tensor:
    if not hasattr(source, "__dlpack__") or not hasattr(source, "__dlpack_device__"):
        raise error(
            RuntimeError,
            "from_dlpack: expected an object with __dlpack__ and __dlpack_device__ (a capsule "
            f"alone is not read: pass the object that makes it), got {type(source).__name__}",
        )
    kind, index = (int(number) for number in source.__dlpack_device__())
    if kind in _HOST:
        if isinstance(source, np.ndarray):  # read-only ones, too
            return from_numpy(source)
        return from_numpy(np.from_dlpack(source))
    if kind not in _CUDA:
        raise error(
            RuntimeError,
            "from_dlpack: memory must be the host's or an NVIDIA GPU's, got DLPack device type "
            f"{kind}",
        )
    backend = get_backend(Device("cuda", index))
    array = backend.xp.from_dlpack(source)
    from_numpy_dtype(array.dtype)
    out = wrap(array, backend)
    out.version_cell().leave()
    return out


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """``obj`` as a tensor, over the same memory where it can be unless ``copy``.

    Semantics: torch.asarray.
    """
    shared = hasattr(obj, "__dlpack__")  # tensors and arrays: all that has memory of its own
    foreign = shared and not isinstance(obj, (Tensor, np.ndarray, np.generic))
    found = from_dlpack(obj) if foreign else as_tensor(obj)
    out = as_tensor(found, dtype=dtype, device=device)
    if copy is False and not (shared and out is found):
        raise error(
            ValueError, f"asarray: a copy can't be avoided, got {type(obj).__name__}, copy=False"
        )
    if copy and shared and out is found:
        out = out.clone()
    return out.requires_grad_() if requires_grad and not out.requires_grad else out
