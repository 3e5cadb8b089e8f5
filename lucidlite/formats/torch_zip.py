"""The .pt and .pth files of torch.save, read without PyTorch and without running anything.

Such a file is a zip of a pickle, `data.pkl`, and of each storage's bytes, `data/0` and so on. The
pickle goes through the machine of `pickles`; the few names that it may hold mean what is here.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lucidlite import dtypes
from lucidlite.creation import from_numpy
from lucidlite.device import Device
from lucidlite.formats.arrays import fill
from lucidlite.formats.pickles import Machine, Maker
from lucidlite.formats.refused import Refused
from lucidlite.formats.structure import placed
from lucidlite.formats.values import check_values
from lucidlite.formats.zips import ZipReader
from lucidlite.grad_mode import no_grad
from lucidlite.ops.shape import detach
from lucidlite.ops.strided import as_strided
from lucidlite.tensor import Tensor

PICKLE = "data.pkl"
_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?", "BFloat16Storage": "bfloat16",
}  # fmt: skip
_MOST_TENSORS = 1 << 15
_MOST_DIMS = 64
_HUGE = 1 << 62
# A view may see elements many times over, as expand() makes it: this many, or as many as there are.
_MOST_SEEN = 1 << 20


class _Storage(NamedTuple):
    """A kind of storage: its name in PyTorch, and the dtype code of its elements."""

    name: str
    code: str


class _Whole(NamedTuple):
    """A storage that was read: a tensor of all its elements."""

    storage: _Storage
    tensor: Tensor

    @property
    def name(self) -> str:
        return self.storage.name


def is_torch_zip(entries: ZipReader) -> bool:
    return any(name.rpartition("/")[2] == PICKLE for name in entries.names)


def read_torch_zip(entries: ZipReader, device: Device | None) -> Any:
    """The value that torch.save wrote: containers, numbers, text and tensors.

    device: where all tensors go; None returns each to where it was.
    """
    pickles = [name for name in entries.names if name.rpartition("/")[2] == PICKLE]
    if len(pickles) > 1:
        raise ValueError(f"{len(pickles)} entries are called {PICKLE}")
    folder = pickles[0][: -len(PICKLE)]
    if f"{folder}constants.pkl" in entries:
        raise Refused(
            "it is a TorchScript program; where PyTorch is installed, save its weights: "
            "torch.save(torch.jit.load(old).state_dict(), new)"
        )
    order = entries.read(f"{folder}byteorder") if f"{folder}byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise ValueError(f"byte order {order[:20]!r}")
    tensors = _Tensors(entries, folder, "<" if order == b"little" else ">", device)
    with no_grad():
        value = Machine(tensors.names(), _refusal, tensors.stored).run(entries.read(pickles[0]))
    check_values(value)
    return value


class _Tensors:
    """Makes the tensors of one file; those of one storage share its memory."""

    def __init__(self, entries: ZipReader, folder: str, order: str, device: Device | None) -> None:
        self._entries = entries
        self._folder = folder
        self._order = order
        self._device = device
        self._whole: dict[str, _Whole] = {}
        self._made = 0

    def names(self) -> dict[str, Any]:
        """What the names in a file stand for; see ``Machine``."""
        makers: dict[str, Callable[..., Any]] = {
            "collections OrderedDict": lambda: OrderedDict(),
            "torch Size": _size,
            "torch._utils _rebuild_tensor_v2": self.tensor,
            "torch._utils _rebuild_tensor_v3": _no_dtype,
            "torch._utils _rebuild_parameter": self.parameter,
        }
        return {
            **{name: Maker(name.replace(" ", "."), make) for name, make in makers.items()},
            **{f"torch {name}": _Storage(name, code) for name, code in _STORAGES.items()},
            "torch.storage UntypedStorage": _Storage("UntypedStorage", "u1"),
            **{f"torch {kind.name}": kind for kind in dtypes.ALL},
        }

    def stored(self, key: Any) -> _Whole:
        """A storage, by the persistent id that the pickle has for it."""
        word, storage, name, where, count = key
        if word != "storage" or type(storage) is not _Storage:
            raise ValueError("a persistent id that is no storage's")
        if type(name) is not str or type(where) is not str or type(count) is not int:
            raise TypeError("a persistent id that is no storage's")
        if name not in self._whole:
            array = self._read(f"{self._folder}data/{name}", storage.code, count)
            tensor = placed(from_numpy(array), self._device or where)
            self._whole[name] = _Whole(storage, tensor)
        whole = self._whole[name]
        if whole.storage is not storage or whole.tensor.numel() != count:
            raise ValueError(f"the storage {name} has two types or lengths")
        return whole

    def _read(self, entry: str, code: str, count: int) -> np.ndarray:
        wide = code == "bfloat16"
        kind = np.dtype("u2" if wide else code)
        size = self._entries.size(entry)
        if count < 0 or count * kind.itemsize != size:
            raise ValueError(f"{count} elements of {kind.itemsize} bytes in {entry}, of {size}")
        array = np.empty(count, kind)
        with self._entries.open(entry) as stream:
            fill(array, stream)
        if self._order != ("<" if sys.byteorder == "little" else ">"):
            array.byteswap(inplace=True)
        return widened(array) if wide else truths(array)

    def tensor(
        self, whole: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any,
        metadata: Any = None,
    ) -> Tensor:  # fmt: skip
        """What PyTorch's _rebuild_tensor_v2 makes: a view of a storage."""
        self._count()
        if type(whole) is not _Whole or type(size) is not tuple or type(stride) is not tuple:
            raise TypeError("a tensor without a storage, a size or strides")
        # Integers have no end in a pickle: those of a million digits multiply for ever.
        if any(type(n) is not int or not 0 <= n < _HUGE for n in (offset, *size, *stride)):
            raise ValueError("a tensor with a negative or a huge size")
        if hooks or metadata:
            raise Refused("a tensor in it has hooks, or is a conjugate or negative view")
        storage = whole.tensor
        if len(size) > _MOST_DIMS or offset > storage.numel():
            raise ValueError(f"a tensor of {len(size)} dims, from element {offset}")
        seen = 1
        for n in size:
            seen = min(seen * n, _HUGE)
        if seen > max(storage.numel(), _MOST_SEEN):
            raise Refused(
                f"a tensor of {seen} elements in it is a view of {storage.numel()}; save its "
                "contiguous()"
            )
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if seen and last >= storage.numel():
            raise ValueError(f"a tensor that ends outside its storage of {storage.numel()}")
        found = detach(as_strided(storage, size, stride, offset))
        return found.requires_grad_() if _flag(requires_grad) else found

    def parameter(self, data: Any, requires_grad: Any, hooks: Any) -> Tensor:
        """What PyTorch's _rebuild_parameter makes: a tensor, as ``save`` makes of parameters."""
        self._count()
        if not isinstance(data, Tensor):
            raise TypeError("a parameter that is no tensor")
        if hooks:
            raise Refused("a parameter in it has hooks")
        found = detach(data)
        return found.requires_grad_() if _flag(requires_grad) else found

    def _count(self) -> None:
        self._made += 1
        if self._made > _MOST_TENSORS:
            raise Refused(f"it holds more than {_MOST_TENSORS} tensors")


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError("a requires_grad that is no bool")
    return value


def _size(sizes: Any) -> tuple[Any, ...]:
    if type(sizes) is not tuple:
        raise TypeError("a size that is no tuple")
    return sizes


def _no_dtype(*_: Any) -> Any:
    raise Refused("a tensor in it has a dtype that tensors don't have here: convert it first")


def widened(array: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 ones, given as bits: exact, as these are their upper half."""
    wide = array.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def truths(array: np.ndarray) -> np.ndarray:
    """The array; one of bools with every byte that isn't 0 as True."""
    return np.asarray(array.view(np.uint8) != 0) if array.dtype.kind == "b" else array


def _refusal(name: str) -> Exception:
    module, _, last = name.rpartition(".")
    if module == "torch" and (last.endswith("Storage") or last[-1:].isdigit() or "float8" in last):
        return Refused(
            f"it holds tensors of {name}, a dtype that tensors don't have here; where PyTorch is "
            "installed, convert them, with .float() for example, and save again"
        )
    if module.startswith("torch.nn.modules"):
        return Refused(
            f"it is a whole model with a {name} in it, and making that runs code; where PyTorch is "
            "installed, and if the file is to be trusted, save the model's weights alone: "
            "torch.save(torch.load(old, weights_only=False).state_dict(), new)"
        )
    return Refused(
        f"its pickle needs {name}, and only tensors, dicts, lists, tuples, numbers, text and None "
        "are read: what a file names could do anything. Where PyTorch is installed, save those "
        "alone: of a model its state_dict(), of other objects their numbers and text"
    )
