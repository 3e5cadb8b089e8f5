"""save and load: nested containers, numbers, text, arrays and tensors in one file, without pickle.

The structure becomes JSON: numbers, text, None and lists as themselves, everything else as an
object with one key that names its kind. Arrays are numbered and stored beside it.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

from lucidlite.archive import KINDS, ArchiveReader, write_archive
from lucidlite.callsite import error
from lucidlite.creation import from_numpy
from lucidlite.device import Device
from lucidlite.files import atomic_write
from lucidlite.tensor_base import TensorBase

_MAX_DEPTH = 100
_SAFE_INT = 2**53  # beyond it other JSON readers round


def save(obj: Any, path: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write `obj` to a file that `load` reads back; the old file stays until the new one is whole.

    obj: dicts (keys: str, int, float, bool, None), lists, tuples, numbers, str, None, NumPy arrays
    and tensors, nested at will. A Parameter is saved as a tensor that requires grad. Tensors that
    are one object, or see exactly the same memory, are written once and share memory when loaded.
    path: a file name, used as it is, or a binary file open for writing.
    Raises TypeError naming the place of anything else, ValueError for a container inside itself.

    >>> import io, lucidlite
    >>> file = io.BytesIO()
    >>> lucidlite.save({"epoch": 3, "weight": lucidlite.ones(2)}, file)
    >>> lucidlite.load(file)
    {'epoch': 3, 'weight': tensor([1., 1.])}

    Semantics: torch.save, for data only: the file holds no code. Subclasses of dict, list and
    tuple come back as dict, list and tuple.
    """
    encoder = _Encoder()
    content = {"root": encoder.encode(obj, "obj"), "tensors": encoder.tensors}
    if isinstance(path, (str, os.PathLike)):
        with atomic_write(path) as file:
            write_archive(file, content, encoder.host_arrays())
    elif hasattr(path, "write"):
        write_archive(path, content, encoder.host_arrays())
    else:
        raise error(TypeError, f"save: path should be a file name or a file, got {path!r}")


def load(
    path: str | os.PathLike[str] | IO[bytes],
    map_location: str | Device | None = None,
    *,
    weights_only: bool = True,
) -> Any:
    """Read what `save` wrote. No code is ever run, whatever the file holds.

    path: a file name, or a binary file open for reading. map_location: the device for all
    tensors; None returns each to the kind of device it was saved from. weights_only: accepted for
    PyTorch scripts; files hold nothing but data, so both values do the same.
    Raises FileNotFoundError, IsADirectoryError, and RuntimeError that says what is wrong with the
    file: truncated or damaged, not written by `save`, newer, or saved from a missing device.

    >>> import io, lucidlite
    >>> file = io.BytesIO()
    >>> lucidlite.save([1, (2.5, None)], file)
    >>> lucidlite.load(file, map_location="cpu")
    [1, (2.5, None)]

    Semantics: torch.load.
    """
    if map_location is not None and not isinstance(map_location, (str, Device)):
        raise error(
            TypeError,
            "load: map_location should be a device, its name or None, "
            f"got map_location={map_location!r}",
        )
    if not isinstance(weights_only, bool):
        raise error(TypeError, f"load: weights_only should be a bool, got {weights_only!r}")
    device = None if map_location is None else Device(map_location)
    if not isinstance(path, (str, os.PathLike)):
        if not hasattr(path, "read"):
            raise error(TypeError, f"load: path should be a file name or a file, got {path!r}")
        name = str(getattr(path, "name", type(path).__name__))
        file = path if path.seekable() else io.BytesIO(path.read())
        file.seek(0)
        return _Decoder(ArchiveReader(file, name), device).root()
    name = os.fsdecode(path)
    if os.path.isdir(name):
        raise error(IsADirectoryError, f"load: a file name is needed, got folder {name!r}")
    if not os.path.exists(name):
        raise error(FileNotFoundError, f"load: the file must exist, got path={name!r}")
    with open(name, "rb") as file:
        return _Decoder(ArchiveReader(file, name), device).root()


class _Encoder:
    """Turns a structure into JSON values, gathering its tensors and arrays."""

    def __init__(self) -> None:
        self.tensors: list[dict[str, Any]] = []
        # What is being saved stays referenced, so that no id or address is used twice.
        self._sources: list[tuple[Any, Callable[[Any], np.ndarray]]] = []
        self._kept: list[Any] = []
        self._tensor_numbers: dict[int, int] = {}
        self._array_numbers: dict[object, int] = {}
        self._open: set[int] = set()

    def host_arrays(self) -> Iterator[np.ndarray]:
        """Yield the arrays in order, one at a time on the host and in C order."""
        for array, to_numpy in self._sources:
            yield np.asarray(to_numpy(array), order="C")

    def encode(self, obj: Any, place: str) -> Any:
        kind = type(obj)
        if obj is None or kind is bool or kind is str:
            return obj
        if kind is int:
            return obj if abs(obj) < _SAFE_INT else {"int": hex(obj)}
        if kind is float:
            if math.isfinite(obj):
                return obj
            sign = "-" if math.copysign(1.0, obj) < 0 else ""
            return {"float": sign + str(abs(obj))}
        if isinstance(obj, TensorBase):
            return {"tensor": self._tensor(obj)}
        if kind in (np.ndarray, np.memmap) and obj.dtype.kind in KINDS:
            return {"ndarray": self._array(obj, np.asarray)}
        if isinstance(obj, np.generic) and obj.dtype.kind in KINDS:
            # A 0-dim array has memory of its own: nothing to share with.
            return {"numpy_scalar": self._array(np.asarray(obj), np.asarray)}
        if isinstance(obj, (dict, list, tuple)) and not hasattr(obj, "_fields"):
            return self._container(obj, place)
        raise error(TypeError, f"save: {_refusal(obj)}, got {_describe(obj)} at {place}")

    def _container(self, obj: Any, place: str) -> Any:
        if id(obj) in self._open:
            raise error(ValueError, f"save: a container must not hold itself, got one at {place}")
        if len(self._open) >= _MAX_DEPTH:
            raise error(
                ValueError, f"save: containers nest at most {_MAX_DEPTH} deep, got more at {place}"
            )
        self._open.add(id(obj))
        encoded: Any
        if isinstance(obj, dict):
            encoded = {
                "dict": [
                    [self._key(key, place), self.encode(value, f"{place}[{key!r}]")]
                    for key, value in obj.items()
                ]
            }
        else:
            encoded = [self.encode(value, f"{place}[{i}]") for i, value in enumerate(obj)]
            if isinstance(obj, tuple):
                encoded = {"tuple": encoded}
        self._open.discard(id(obj))
        return encoded

    def _key(self, key: Any, place: str) -> Any:
        if key is not None and type(key) not in (str, int, float, bool):
            raise error(
                TypeError,
                "save: dict keys should be str, int, float, bool or None, "
                f"got {_describe(key)} as a key of {place}",
            )
        return self.encode(key, place)

    def _tensor(self, tensor: Any) -> int:
        number = self._tensor_numbers.get(id(tensor))
        if number is None:
            entry: dict[str, Any] = {"array": self._array(tensor.array, tensor.backend.to_numpy)}
            if tensor.requires_grad:
                entry["requires_grad"] = True
            if tensor.device.type != "cpu":
                entry["device"] = tensor.device.type
            number = self._tensor_numbers[id(tensor)] = len(self.tensors)
            self.tensors.append(entry)
            self._kept.append(tensor)
        return number

    def _array(self, array: Any, to_numpy: Callable[[Any], np.ndarray]) -> int:
        key: object = id(array)
        if isinstance(array, np.ndarray):
            key = (array.ctypes.data, array.shape, array.strides, array.dtype.str)
        number = self._array_numbers.get(key)
        if number is None:
            number = self._array_numbers[key] = len(self._sources)
            self._sources.append((array, to_numpy))
        return number


def _describe(obj: Any) -> str:
    kind = type(obj)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    dtype = getattr(obj, "dtype", None)
    return f"type {name}" if dtype is None else f"type {name} of dtype {dtype}"


def _refusal(obj: Any) -> str:
    """Return the rule that `obj` breaks, with the way out where there is one."""
    if hasattr(obj, "state_dict"):
        return "only data can be saved, so save what its state_dict() returns"
    if hasattr(obj, "_fields"):
        return "a named tuple would lose its names, so save its _asdict()"
    return "only dicts, lists, tuples, numbers, str, None, arrays and tensors can be saved"


class _Decoder:
    """Rebuilds the structure; anything the encoder would not have written is an error."""

    def __init__(self, archive: ArchiveReader, device: Device | None) -> None:
        self._archive = archive
        self._device = device
        self._arrays: dict[int, np.ndarray] = {}
        self._tensors: dict[int, Any] = {}
        self._first: dict[int, Any] = {}  # array number -> the tensor that others share memory with
        self._entries: Any = None

    def root(self) -> Any:
        content = self._archive.content
        try:
            self._entries = content["tensors"]
            return self._decode(content["root"])
        except (LookupError, TypeError, ValueError, RecursionError) as problem:
            raise self._archive.damaged(problem) from problem

    def _decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, held),) = value.items()
        if kind == "dict":
            return {self._decode(key): self._decode(item) for key, item in held}
        if kind == "tuple":
            return tuple([self._decode(item) for item in held])
        if kind == "int":
            return int(held, 16)
        if kind == "float":
            return float(held)
        if kind == "tensor":
            return self._tensor(held)
        if kind == "ndarray":
            return self._array(held)
        if kind == "numpy_scalar":
            return self._array(held)[()]
        raise ValueError(f"unknown kind {kind!r}")

    def _array(self, number: int) -> np.ndarray:
        array = self._arrays.get(number)
        if array is None:
            array = self._arrays[number] = self._archive.array(number)
        return array

    def _tensor(self, number: int) -> Any:
        tensor = self._tensors.get(number)
        if tensor is None:
            entry = self._entries[number]
            shared = self._first.get(entry["array"])
            if shared is not None:
                tensor = shared.detach()
            else:
                tensor = self._first[entry["array"]] = self._place(entry)
            if entry.get("requires_grad", False):
                if not tensor.dtype.is_floating_point:
                    raise ValueError(f"a gradient for dtype {tensor.dtype}")
                tensor.requires_grad_()
            self._tensors[number] = tensor
        return tensor

    def _place(self, entry: dict[str, Any]) -> Any:
        array = self._array(entry["array"])
        tensor = from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        device = self._device or entry.get("device", "cpu")
        try:
            device = Device(device)
            return tensor if device.type == "cpu" else tensor.to(device)
        except RuntimeError as problem:
            raise self._archive.problem(
                f"its tensors belong on {device}, which is not available here: pass "
                f"map_location='cpu' ({problem})"
            ) from problem
