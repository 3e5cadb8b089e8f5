"""Zip files of unknown origin, opened so that they can't take more memory than they are long."""

from __future__ import annotations

import zipfile
from typing import IO, cast

# What compressed entries may unfold to: this much in any case, so many times the file's length.
_SOME, _TIMES = 1 << 28, 64
# The record at the end of a zip: its bytes, and what its count of entries says where they are more.
_END, _MANY = 22, 0xFFFF


class _Bounded:
    """A file whose reads are never larger than what is left of it.

    ``file.read(2**31)`` takes two gigabytes before it finds that there is less to read.
    """

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file = file
        self._length = length
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._length - self.tell())
        return self._file.read(left if size < 0 else min(size, left))


class ZipReader:
    """A zip file's entries by name; nothing is ever extracted to disk.

    file: a readable, seekable binary file. Raises whatever a damaged one leads to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        # Entries may overlap: all that is opened counts together.
        self._stored = file.seek(0, 2)
        self._unfolded = max(_SOME, _TIMES * self._stored)
        self._zip = zipfile.ZipFile(cast(IO[bytes], _Bounded(file, self._stored)))
        self.names = self._zip.namelist()
        if len(set(self.names)) != len(self.names):
            raise ValueError("two entries have one name")
        # A damaged length in the directory can hide the next entry, which zipfile doesn't notice.
        file.seek(self._stored - _END - len(self._zip.comment))
        count = int.from_bytes(file.read(_END)[10:12], "little")
        if count not in (len(self.names), _MANY):
            raise ValueError(f"{len(self.names)} entries are found, of {count}")

    def __contains__(self, name: str) -> bool:
        return name in self._zip.NameToInfo

    def size(self, name: str) -> int:
        """The bytes of an entry."""
        return self._zip.getinfo(name).file_size

    def open(self, name: str, compressed: bool = False) -> IO[bytes]:
        """An entry as a stream; the end of it is an error where its checksum doesn't fit.

        compressed: whether the format that is read knows compressed entries.
        """
        entry = self._zip.getinfo(name)
        if entry.compress_type == zipfile.ZIP_DEFLATED and compressed:
            self._unfolded -= entry.file_size
            if self._unfolded < 0:
                raise ValueError(f"entry {name} unfolds to more memory than is given to it")
        else:
            self._stored -= entry.file_size
            if entry.compress_type != zipfile.ZIP_STORED or self._stored < 0:
                raise ValueError(f"entry {name} has a size or compression that is never written")
        return self._zip.open(entry)

    def read(self, name: str) -> bytes:
        """The content of an entry."""
        with self.open(name) as stream:
            return stream.read()
