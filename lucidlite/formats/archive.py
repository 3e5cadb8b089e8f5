"""The container of `lucidlite.save`: one zip of `.npy` arrays and a JSON document. Never pickle.

Entries are stored, not compressed, with fixed dates: equal contents give equal bytes, and what an
entry claims to hold is bounded by the file's own length. `numpy.load` opens the file too, and finds
each array under its place. In version 1 the arrays were numbered.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from typing import IO, Any

import numpy as np

from lucidlite.formats.arrays import read_array, write_array
from lucidlite.formats.refused import Refused
from lucidlite.formats.zips import ZipReader

FORMAT = "lucidlite"
VERSION = 2
MANIFEST = "manifest.json"


def write_archive(file: IO[bytes], content: Any, arrays: Iterable[np.ndarray]) -> None:
    """Write the arrays, each C-contiguous, under the names in ``content["arrays"]``.

    content: what JSON can hold.
    """
    manifest = {"format": FORMAT, "version": VERSION, "content": content}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # First, so that even a truncated file shows whose it is.
        archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest, allow_nan=False))
        for name, array in zip(content["arrays"], arrays, strict=True):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as out:
                write_array(out, array)


class ArchiveReader:
    """An open container: `content`, and `array(index)` read on demand."""

    def __init__(self, entries: ZipReader) -> None:
        self._zip = entries
        manifest = json.loads(entries.read(MANIFEST))
        if manifest["format"] != FORMAT:
            raise ValueError(f"format {manifest['format']!r} in {MANIFEST}")
        version = manifest["version"]
        if type(version) is not int or version < 1:
            raise ValueError(f"format version {version!r}")
        if version > VERSION:
            raise Refused(
                f"format version {version} is newer than this lucidlite reads (up to {VERSION}); "
                "upgrade lucidlite"
            )
        self.content: Any = manifest["content"]
        self._names: list[str] | None = self.content["arrays"] if version > 1 else None
        if self._names is not None and len({*self._names}) != len(self._names):
            raise ValueError("two arrays have one name")

    def array(self, index: int) -> np.ndarray:
        """Return array number `index`, writable and in C order."""
        name = f"{f'arrays/{index}' if self._names is None else self._names[index]}.npy"
        if name not in self._zip:
            raise Refused(f"the array {name} is missing from it")
        with self._zip.open(name) as stream:
            array = read_array(stream, self._zip.size(name))
        if not array.flags.c_contiguous:
            raise ValueError(f"unexpected array: {name} is in Fortran order")
        return array
