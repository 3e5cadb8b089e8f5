"""The training loop of a classifier: epochs, evaluation, checkpoints, interruption."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lucidlite.backends import get_default_device
from lucidlite.callsite import error
from lucidlite.nn.functional import cross_entropy
from lucidlite.nn.module import Module
from lucidlite.optim import Optimizer
from lucidlite.optim.lr_scheduler import LRScheduler
from lucidlite.tensor import Tensor
from lucidlite.training.checkpoint import Checkpoint
from lucidlite.training.generators import generator_states, set_generator_states
from lucidlite.training.keeping import BEST, METRICS, STEPS, Keeper, Resume, copies
from lucidlite.training.metrics import EpochRow, Result, RunningResult, Stopwatch, evaluate
from lucidlite.training.progress import Progress
from lucidlite.training.run_folder import reason
from lucidlite.training.signals import Stopped, StopSignals
from lucidlite.training.steps import Recorder, Recording, StepsFile, row_every
from lucidlite.utils.data import DataLoader

__all__ = ["BEST", "METRICS", "STEPS", "Trainer"]
_CHECK_EVERY = 50  # batches between looks at the loss, which may wait for the device
_FLUSH_EVERY = 0.5  # seconds between writings of what was measured


class _StopNow(Exception):
    """A signal came during evaluation."""


class Trainer:
    """Trains a classifier on a loader of (images, class numbers), and can go on where it stopped.

    ``scheduler`` is stepped after every batch. In ``folder`` (None: nothing is written) it keeps
    checkpoints, from which ``fit(resume=True)`` continues bit for bit, best.npz, the weights with
    the best test accuracy, metrics.csv and steps.csv. A checkpoint is written at the start, every
    ``save_every`` seconds, after every epoch, and on Ctrl-C, SIGTERM or SIGHUP, which end ``fit``
    with ``Stopped``; the newest ``keep`` stay. ``report(row)`` is called after every epoch, and
    each of ``recorders`` gets the numbers too. Raises FloatingPointError when the loss is NaN or
    infinite, and NotSaved where the last state could not be written.

    >>> import lucidlite
    >>> from lucidlite.training import Progress, Trainer
    >>> from lucidlite.utils.data import DataLoader, TensorDataset
    >>> data = TensorDataset(lucidlite.eye(2), lucidlite.tensor([0, 1]))
    >>> model = lucidlite.nn.Linear(2, 2)
    >>> optimizer = lucidlite.optim.Adam(model.parameters(), lr=0.1)
    >>> loader = DataLoader(data, batch_size=2, shuffle=True)
    >>> quiet = Progress(quiet=True)
    >>> trainer = Trainer(model, loader, loader, optimizer, epochs=20, progress=quiet)
    >>> trainer.fit()[-1].test_accuracy
    1.0
    """

    def __init__(
        self,
        model: Module,
        train_loader: DataLoader,
        test_loader: DataLoader,
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
        epochs: int = 5,
        device: Any = None,
        folder: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
        report: Callable[[EpochRow], Any] | None = None,
        save_every: float = 300.0,
        keep: int | None = 3,
        recorders: Sequence[Recorder] = (),
    ) -> None:
        if epochs < 1:
            raise error(ValueError, f"Trainer: epochs must be at least 1, got epochs={epochs}")
        device = get_default_device() if device is None else device
        self.model = model.to(device)
        self.train_loader, self.test_loader = train_loader, test_loader
        self.optimizer, self.scheduler = optimizer, scheduler
        self.loss, self.device, self.epochs = loss, device, epochs
        self.folder = None if folder is None else Path(folder)
        self.progress = Progress() if progress is None else progress
        self.report, self.save_every = report, save_every
        self.history: list[EpochRow] = []
        self.best: EpochRow | None = None
        # Within the epoch under way: what was seen, how long it took, and whether the training
        # part is over. A run that was stopped continues with all three.
        self._running = RunningResult()
        self._watch = Stopwatch()
        self._trained = False
        self._rate = 0.0
        self._best_weights: dict[str, Any] | None = None
        parts: dict[str, Any] = {}
        if test_loader is not train_loader and test_loader.state_dict()["generators"]:
            parts["test_loader"] = test_loader  # its generators are not the default one
        self._files: Keeper | None = None
        if self.folder is not None:
            checkpoint = Checkpoint(model, optimizer, scheduler, train_loader, **parts)
            self._files = Keeper(self.folder, checkpoint, keep)
        kept = [] if self.folder is None else [StepsFile(self.folder / STEPS)]
        batches = len(train_loader)
        self._recording = Recording(
            [self.progress, *kept, *recorders], row_every(epochs * batches), batches
        )

    @property
    def path(self) -> Path | None:
        """The newest checkpoint's file; None where there is none."""
        found = None if self._files is None else self._files.checkpoints.paths()
        return found[-1] if found else None

    @property
    def offer(self) -> Callable[[Path], str] | None:
        """What errors say is to be typed in order to go on from a checkpoint, given its file."""
        return None if self._files is None else self._files.checkpoints.offer

    @offer.setter
    def offer(self, offer: Callable[[Path], str]) -> None:
        if self._files is not None:
            self._files.checkpoints.offer = offer

    def fit(self, resume: Resume = False) -> list[EpochRow]:
        """Train until ``epochs`` are done, in a folder without a run or, with ``resume``, go on.

        ``resume=True`` continues from the newest checkpoint in the folder, "auto" does where there
        is one and else begins, and the path of a checkpoint continues from that one. Returns one
        row for each epoch, those before an interruption included. Raises DamagedCheckpoint where
        the file isn't whole, and names the one before it.
        """
        if self._files is None:
            if resume is not False:
                raise error(
                    ValueError, f"Trainer: resume={resume!r} needs the folder of the run, got None"
                )
            return self._fit()
        with self._files.opened():
            self._restore(self._files, resume)
            return self._fit()

    def _fit(self) -> list[EpochRow]:
        try:
            self._recording.begin(self.history, self._watch.seconds)
        except OSError as problem:
            raise error(
                type(problem),
                f"the files of the run cannot be written in {self.folder}: {reason(problem)}",
            ) from problem
        try:
            if self._files is not None and not self._files.has(self._recording.steps):
                self._save(self._files.save)  # shows now whether that can be done
            if self._files is not None and len(self.history) < self.epochs:
                self._files.look_for_room()
            with StopSignals(self.progress.tell) as signals:
                while len(self.history) < self.epochs:
                    self._epoch(signals)
                    if signals.received is not None and len(self.history) < self.epochs:
                        raise self._stopped(signals, saved=True)
        finally:
            self._recording.flush()
        return self.history

    @property
    def seconds(self) -> float:
        """How long training took so far, without the tests."""
        return sum(row.seconds for row in self.history) + self._watch.seconds

    def evaluate(self, loader: Iterable[Any] | None = None) -> Result:
        """Loss and accuracy on the test loader, or another one."""
        loader = self.test_loader if loader is None else loader
        return evaluate(self.model, loader, loss=self.loss, device=self.device)

    # -- one epoch ---------------------------------------------------------------------------

    def _epoch(self, signals: StopSignals) -> None:
        if not self._trained:
            self._train(signals)
            self._trained = True
        generators, place = generator_states(), self.test_loader.state_dict()
        try:
            test = self._test(signals)
        except _StopNow:  # whoever goes on tests from the start
            set_generator_states(generators)
            self.test_loader.load_state_dict(place)
            raise self._stopped(signals) from None
        train = self._running.result()
        seconds = self._watch.seconds
        row = EpochRow(
            len(self.history) + 1, train.loss, train.accuracy, test.loss, test.accuracy,
            self._rate, train.images / seconds, seconds,
        )  # fmt: skip
        self.history.append(row)
        self._running, self._watch, self._trained = RunningResult(), Stopwatch(), False
        self._recording.epoch(row)
        if self.best is None or row.test_accuracy > self.best.test_accuracy:
            self.best = row
            self._best_weights = None if self._files is None else copies(self.model.state_dict())
        try:
            self._save(at_last=len(self.history) == self.epochs or signals.received is not None)
        finally:
            if self.report is not None:
                self.report(row)

    def _train(self, signals: StopSignals) -> None:
        running, watch = self._running, self._watch
        self.model.train()
        recording, epoch = self._recording, len(self.history) + 1
        saved_at = flushed_at = watch.seconds
        steps = 0
        batches = iter(self.train_loader)
        train, test = _images(self.train_loader), _images(self.test_loader)
        later = self.epochs - epoch
        self.progress.start(
            self._label("train"), train, running.count, "train", (test, later * train, later * test)
        )
        watch.start()
        try:
            for images, target in batches:
                images, target = images.to(self.device), target.to(self.device)
                output = self.model(images)
                loss = self.loss(output, target)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self._rate = float(self.optimizer.param_groups[0]["lr"])
                if self.scheduler is not None:
                    self.scheduler.step()
                running.add(loss, output, target)
                seconds = watch.seconds
                recording.add(running, epoch, self._rate, seconds)
                self.progress.update(running)
                if signals.received is not None:
                    raise self._stopped(signals)
                steps += 1
                if not steps % _CHECK_EVERY:
                    self._check_finite()
                if seconds - flushed_at > _FLUSH_EVERY:
                    recording.flush()
                    flushed_at = seconds
                if seconds - saved_at > self.save_every:
                    self._check_finite()  # a state that is lost already is not worth keeping
                    self._save()
                    saved_at = watch.seconds
            recording.end(running, epoch, self._rate, watch.seconds)
            self._check_finite()
        finally:
            watch.stop()
            self.progress.end()

    def _test(self, signals: StopSignals) -> Result:
        def after_batch(running: RunningResult) -> None:
            self.progress.update(running)
            if signals.received is not None:
                raise _StopNow

        train, test = _images(self.train_loader), _images(self.test_loader)
        later = self.epochs - len(self.history) - 1
        self.progress.start(self._label("test"), test, 0, "test", (0, later * train, later * test))
        try:
            return evaluate(
                self.model, self.test_loader,
                loss=self.loss, device=self.device, after_batch=after_batch,
            )  # fmt: skip
        finally:
            self.progress.end()

    def _check_finite(self) -> None:
        loss = self._running.result().loss
        if not math.isfinite(loss):
            raise error(
                FloatingPointError,
                f"Trainer: the loss must stay finite, got {loss} in epoch {len(self.history) + 1}; "
                "a lower learning rate usually helps",
            )

    def _label(self, what: str) -> str:
        return f"epoch {len(self.history) + 1}/{self.epochs} {what}"

    # -- checkpoints -------------------------------------------------------------------------

    def _save(self, write: Callable[..., None] | None = None, at_last: bool = False) -> None:
        """Save if that can be done, ``at_last`` wherever it can, or by ``write``."""
        files = self._files
        if files is None:
            return
        self._recording.flush(durable=True)  # first: a run that goes on from here finds it there
        write = write or (files.save_at_last if at_last else files.save_if_possible)
        write(
            self._recording.steps,
            self.history,
            self._best_weights,
            epochs=self.epochs,
            best=None if self.best is None else self.best.epoch,
            running=self._running.state_dict(),
            seconds=self._watch.seconds,
            trained=self._trained,
            rate=self._rate,
            recording=self._recording.state_dict(),
        )

    def _restore(self, files: Keeper, resume: Resume) -> None:
        def check(state: dict[str, Any]) -> None:
            if state["epochs"] != self.epochs:
                raise error(
                    ValueError,
                    f"Trainer: the run in {self.folder} is one of epochs={state['epochs']}, "
                    f"got epochs={self.epochs}",
                )

        state = files.restore(resume, check)
        if state is None:
            return
        self.history = [EpochRow(*row) for row in state["history"]]
        self.best = None if state["best"] is None else self.history[state["best"] - 1]
        self._best_weights = state["best_weights"]
        self._running.load_state_dict(state["running"])
        self._watch = Stopwatch(state["seconds"])
        self._trained, self._rate = state["trained"], state["rate"]
        self._recording.load_state_dict(state["recording"])
        # The end of the process may have come before these were written.
        files.write_results(self.history, self._best_weights)

    def _stopped(self, signals: StopSignals, saved: bool = False) -> Stopped:
        if not saved:
            self._save(at_last=True)
        batches = len(self.train_loader)
        batch = batches if self._trained else self.train_loader.state_dict()["position"]
        path = None if self.path is None else str(self.path)
        return Stopped(signals.received or 0, len(self.history) + 1, batch, batches, path)


def _images(loader: DataLoader) -> int:
    """How many images one pass has."""
    size = loader.batch_size or 1
    return min(len(loader) * size, len(loader.dataset))
