"""Weights in the safetensors format, through its own package: flat dicts of tensors, no more."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.creation import from_numpy
from lucidlite.device import Device
from lucidlite.formats.refused import Refused
from lucidlite.formats.structure import describe, place, placed
from lucidlite.formats.torch_zip import truths, widened
from lucidlite.tensor import Tensor

SUFFIX = ".safetensors"
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "i1", "U8": "u1", "BOOL": "?", "BF16": "<u2",
}  # fmt: skip
_METADATA = "__metadata__"
# The format has no checksum. Ours is in its metadata, where other readers leave it alone.
_CHECKSUM = "lucidlite.crc32"
_Named = Iterable[tuple[str, np.ndarray]]


def to_safetensors(tensors: Any) -> bytes:
    """A dict of tensors by name as the content of a file."""
    save_bytes = _package("save").numpy.save
    arrays = {name: _host(tensor) for name, tensor in _checked(tensors).items()}
    # Sorted by name, and the two entries of the metadata in one order: equal contents, equal bytes.
    arrays = dict(sorted(arrays.items()))
    metadata = {"format": "pt", _CHECKSUM: _checksum(arrays.items())}
    content: bytes = save_bytes(arrays, metadata=metadata)
    found = _metadata_text(dict(reversed(metadata.items())))
    if content.startswith(found, 8):
        content = content[:8] + _metadata_text(metadata) + content[8 + len(found) :]
    return content


def looks_like_safetensors(start: bytes, length: int) -> bool:
    """Whether a file of this length that begins with these 9 bytes may be one."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= length - 8


def read_safetensors(content: bytes, device: Device | None) -> dict[str, Tensor]:
    """The tensors by name, in the order of the file; bfloat16 becomes float32, which is exact."""
    package = _package("load")
    found = dict(package.deserialize(content))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    del content
    arrays = {name: _array(name, found.pop(name)) for name in header if name != _METADATA}
    expected = (header.get(_METADATA) or {}).get(_CHECKSUM)
    if expected is not None and expected != _checksum(sorted(arrays.items())):
        raise Refused(
            "it is damaged, or was changed by a program that kept the checksum of what was in it "
            f"(in that case, remove {_CHECKSUM!r} from its metadata)"
        )
    return {name: placed(_tensor(array), device or "cpu") for name, array in arrays.items()}


def _package(op: str) -> Any:
    try:
        import safetensors.numpy
    except ImportError as problem:
        raise error(
            ImportError,
            f"{op}: files that end in {SUFFIX} need the safetensors package: "
            "pip install 'lucidlite[safetensors]'",
        ) from problem
    return safetensors


def _checked(obj: Any) -> Mapping[str, Any]:
    rule = f"save: a {SUFFIX} file holds one dict of tensors by name"
    if not isinstance(obj, dict):
        raise error(TypeError, f"{rule}, got {describe(obj)} at obj")
    for name, value in obj.items():
        if type(name) is not str or name == _METADATA or not _is_text(name):
            raise error(TypeError, f"{rule}, got the key {name!r} in obj")
        if not isinstance(value, Tensor):
            raise error(
                TypeError,
                f"{rule} (.npz files hold other things, too), got {describe(value)} at "
                f"{place((name,))}",
            )
    return obj


def _is_text(name: str) -> bool:
    """Whether text can be written: half of a character can't."""
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)


def _host(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.backend.to_numpy(tensor.array), order="C")


def _metadata_text(metadata: dict[str, str]) -> bytes:
    text = json.dumps(metadata, separators=(",", ":"))
    return f'{{"{_METADATA}":{text}'.encode()


def _checksum(arrays: _Named) -> str:
    """Over the names, shapes, dtypes and values, in the order given."""
    total = 0
    for name, array in arrays:
        little = np.asarray(array, array.dtype.newbyteorder("<"))
        head = json.dumps([name, array.dtype.name, array.shape])
        data = little.reshape(-1).view(np.uint8).data
        total = zlib.crc32(data, zlib.crc32(head.encode(), total))
    return f"{total:08x}"


def _array(name: str, entry: dict[str, Any]) -> np.ndarray:
    """An entry as it is in the file, in native byte order; the bits of a bfloat16."""
    code = _DTYPES.get(entry["dtype"])
    if code is None:
        raise Refused(
            f"its tensor {name!r} is of dtype {entry['dtype']}, which tensors don't have here; "
            "convert it to another and save it again"
        )
    data = entry["data"]
    if not isinstance(data, bytearray):
        data = bytearray(data)
    array: np.ndarray = np.frombuffer(data, code).reshape(entry["shape"])
    if sys.byteorder != "little":
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _tensor(array: np.ndarray) -> Tensor:
    return from_numpy(widened(array) if array.dtype == np.uint16 else truths(array))
