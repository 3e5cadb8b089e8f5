"""A .npz of NumPy's own: its arrays as tensors."""

from __future__ import annotations

from typing import Any

from lucidlite.creation import from_numpy
from lucidlite.device import Device
from lucidlite.dtypes import ALL
from lucidlite.formats.arrays import read_array
from lucidlite.formats.refused import Refused
from lucidlite.formats.structure import placed
from lucidlite.formats.zips import ZipReader
from lucidlite.tensor import Tensor

_HELD = {kind.numpy for kind in ALL}


def is_plain_npz(entries: ZipReader) -> bool:
    return bool(entries.names) and all(name.endswith(".npy") for name in entries.names)


def read_npz(entries: ZipReader, device: Device | None) -> dict[str, Tensor]:
    """The tensors by name, of any of the dtypes that tensors have; compressed arrays too."""
    found: dict[str, Any] = {}
    for entry in entries.names:
        name = entry.removesuffix(".npy")
        with entries.open(entry, compressed=True) as stream:
            array = read_array(stream, entries.size(entry))
        native = array.dtype.newbyteorder("=")
        if native not in _HELD:
            raise Refused(
                f"its array {name!r} is of dtype {array.dtype}, which tensors don't have; "
                "convert it with NumPy"
            )
        found[name] = placed(from_numpy(array.astype(native, copy=False)), device or "cpu")
    return found
