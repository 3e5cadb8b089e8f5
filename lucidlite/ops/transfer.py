"""Conversion: another dtype, another device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.backends import get_backend
from lucidlite.callsite import error
from lucidlite.device import Device
from lucidlite.dtypes import as_dtype
from lucidlite.ops.common import check_tensor, moved, to_dtype
from lucidlite.ops.unary import clone
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
    return clone(out) if copy and out is input else out


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
            TypeError, f"to: memory order is the backend's business, got memory_format={memory_format}"
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
