"""Writing a file so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from lucidlite.callsite import error

# A temporary file is called after the one it is to become, so that it can be told whose it was.
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp", re.DOTALL)
_NAMED = 50  # characters of the name: with more, a long one would have no room for the rest
# What file systems say that know no such thing as syncing, and those that can't sync a folder.
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
_NO_FOLDER_SYNC = {*_NO_SYNC, errno.EBADF, errno.EACCES, errno.EPERM}
# What they say when a file can take no more; by then no file is named.
_FULL = {errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, "EDQUOT") else [])}


@contextmanager
def atomic_write(path: str | os.PathLike[str], op: str = "save") -> Iterator[IO[bytes]]:
    """Open a binary file that takes the place of `path` when the block ends without an error.

    The bytes go to a temporary file in the same folder, reach the disk, and only then get the
    name. After an error the old file is as it was and the temporary one is gone. `op` names the
    caller in errors: FileNotFoundError without the folder, IsADirectoryError for a folder, and
    the system's, as PermissionError, with the file's name in place of the temporary one's.
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
    name = os.path.basename(target)[:_NAMED]
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            _sync(file.fileno(), _NO_SYNC)
        if os.path.exists(target):
            with suppress(OSError):
                shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException as problem:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(problem, OSError) and (
            problem.filename == temporary or problem.errno in _FULL
        ):
            rule = f"the file must be writable ({problem.strerror})"
            failed = error(type(problem), f"{op}: {rule}, got {target!r}")
            failed.errno = problem.errno  # without strerror, or both would be the message
            raise failed from problem
        raise
    sync_folder(folder)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable, on systems that can open one."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        _sync(descriptor, _NO_FOLDER_SYNC)
    finally:
        os.close(descriptor)


def _sync(descriptor: int, harmless: set[int]) -> None:
    try:
        os.fsync(descriptor)
    except OSError as problem:
        if problem.errno not in harmless:
            raise


def remove_leftovers(folder: str | os.PathLike[str], ours: Callable[[str], object]) -> list[str]:
    """Remove the temporary files that a killed ``atomic_write`` left, and return their names.

    Of these only the ones on their way to a name for which ``ours(name)`` is true, and that can
    be removed. Nobody may be writing to such a name now.
    """
    found = []
    for name in os.listdir(folder):
        match = _TEMPORARY.fullmatch(name)
        if match and ours(match[1]):
            with suppress(OSError):  # someone else's, or no file: no reason to stop
                os.unlink(os.path.join(folder, name))
                found.append(name)
    return found
