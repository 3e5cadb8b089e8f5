"""Writing a file so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from lucidlite.callsite import error


@contextmanager
def atomic_write(path: str | os.PathLike[str], op: str = "save") -> Iterator[IO[bytes]]:
    """Open a binary file that takes the place of `path` when the block ends without an error.

    The bytes go to a temporary file in the same folder, reach the disk, and only then get the
    name. After an error the old file is as it was and the temporary one is gone. `op` names the
    caller in errors: FileNotFoundError without the folder, IsADirectoryError for a folder.
    Devices and pipes cannot be replaced and are written directly.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(os.path.join(folder, "notes.bin")) as file:
    ...         _ = file.write(b"all or nothing")
    ...     os.listdir(folder)
    ['notes.bin']
    """
    # A link keeps pointing where it did: its target is what is replaced.
    target = os.path.realpath(os.fsdecode(path))
    if os.path.isdir(target):
        raise error(IsADirectoryError, f"{op}: a file name is needed, got folder {target!r}")
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as file:
            yield file
        return
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise error(FileNotFoundError, f"{op}: the folder of the file must exist, got {target!r}")
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            with suppress(OSError):
                shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make the new name durable, on systems that can open a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
