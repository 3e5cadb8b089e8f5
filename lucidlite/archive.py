"""The container of `lucidlite.save`: one zip of `.npy` arrays and a JSON document. Never pickle.

Entries are stored, not compressed, with fixed dates: equal contents give equal bytes, and what an
entry claims to hold is bounded by the file's own length. `numpy.load` opens the file too.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from lucidlite.callsite import error

FORMAT = "lucidlite"
VERSION = 1
MANIFEST = "manifest.json"
KINDS = "biufcSUmM"  # NumPy dtype kinds whose `.npy` says everything; not objects or records
_CHUNK = 1 << 24


def write_archive(file: IO[bytes], content: Any, arrays: Iterable[np.ndarray]) -> None:
    """Write `content` (what JSON can hold) and the arrays, each C-contiguous."""
    manifest = {"format": FORMAT, "version": VERSION, "content": content}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # First, so that even a truncated file shows whose it is.
        archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest, allow_nan=False))
        for index, array in enumerate(arrays):
            entry = zipfile.ZipInfo(_entry_name(index))
            with archive.open(entry, "w", force_zip64=True) as out:
                npy.write_array(out, array, version=(1, 0), allow_pickle=False)


def _entry_name(index: int) -> str:
    return f"arrays/{index}.npy"


class ArchiveReader:
    """An open container: `content`, and `array(index)` read on demand.

    file: a readable, seekable binary file. name: what errors call it.
    Raises RuntimeError for anything that is not an intact container of a known version.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        start = file.read(8)
        if not isinstance(start, bytes):
            raise error(TypeError, f"load: the file must be open in binary mode, got file={name!r}")
        self._length = file.seek(0, 2)
        if not start.startswith(b"PK"):
            raise self.problem(_foreign(start))
        try:
            self._zip = zipfile.ZipFile(file)
            names = self._zip.namelist()
        except Exception as problem:
            raise self.damaged(problem) from problem
        if MANIFEST not in names:
            raise self.problem(_foreign_zip(names))
        try:
            with self._open(MANIFEST) as stream:
                manifest = json.loads(stream.read())
            if manifest["format"] != FORMAT:
                raise ValueError(f"format {manifest['format']!r} in {MANIFEST}")
            version = manifest["version"]
            if type(version) is not int or version < 1:
                raise ValueError(f"format version {version!r}")
            self.content: Any = manifest["content"] if version <= VERSION else None
        except MemoryError:
            raise
        except Exception as problem:
            raise self.damaged(problem) from problem
        if version > VERSION:
            raise self.problem(
                f"format version {version} is newer than this lucidlite reads (up to {VERSION}); "
                "upgrade lucidlite"
            )

    def array(self, index: int) -> np.ndarray:
        """Return array number `index`, writable and in C order."""
        name = _entry_name(index)
        if name not in self._zip.NameToInfo:
            raise self.problem(f"the array {name} is missing from it")
        try:
            with self._open(name) as stream:
                return _read_npy(stream, self._zip.getinfo(name).file_size)
        except MemoryError:
            raise
        except Exception as problem:
            raise self.damaged(problem) from problem

    def _open(self, name: str) -> IO[bytes]:
        entry = self._zip.getinfo(name)
        # Nothing here is compressed, so nothing can unfold to more than the file holds.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self._length:
            raise ValueError(f"entry {name} has a size or compression that is never written")
        return self._zip.open(entry)

    def problem(self, why: str) -> RuntimeError:
        """The error to raise when this file cannot be used."""
        return error(RuntimeError, f"load: cannot read the file, {why}, got file={self.name!r}")

    def damaged(self, problem: Exception) -> RuntimeError:
        """The error for bytes that are not what was written, whatever tripped over them."""
        return self.problem(f"it is truncated or damaged ({type(problem).__name__}: {problem})")


def _read_npy(stream: IO[bytes], size: int) -> np.ndarray:
    if npy.read_magic(stream) != (1, 0):
        raise ValueError("unknown .npy version")
    shape, fortran, dtype = npy.read_array_header_1_0(stream)
    count = math.prod(shape)
    if fortran or dtype.kind not in KINDS:
        raise ValueError(f"unexpected array: shape={shape}, dtype={dtype}")
    if stream.tell() + count * dtype.itemsize != size:
        raise ValueError(f"array of shape={shape}, dtype={dtype} in an entry of {size} bytes")
    array = np.empty(shape, dtype)
    if array.nbytes:
        # In chunks, so that the data is in memory once; reading the last one checks the CRC.
        target = array.reshape(-1).view(np.uint8)
        done = 0
        while done < array.nbytes:
            chunk = stream.read(min(_CHUNK, array.nbytes - done))
            if not chunk:
                raise EOFError(f"the data ends after {done} of {array.nbytes} bytes")
            target[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            done += len(chunk)
    return array


_TORCH = (
    "it is a PyTorch pickle, and unpickling can run any code; where PyTorch is installed, convert "
    "it once: lucidlite.save({name: t.numpy() for name, t in torch.load(old).items()}, new)"
)


def _foreign(start: bytes) -> str:
    """Say what a file that is no zip seems to be."""
    if not start:
        return "it is empty"
    if start[0] == 0x80 and start[1:2] <= b"\x05":
        return _TORCH
    if start.startswith(b"\x93NUMPY"):
        return "it is a single .npy array; use numpy.load and lucidlite.from_numpy"
    return "it was not written by lucidlite.save"


def _foreign_zip(names: list[str]) -> str:
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return _TORCH
    if names and all(name.endswith(".npy") for name in names):
        return "it is a plain .npz of NumPy arrays; use numpy.load and lucidlite.from_numpy"
    return f"it is a zip file without {MANIFEST}, not written by lucidlite.save"
