"""Conversion: another dtype, another device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels.memory import is_pinned as is_pinned_array
from lucidlite.backends.cupy_kernels.probe import find_cupy
from lucidlite.callsite import error
from lucidlite.device import Device
from lucidlite.dtypes import as_dtype
from lucidlite.ops.common import check_tensor, moved, to_copy_vjp, to_dtype
from lucidlite.tape import record
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``to(dtype)``, ``to(device[, dtype])`` or ``to(tensor)``; itself where nothing changes.

    Keywords: dtype, device, non_blocking (a copy from pinned memory to a GPU may be under way still
    when the call returns: leave the source as it is until then), copy (always make a new tensor).

    >>> import lucidlite
    >>> lucidlite.tensor([1, 2]).to(lucidlite.float64)
    tensor([1., 2.], dtype=torch.float64)

    Semantics: torch.Tensor.to.
    """
    device, kind, copy, non_blocking = _destination(*args, **kwargs)
    out = input
    if kind is not None:
        out = to_dtype(out, kind.numpy)
    if device is not None:
        out = to_device(out, device, non_blocking)
    if copy and out is input:
        return record(input.array.copy(order="K"), to_copy_vjp, (input,))
    return out


def _destination(
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> tuple[Any, Any, bool, bool]:
    if memory_format not in (None, "preserve_format"):
        raise error(
            TypeError,
            f"to: memory order is the backend's business, got memory_format={memory_format}",
        )
    rest = list(args)
    if rest and isinstance(rest[0], TensorBase):
        other = rest.pop(0)
        device, dtype = other.device, other.dtype
    elif rest and isinstance(rest[0], (str, int, Device)) and not isinstance(rest[0], bool):
        device = rest.pop(0)
        if rest and not isinstance(rest[0], bool):
            dtype = rest.pop(0)
    elif rest and not isinstance(rest[0], bool):
        dtype = rest.pop(0)
    if rest and isinstance(rest[0], bool):
        non_blocking = rest.pop(0)
    if rest and isinstance(rest[0], bool):
        copy = rest.pop(0)
    if rest:
        raise error(TypeError, f"to: received an invalid combination of arguments, got {args}")
    return device, None if dtype is None else as_dtype(dtype, "to"), copy, bool(non_blocking)


def to_device(
    input: Tensor, device: str | int | Device, non_blocking: bool = False
) -> Tensor:
    """A tensor on ``device``: itself where it is there already."""
    check_tensor("to", "input", input)
    backend = get_backend(device)
    return input if backend is input.backend else moved(input, backend, non_blocking)


def pin_memory(input: Tensor) -> Tensor:
    """The tensor in pinned host memory, from which a GPU copies by itself; itself without a GPU.

    RuntimeError for a tensor on a GPU. Semantics: torch.Tensor.pin_memory (which needs a GPU).
    """
    if input.device.type != "cpu":
        raise error(
            RuntimeError, f"pin_memory: only tensors on the CPU can be pinned, got {input.device}"
        )
    if find_cupy()[0] is None:
        return input
    backend = get_backend("cuda")
    if backend.is_pinned(input.array):
        return input
    pinned = backend.pinned_empty(input.array.shape, input.array.dtype)
    np.copyto(pinned, input.array)
    return record(pinned, to_copy_vjp, (input,), name="pin_memory")


def is_pinned(input: Tensor) -> bool:
    """Whether ``pin_memory`` made the tensor's memory. Semantics: torch.Tensor.is_pinned."""
    return input.device.type == "cpu" and is_pinned_array(input.array)


_TYPES = {
    "float16": "Half", "float32": "Float", "float64": "Double", "uint8": "Byte", "int8": "Char",
    "int16": "Short", "int32": "Int", "int64": "Long", "bool": "Bool",
}  # fmt: skip


def type_name(input: Tensor) -> str:
    """The name PyTorch's tensor classes once had: 'torch.FloatTensor'."""
    place = "cuda." if input.device.type == "cuda" else ""
    return f"torch.{place}{_TYPES[input.dtype.name]}Tensor"


def to_type(input: Tensor, kind: Any) -> Tensor:
    """``to`` a dtype, or to one of those names."""
    for name, printed in _TYPES.items():
        if kind == f"torch.{printed}Tensor":
            return to_dtype(input, np.dtype(name))
    return to(input, as_dtype(kind, "type"))
