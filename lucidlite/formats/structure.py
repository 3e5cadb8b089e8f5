"""Structures as JSON and numbered arrays, and back: nested containers, numbers, text and tensors.

Numbers, text, None and lists become themselves, everything else an object with one key that names
its kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.creation import from_numpy
from lucidlite.device import Device
from lucidlite.formats.archive import MANIFEST, ArchiveReader
from lucidlite.formats.arrays import KINDS
from lucidlite.formats.names import EntryNames
from lucidlite.formats.refused import Refused
from lucidlite.tensor_base import TensorBase

_MAX_DEPTH = 100
_SAFE_INT = 2**53  # beyond it other JSON readers round
_HUGE, _FEW = 2**60, 1000
_KEYS = (str, int, float, bool)
Path = tuple[Any, ...]  # the keys that lead to a value


class Encoder:
    """Turns a structure into JSON values, gathering its tensors and arrays."""

    def __init__(self) -> None:
        self._tensors: list[dict[str, Any]] = []
        # What is being saved stays referenced, so that no id or address is used twice.
        self._sources: list[tuple[Any, Callable[[Any], np.ndarray]]] = []
        self._kept: list[Any] = []
        self._tensor_numbers: dict[int, int] = {}
        self._array_numbers: dict[object, int] = {}
        self._open: set[int] = set()
        self._names = EntryNames(MANIFEST)
        self._arrays: list[str] = []

    def content(self, obj: Any) -> dict[str, Any]:
        """The whole as JSON values; ``host_arrays`` has the arrays that it names."""
        root = self._encode(obj, ())
        return {"root": root, "tensors": self._tensors, "arrays": self._arrays}

    def host_arrays(self) -> Iterator[np.ndarray]:
        """Yield the arrays in order, one at a time on the host and in C order."""
        for array, to_numpy in self._sources:
            yield np.asarray(to_numpy(array), order="C")

    def _encode(self, obj: Any, path: Path) -> Any:
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
            return {"tensor": self._tensor(obj, path)}
        if kind in (np.ndarray, np.memmap) and obj.dtype.kind in KINDS:
            return {"ndarray": self._array(obj, np.asarray, path)}
        if isinstance(obj, np.generic) and obj.dtype.kind in KINDS:
            # A 0-dim array has memory of its own: nothing to share with.
            return {"numpy_scalar": self._array(np.asarray(obj), np.asarray, path)}
        if isinstance(obj, (dict, list, tuple)) and not hasattr(obj, "_fields"):
            return self._container(obj, path)
        raise error(TypeError, f"save: {_refusal(obj)}, got {describe(obj)} at {place(path)}")

    def _container(self, obj: Any, path: Path) -> Any:
        if id(obj) in self._open:
            raise error(
                ValueError, f"save: a container must not hold itself, got one at {place(path)}"
            )
        if len(self._open) >= _MAX_DEPTH:
            raise error(
                ValueError,
                f"save: containers nest at most {_MAX_DEPTH} deep, got more at {place(path)}",
            )
        self._open.add(id(obj))
        encoded: Any
        if isinstance(obj, dict):
            encoded = {
                "dict": [
                    [self._key(key, path), self._encode(value, (*path, key))]
                    for key, value in obj.items()
                ]
            }
        else:
            encoded = [self._encode(value, (*path, i)) for i, value in enumerate(obj)]
            if isinstance(obj, tuple):
                encoded = {"tuple": encoded}
        self._open.discard(id(obj))
        return encoded

    def _key(self, key: Any, path: Path) -> Any:
        if key is not None and type(key) not in _KEYS:
            raise error(
                TypeError,
                "save: dict keys should be str, int, float, bool or None, "
                f"got {describe(key)} as a key of {place(path)}",
            )
        return self._encode(key, path)

    def _tensor(self, tensor: Any, path: Path) -> int:
        number = self._tensor_numbers.get(id(tensor))
        if number is None:
            array = self._array(tensor.array, tensor.backend.to_numpy, path)
            entry: dict[str, Any] = {"array": array}
            if tensor.requires_grad:
                entry["requires_grad"] = True
            if tensor.device.type != "cpu":
                entry["device"] = tensor.device.type
            number = self._tensor_numbers[id(tensor)] = len(self._tensors)
            self._tensors.append(entry)
            self._kept.append(tensor)
        return number

    def _array(self, array: Any, to_numpy: Callable[[Any], np.ndarray], path: Path) -> int:
        key: object = id(array)
        if isinstance(array, np.ndarray):
            key = (array.ctypes.data, array.shape, array.strides, array.dtype.str)
        number = self._array_numbers.get(key)
        if number is None:
            number = self._array_numbers[key] = len(self._sources)
            self._sources.append((array, to_numpy))
            self._arrays.append(self._names.take(path))
        return number


def place(path: Path) -> str:
    """obj['model'][0], as errors name what is saved."""
    return "obj" + "".join(f"[{key!r}]" for key in path)


def describe(obj: Any) -> str:
    """The type of an object, as errors name it."""
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


class Decoder:
    """Rebuilds the structure; anything the encoder would not have written is an error.

    device: where all tensors go; None returns each to where its entry says.
    """

    def __init__(self, archive: ArchiveReader, device: Device | None) -> None:
        self._archive = archive
        self._device = device
        self._arrays: dict[int, np.ndarray] = {}
        self._tensors: dict[int, Any] = {}
        self._first: dict[int, Any] = {}  # array number -> the tensor that others share memory with
        self._entries: Any = None

    def root(self) -> Any:
        content = self._archive.content
        self._entries = content["tensors"]
        return self._decode(content["root"])

    def _decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, held),) = value.items()
        if kind == "dict":
            keys = [self._decode(key) for key, _ in held]
            if not all(key is None or type(key) in _KEYS for key in keys):
                raise ValueError("a key of a dict that is no number or text")
            # Huge integers can be chosen to share one hash: a dict of them takes ages to fill.
            if sum(type(key) is int and abs(key) >= _HUGE for key in keys) > _FEW:
                raise ValueError(f"more than {_FEW} keys of a dict are huge integers")
            return {key: self._decode(item) for key, (_, item) in zip(keys, held, strict=True)}
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
        return placed(tensor, self._device or entry.get("device", "cpu"))


def placed(tensor: Any, device: Any) -> Any:
    """A tensor of a file on its device; Refused with the way out where that is missing."""
    try:
        device = Device(device)
        return tensor if device.type == "cpu" else tensor.to(device)
    except RuntimeError as problem:
        raise Refused(
            f"its tensors belong on {device}, which is not available here: pass "
            f"map_location='cpu' ({str(problem).splitlines()[0]})"
        ) from problem
