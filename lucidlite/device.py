"""Device: where a tensor lives."""

from __future__ import annotations

import threading
from typing import Any

from lucidlite.callsite import error


class Device:
    """Where a tensor lives: ``device("cpu")``, ``device("cuda")``, ``device("cuda", 1)``.

    In ``with device("cuda"):`` tensors are made there where nothing else is said.

    >>> import lucidlite
    >>> lucidlite.device("cuda:1").type, lucidlite.device("cuda:1").index, lucidlite.device("cpu")
    ('cuda', 1, device(type='cpu'))
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, Device):
            type, index = type.type, type.index if index is None else index
        elif isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        elif isinstance(type, str):
            type, colon, number = type.partition(":")
            if colon:
                if index is not None or not number.isdecimal():
                    raise error(
                        RuntimeError, f"device: invalid device string, got '{type}:{number}'"
                    )
                index = int(number)
        else:
            raise error(TypeError, f"device: type must be a string or an index, got type={type!r}")
        if type not in ("cpu", "cuda"):
            raise error(
                RuntimeError, f"device: expected one of cpu, cuda device type, got {type!r}"
            )
        self.type = type
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Device, (self.type, self.index))

    def __enter__(self) -> Device:
        _defaults.entered = (*_defaults.entered, self)
        return self

    def __exit__(self, *exc: object) -> None:
        _defaults.entered = _defaults.entered[:-1]


class _Defaults(threading.local):
    """Where this thread makes tensors: as the innermost ``with device`` says, else as it chose."""

    entered: tuple[Device, ...] = ()
    chosen: Device | None = None


_defaults = _Defaults()


def default_device() -> Device | None:
    """What stands for ``device=None`` in this thread; None where nobody chose."""
    return _defaults.entered[-1] if _defaults.entered else _defaults.chosen


def set_default_device(device: str | int | Device | None) -> None:
    """Make tensors on ``device`` where none is given, in this thread; None for the CPU again.

    It holds for ``tensor``, ``zeros``, ``arange``, ``randn`` and their like, and so for new layers;
    not for ``from_numpy`` or ``zeros_like``. A missing GPU is reported when a tensor is made there.
    ``with lucidlite.device("cuda"):`` does the same for a block.

    >>> import lucidlite
    >>> before = lucidlite.get_default_device()
    >>> lucidlite.set_default_device("cpu")
    >>> lucidlite.zeros(2).device
    device(type='cpu')
    >>> lucidlite.set_default_device(before)

    Semantics: torch.set_default_device.
    """
    _defaults.chosen = None if device is None else Device(device)
