"""What a training run keeps in its folder: checkpoints, and the results that follow from them."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lucidlite.callsite import error
from lucidlite.serialization import save
from lucidlite.tensor import Tensor
from lucidlite.training.checkpoint import Checkpoint
from lucidlite.training.metrics import EpochRow, write_csv
from lucidlite.training.run_folder import (
    Checkpoints,
    NotSaved,
    held,
    writable_folder,
)

BEST, METRICS, STEPS = "best.npz", "metrics.csv", "steps.csv"
_BESIDE = frozenset((BEST, METRICS, STEPS, "run.json", "report.html"))
Resume = bool | str | os.PathLike[str]


class Keeper:
    """The files of a run. A checkpoint comes first, and has in it whatever the others show.

    So a process that is killed between two files leaves nothing that ``restore`` doesn't put
    right: best.npz and metrics.csv are written again from the checkpoint.
    """

    def __init__(self, folder: Path, checkpoint: Checkpoint, keep: int | None) -> None:
        self.folder = folder
        self._checkpoint = checkpoint
        self.checkpoints = Checkpoints(folder, checkpoint, keep)
        self.checkpoints.offer = lambda path: f"fit(resume={str(path)!r})"
        self.checkpoints.beside = _BESIDE
        self._shown = 0  # epochs of which best.npz and metrics.csv know

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder, see that it can be written, and keep others out of it."""
        writable_folder(self.folder)
        with held(self.folder):
            yield

    def restore(
        self, resume: Resume, check: Callable[[dict[str, Any]], Any]
    ) -> dict[str, Any] | None:
        """What the checkpoint says that ``fit(resume)`` means, put back; None to begin anew."""
        found = self.checkpoints.paths()
        if resume is False or (resume == "auto" and not found):
            if found:
                raise error(
                    ValueError,
                    f"Trainer: {self.folder} holds a run already: fit(resume=True) goes on with "
                    "it, another folder leaves it alone",
                )
            if holds_results(self.folder):
                raise error(
                    ValueError,
                    f"Trainer: {self.folder} has the {BEST} of a run whose checkpoints are gone: "
                    "another folder leaves it alone",
                )
            return None
        if resume is True and not found:
            raise error(
                FileNotFoundError,
                f"Trainer: there is nothing to resume, no checkpoint in {self.folder}",
            )
        path = None if resume is True or resume == "auto" else Path(os.fspath(resume))
        return self.checkpoints.resume(path, check)

    def has(self, step: int) -> bool:
        """Whether there is a checkpoint after so many steps."""
        return self.checkpoints.path_of(step).exists()

    def look_for_room(self) -> None:
        """Warn where the disk has no room for the checkpoints to come."""
        newest = self.checkpoints.paths()[-1]
        size = newest.stat().st_size
        if newest == self.checkpoints.path_of(0):
            size *= 4  # the weights alone: later come the optimizer's state and the best weights
        free = shutil.disk_usage(self.folder).free
        if free < 2 * size:
            warnings.warn(
                f"{self.folder} has room for {free / 1e6:.2f} MB, and a checkpoint may take "
                f"{size / 1e6:.2f} MB: training begins, but may not be able to save",
                RuntimeWarning,
                stacklevel=2,
            )

    def write_results(self, history: Sequence[EpochRow], weights: Mapping[str, Any] | None) -> None:
        """best.npz and metrics.csv of these epochs."""
        if not history:
            return
        name = BEST
        try:
            if weights is not None:
                save(dict(weights), self.folder / BEST)
            name = METRICS
            write_csv(history, self.folder / METRICS)
        except OSError as problem:
            raise self.checkpoints.not_saved(self.folder / name, problem) from problem
        self._shown = len(history)

    def save(
        self, step: int, history: Sequence[EpochRow], weights: Mapping[str, Any] | None, **more: Any
    ) -> None:
        """Write the checkpoint after ``step`` steps, and the results where an epoch is new."""
        content = {"history": [list(row) for row in history], "best_weights": weights, **more}
        self.checkpoints.save(step, **content)
        if len(history) != self._shown:
            self.write_results(history, weights)

    def save_if_possible(self, step: int, *args: Any, **more: Any) -> None:
        """``save``; a warning where that fails, as there will be another time to do it."""
        try:
            self.save(step, *args, **more)
        except NotSaved as failed:
            warnings.warn(
                f"{_first_line(failed)}; training goes on and tries again at the next checkpoint",
                RuntimeWarning,
                stacklevel=2,
            )

    def save_at_last(
        self, step: int, history: Sequence[EpochRow], weights: Mapping[str, Any] | None, **more: Any
    ) -> None:
        """``save`` where no other time comes: where it fails, the state goes elsewhere if it can.

        NotSaved tells where, or that there was no other place.
        """
        try:
            self.save(step, history, weights, **more)
        except NotSaved as failed:
            if failed.path != self.checkpoints.path_of(step):
                raise  # the checkpoint is there, and restore() makes the rest from it
            content = {"history": [list(row) for row in history], "best_weights": weights, **more}
            rescued = self._rescue(failed.path.name, {"step": step, **content})
            text = _first_line(failed)
            if rescued is not None:
                offer = self.checkpoints.offer(rescued)
                text += f"; it is in {rescued} instead, {offer} goes on from there"
            again = error(NotSaved, text)
            again.__dict__.update(failed.__dict__)
            again.errno, again.strerror, again.rescued = failed.errno, failed.strerror, rescued
            raise again from failed

    def _rescue(self, name: str, content: dict[str, Any]) -> Path | None:
        """The state in the system's folder for temporary files."""
        folder: str | None = None
        try:
            folder = tempfile.mkdtemp(prefix="lucidlite-")
            path = Path(folder, name)
            self._checkpoint.save(path, **content)
            return path
        except OSError:
            if folder is not None:
                with suppress(OSError):
                    os.rmdir(folder)
            return None


def holds_results(folder: Path) -> bool:
    """Whether a run has left weights here, which a new one would replace."""
    return os.path.lexists(folder / BEST)


def copies(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict that stays as it is, on the host."""
    return {
        name: value.detach().cpu().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in state.items()
    }


def _first_line(problem: BaseException) -> str:
    return str(problem).splitlines()[0]
