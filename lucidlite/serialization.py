"""save and load: weights and whole structures in one file, without pickle.

The name decides what is written: weights for everyone in a `.safetensors` file, anything else in
the container of `formats`. What a file begins with decides how it is read.
"""

from __future__ import annotations

import io
import os
from typing import IO, Any

from lucidlite.callsite import error
from lucidlite.device import Device
from lucidlite.files import atomic_write
from lucidlite.formats.archive import MANIFEST, ArchiveReader, write_archive
from lucidlite.formats.plain_npz import is_plain_npz, read_npz
from lucidlite.formats.refused import Refused
from lucidlite.formats.safetensors_file import (
    SUFFIX,
    looks_like_safetensors,
    read_safetensors,
    to_safetensors,
)
from lucidlite.formats.structure import Decoder, Encoder
from lucidlite.formats.torch_zip import is_torch_zip, read_torch_zip
from lucidlite.formats.zips import ZipReader


def save(obj: Any, path: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write `obj` to a file that `load` reads back; the old file stays until the new one is whole.

    obj: dicts (keys: str, int, float, bool, None), lists, tuples, numbers, str, None, NumPy arrays
    and tensors, nested at will. A Parameter is saved as a tensor that requires grad. Tensors that
    are one object, or see exactly the same memory, are written once and share memory when loaded.
    path: a file name, used as it is, or a binary file open for writing. A name that ends in
    .safetensors takes a dict of tensors by name, each written by itself, as others read it too.
    Raises TypeError naming the place of anything else, ValueError for a container inside itself.

    >>> import io, lucidlite
    >>> file = io.BytesIO()
    >>> lucidlite.save({"epoch": 3, "weight": lucidlite.ones(2)}, file)
    >>> lucidlite.load(file)
    {'epoch': 3, 'weight': tensor([1., 1.])}

    Semantics: torch.save, for data only: the file holds no code. Subclasses of dict, list and
    tuple come back as dict, list and tuple.
    """
    if isinstance(path, (str, os.PathLike)):
        with atomic_write(path) as file:
            _write(obj, file, os.fsdecode(path))
    elif hasattr(path, "write"):
        _write(obj, path, str(getattr(path, "name", "")))
    else:
        raise error(TypeError, f"save: path should be a file name or a file, got {path!r}")


def _write(obj: Any, file: IO[bytes], name: str) -> None:
    if name.lower().endswith(SUFFIX):
        file.write(to_safetensors(obj))
    else:
        encoder = Encoder()
        write_archive(file, encoder.content(obj), encoder.host_arrays())


def load(
    path: str | os.PathLike[str] | IO[bytes],
    map_location: str | Device | None = None,
    *,
    weights_only: bool = True,
) -> Any:
    """Read what `save` wrote, and PyTorch's weights. No code is ever run, whatever the file holds.

    path: a file name, or a binary file open for reading: what `save` writes, .safetensors, a .npz
    of arrays, or the .pt of torch.save with tensors, containers, numbers and text in it.
    map_location: the device for all tensors; None returns each to the kind of device it was saved
    from. weights_only: accepted for PyTorch scripts; both values do the same.
    Raises FileNotFoundError, IsADirectoryError, and RuntimeError that says what is wrong with the
    file: truncated or damaged, of another kind, newer, or saved from a missing device.

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
        return _read(file, name, device)
    name = os.fsdecode(path)
    if os.path.isdir(name):
        raise error(IsADirectoryError, f"load: a file name is needed, got folder {name!r}")
    if not os.path.exists(name):
        raise error(FileNotFoundError, f"load: the file must exist, got path={name!r}")
    with open(name, "rb") as file:
        return _read(file, name, device)


def _read(file: IO[bytes], name: str, device: Device | None) -> Any:
    """What is in a file; every way in which that can fail is one RuntimeError that names it."""
    start = file.read(9)
    if not isinstance(start, bytes):
        raise error(TypeError, f"load: the file must be open in binary mode, got file={name!r}")
    try:
        return _read_format(start, file, name.lower().endswith(SUFFIX), device)
    except (MemoryError, ImportError):
        raise
    except Refused as refused:
        why, cause = _readable(str(refused)), refused.__cause__
    except Exception as problem:
        what = _readable(f"{type(problem).__name__}: {problem}", 300)
        why, cause = f"it is truncated or damaged ({what})", problem
    raise error(RuntimeError, f"load: cannot read the file, {why}, got file={name!r}") from cause


def _readable(text: str, longest: int = 1000) -> str:
    """Text that may quote a file, which holds anything: not too long, nor steering a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text[:longest])


def _read_format(start: bytes, file: IO[bytes], safe: bool, device: Device | None) -> Any:
    length = file.seek(0, 2)
    if start.startswith(b"PK"):
        entries = ZipReader(file)
        if MANIFEST in entries:
            return Decoder(ArchiveReader(entries), device).root()
        if is_torch_zip(entries):
            return read_torch_zip(entries, device)
        if is_plain_npz(entries):
            return read_npz(entries, device)
        raise Refused(f"it is a zip file without {MANIFEST}, not written by lucidlite.save")
    if length and (safe or looks_like_safetensors(start, length)):
        file.seek(0)
        return read_safetensors(file.read(), device)
    raise Refused(_foreign(start))


def _foreign(start: bytes) -> str:
    """Say what a file that is of no known format seems to be."""
    if not start:
        return "it is empty"
    if start[0] == 0x80 and start[1:2] <= b"\x05":
        return (
            "it is a bare pickle, as PyTorch wrote before version 1.6, and unpickling can run any "
            "code; where PyTorch is installed, and if the file is to be trusted, make it a zip, "
            "which is read without that: torch.save(torch.load(old, weights_only=True), new)"
        )
    if start.startswith(b"\x93NUMPY"):
        return "it is a single .npy array; use numpy.load and lucidlite.from_numpy"
    return "it was not written by lucidlite.save"
