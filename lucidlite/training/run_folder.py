"""The numbered checkpoints of a run: the newest few in one folder, each whole or not there."""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lucidlite.callsite import error
from lucidlite.files import remove_leftovers, sync_folder
from lucidlite.training.checkpoint import Checkpoint, read_checkpoint

if sys.platform != "win32":
    import fcntl

_NAME = re.compile(r"checkpoint-(\d{8,})\.npz", re.ASCII)
_ASIDE = ".aside"
_PATIENCE = 3.0  # seconds: a process that was killed may take a moment to go


class DamagedCheckpoint(RuntimeError):
    """A checkpoint cannot be read.

    ``path`` is its file, ``why`` what is wrong in one line, ``previous`` the newest one before it
    that is whole (None: there is none), ``steps_back`` how much older that is (0: not known).
    """

    path: Path
    why: str
    previous: Path | None
    steps_back: int


class NotSaved(OSError):
    """A checkpoint could not be written; those before it are as they were.

    ``path`` is the file, ``why`` what the system says, ``newest`` the newest checkpoint there is,
    ``rescued`` where the state was saved instead (None: nowhere).
    """

    path: Path
    why: str
    newest: Path | None
    rescued: Path | None = None

    def __str__(self) -> str:
        return str(self.args[0])  # not the errno, as an OSError's


class Checkpoints:
    """The checkpoints of a run in ``folder``, named by the steps taken; the newest ``keep`` stay.

    ``save(step, **more)`` writes one, and removes the oldest after the new one is on the disk
    (``keep=None``: never). ``resume()`` puts the newest back and returns its ``more``, with
    ``step``, or None where there is none yet. A process that is killed at any moment, also while
    it saves, leaves the newest checkpoint whole.

    ``resume`` raises DamagedCheckpoint for a file that isn't whole and names the one before it:
    ``resume(path)`` goes on from there, and sets newer ones aside under names that end in .aside.
    ``save`` raises NotSaved (an OSError) where the disk is full or may not be written, ValueError
    in a folder with checkpoints of which none was resumed, or which are further.

    >>> import lucidlite, tempfile
    >>> from lucidlite.training import Checkpoint, Checkpoints
    >>> model = lucidlite.nn.Linear(2, 1)
    >>> state = Checkpoint(model, lucidlite.optim.SGD(model.parameters()))
    >>> saved = Checkpoints(tempfile.mkdtemp(), state, keep=2)
    >>> saved.resume() is None
    True
    >>> [saved.save(step, epoch=0).name for step in (10, 20, 30)][-1]
    'checkpoint-00000030.npz'
    >>> len(saved.paths()), saved.resume()
    (2, {'step': 30, 'epoch': 0})
    """

    def __init__(
        self, folder: str | os.PathLike[str], checkpoint: Checkpoint, keep: int | None = 3
    ) -> None:
        if keep is not None and keep < 1:
            raise error(
                ValueError, f"Checkpoints: keep must be at least 1 or None, got keep={keep}"
            )
        self.folder = Path(folder)
        self.checkpoint = checkpoint
        self.keep = keep
        # How errors tell what to type; a program around this one may have another way.
        self.offer: Callable[[Path], str] = lambda path: f"resume({str(path)!r})"
        self.beside: frozenset[str] = frozenset()  # other files that the run writes there
        self._cleaned = False
        self._ours = False  # whether what the folder has is of the run that is saved

    def paths(self) -> list[Path]:
        """The files there are, oldest first."""
        return numbered(self.folder)

    def path_of(self, step: int) -> Path:
        """The file of the checkpoint after so many steps."""
        return self.folder / f"checkpoint-{step:08d}.npz"

    def save(self, step: int, **more: Any) -> Path:
        """Write the checkpoint after ``step`` steps; returns its file."""
        if step < 0:
            raise error(ValueError, f"Checkpoints: save after step=0 or later, got step={step}")
        path = self.path_of(step)
        try:
            make_folder(self.folder)
            self._clean()
            self._check_ours(step)
            self.checkpoint.save(path, step=step, **more)
        except OSError as problem:
            raise self.not_saved(path, problem) from problem
        self._ours = True
        self._remove_oldest()  # now that the new one is on the disk
        return path

    def resume(
        self,
        path: str | os.PathLike[str] | None = None,
        check: Callable[[dict[str, Any]], Any] | None = None,
    ) -> dict[str, Any] | None:
        """Put the newest checkpoint back, or the one in ``path``; returns its ``more``.

        ``check(more)`` may raise an error before anything is changed.
        """
        found = self.paths()
        if path is None and not found:
            self._ours = True
            return None
        wanted = found[-1] if path is None else Path(path)
        self._clean()
        try:
            content = read_checkpoint(wanted)
        except FileNotFoundError:
            raise
        except (RuntimeError, OSError) as problem:
            raise self._damaged(wanted, problem) from problem
        if "step" not in content["more"]:
            raise error(
                RuntimeError,
                f"Checkpoints: {wanted} must say after which step it was saved, as save(step) "
                "has it do; Checkpoint.load reads it",
            )
        if check is not None:
            check(content["more"])
        more = self.checkpoint.put_back(content, wanted)
        # What is newer belongs to a course of the run that was left.
        for newer in found:
            if _number(newer) > more["step"]:
                os.replace(newer, _free_name(newer))
        self._ours = True
        self._remove_oldest()  # which a process that was killed may have owed
        return more

    def not_saved(self, path: Path, problem: OSError) -> NotSaved:
        """The error to raise when a file of the run cannot be written."""
        why, newest = reason(problem), None
        with suppress(OSError):  # a folder that has gone, or can't be read either
            newest = newest_checkpoint(self.folder)
        kept = "" if newest is None else f"; {newest.name} is whole and stays"
        failed = error(NotSaved, f"could not save {path}: {why}{kept}")
        failed.errno, failed.strerror = problem.errno, why
        failed.path, failed.why, failed.newest = path, why, newest
        return failed

    def _check_ours(self, step: int) -> None:
        """Keep one run from removing or replacing what another has saved."""
        found = self.paths()
        if not found or (self._ours and _number(found[-1]) <= step):
            return
        holds = "a run that is further" if _number(found[-1]) > step else "a run already"
        raise error(
            ValueError,
            f"Checkpoints: {self.folder} holds {holds}: save after step={step} "
            f"beside {found[-1].name}; resume() goes on with that run, another folder leaves "
            "it alone",
        )

    def _remove_oldest(self) -> None:
        if self.keep is None:
            return
        found: list[Path] = []
        with suppress(OSError):
            found = self.paths()
        for old in found[: -self.keep]:
            with suppress(OSError):  # one that won't go is tried next time
                os.unlink(old)

    def _clean(self) -> None:
        """Remove, once, what saves left that were killed."""
        if not self._cleaned and self.folder.is_dir():
            remove_leftovers(self.folder, lambda name: _NAME.fullmatch(name) or name in self.beside)
            self._cleaned = True

    def _damaged(self, path: Path, problem: Exception) -> DamagedCheckpoint:
        why = str(problem).splitlines()[0]
        before = [each for each in self.paths() if _number(each) < _number(path)]
        previous = next((each for each in reversed(before) if _is_whole(each)), None)
        known = previous is not None and _NAME.fullmatch(path.name)
        steps_back = _number(path) - _number(previous) if previous and known else 0
        if previous is None:
            offer = f"no checkpoint before it in {self.folder} is whole"
        else:
            offer = f"{previous.name} is whole: {self.offer(previous)} goes on from there"
        damaged = error(DamagedCheckpoint, f"{why}; {offer}")
        damaged.path, damaged.why = path, why
        damaged.previous, damaged.steps_back = previous, steps_back
        return damaged


def numbered(folder: str | os.PathLike[str]) -> list[Path]:
    """The checkpoints in a folder, oldest first; none where there is no folder."""
    if not os.path.isdir(folder):
        return []
    found = [Path(folder, name) for name in os.listdir(folder) if _NAME.fullmatch(name)]
    return sorted(found, key=_number)


def newest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """The file from which the run in a folder goes on."""
    found = numbered(folder)
    return found[-1] if found else None


def reason(problem: OSError) -> str:
    """What the system says, without its number and the name of a temporary file."""
    return os.strerror(problem.errno) if problem.errno else str(problem).splitlines()[0]


def make_folder(folder: Path) -> None:
    """Make the folder of a run, and those above it; an OSError of its kind where it cannot be."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
    except OSError as problem:
        raise error(
            type(problem), f"the folder of the run cannot be made, {folder}: {reason(problem)}"
        ) from problem


def writable_folder(folder: Path) -> None:
    """``make_folder``; an OSError of its kind where nothing can be written there.

    Better now than after the first hour.
    """
    make_folder(folder)
    path = folder / f".metrics.csv.{secrets.token_hex(8)}.tmp"
    try:
        with open(path, "xb") as file:
            file.write(b"Can this be written?")
    except OSError as problem:
        raise error(
            type(problem),
            f"nothing can be written in the folder of the run, {folder}: {reason(problem)}",
        ) from problem
    finally:
        with suppress(OSError):
            os.unlink(path)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from training in the folder, where the system can; RuntimeError if one
    does. However the process ends, that ends with it."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise error(
                        RuntimeError, f"another process is training in {folder}: one at a time"
                    ) from None
                time.sleep(0.05)
            except OSError:  # a network's file system that has no such locks
                break
        yield
    finally:
        os.close(descriptor)


def _number(path: Path) -> int:
    """The steps in a checkpoint's name; a file of any other name counts as the newest."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else sys.maxsize


def _free_name(path: Path) -> Path:
    """A name to set a checkpoint aside under: never that of one set aside before."""
    free = path.with_name(f"{path.name}{_ASIDE}")
    number = 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}.{number}{_ASIDE}")
    return free


def _is_whole(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except (RuntimeError, OSError):
        return False
    return True
