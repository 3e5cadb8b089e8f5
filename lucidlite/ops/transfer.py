"""Conversion: another dtype, another device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends import get_backend
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

    Keywords: dtype, device, non_blocking (copies block here), copy (always make a new tensor).

    >>> import lucidlite
    >>> lucidlite.tensor([1, 2]).to(lucidlite.float64)
    tensor([1., 2.], dtype=torch.float64)

    Semantics: torch.Tensor.to.
    """
    device, kind, copy = _destination(*args, **kwargs)
    out = input
    if kind is not None:
        out = to_dtype(out, kind.numpy)
    if device is not None:
        out = to_device(out, device)
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
) -> tuple[Any, Any, bool]:
    del non_blocking  # a copy here is complete when the call returns
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
        rest.pop(0)  # non_blocking
    if rest and isinstance(rest[0], bool):
        copy = rest.pop(0)
    if rest:
        raise error(TypeError, f"to: received an invalid combination of arguments, got {args}")
    return device, None if dtype is None else as_dtype(dtype, "to"), copy


def to_device(input: Tensor, device: str | int | Device) -> Tensor:
    """A tensor on ``device``: itself where it is there already."""
    check_tensor("to", "input", input)
    backend = get_backend(device)
    return input if backend is input.backend else moved(input, backend)


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
