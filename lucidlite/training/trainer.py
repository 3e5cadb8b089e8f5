"""The training loop of a classifier: epochs, evaluation, checkpoints, interruption."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lucidlite.backends import get_default_device
from lucidlite.callsite import error
from lucidlite.nn.functional import cross_entropy
from lucidlite.nn.module import Module
from lucidlite.optim import Optimizer
from lucidlite.optim.lr_scheduler import LRScheduler
from lucidlite.serialization import save
from lucidlite.tensor import Tensor
from lucidlite.training.checkpoint import Checkpoint
from lucidlite.training.metrics import (
    EpochRow,
    Result,
    RunningResult,
    Stopwatch,
    evaluate,
    write_csv,
)
from lucidlite.training.progress import Progress
from lucidlite.training.signals import Stopped, StopSignals
from lucidlite.utils.data import DataLoader

LAST, BEST, METRICS = "last.npz", "best.npz", "metrics.csv"
_CHECK_EVERY = 50  # batches between looks at the loss, which may wait for the device


class _StopNow(Exception):
    """A signal came during evaluation."""


class Trainer:
    """Trains a classifier on a loader of (images, class numbers), and can go on where it stopped.

    ``scheduler`` is stepped after every batch. In ``folder`` (None: nothing is written) it keeps
    last.npz, from which ``fit(resume=True)`` continues bit for bit, best.npz, the weights with
    the best test accuracy, and metrics.csv. last.npz is written after every epoch, every
    ``save_every`` seconds, and on Ctrl-C or SIGTERM, which end ``fit`` with ``Stopped``.
    ``report(row)`` is called after every epoch. Raises FloatingPointError when the loss is NaN or
    infinite.

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
        self._checkpoint = Checkpoint(model, optimizer, scheduler, train_loader)

    @property
    def path(self) -> Path | None:
        """The checkpoint's file."""
        return None if self.folder is None else self.folder / LAST

    def fit(self, resume: bool = False) -> list[EpochRow]:
        """Train until ``epochs`` are done; ``resume`` continues from the folder's last.npz.

        Returns one row for each epoch, those before an interruption included.
        """
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        if resume:
            self._restore()
        with StopSignals() as signals:
            while len(self.history) < self.epochs:
                self._epoch(signals)
                if signals.received is not None and len(self.history) < self.epochs:
                    raise self._stopped(signals, saved=True)
        return self.history

    def evaluate(self, loader: Iterable[Any] | None = None) -> Result:
        """Loss and accuracy on the test loader, or another one."""
        loader = self.test_loader if loader is None else loader
        return evaluate(self.model, loader, loss=self.loss, device=self.device)

    # -- one epoch ---------------------------------------------------------------------------

    def _epoch(self, signals: StopSignals) -> None:
        if not self._trained:
            self._train(signals)
            self._trained = True
        try:
            test = self._test(signals)
        except _StopNow:
            raise self._stopped(signals) from None
        train = self._running.result()
        seconds = self._watch.seconds
        row = EpochRow(
            len(self.history) + 1, train.loss, train.accuracy, test.loss, test.accuracy,
            self._rate, train.images / seconds, seconds,
        )  # fmt: skip
        self.history.append(row)
        self._running, self._watch, self._trained = RunningResult(), Stopwatch(), False
        if self.best is None or row.test_accuracy > self.best.test_accuracy:
            self.best = row
            if self.folder is not None:
                save(dict(self.model.state_dict()), self.folder / BEST)
        self._save()
        if self.folder is not None:
            write_csv(self.history, self.folder / METRICS)
        if self.report is not None:
            self.report(row)

    def _train(self, signals: StopSignals) -> None:
        running, watch = self._running, self._watch
        self.model.train()
        saved_at, steps = watch.seconds, 0
        batches = iter(self.train_loader)
        self.progress.start(self._label("train"), _images(self.train_loader), running.count)
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
                self.progress.update(running)
                if signals.received is not None:
                    raise self._stopped(signals)
                steps += 1
                if not steps % _CHECK_EVERY:
                    self._check_finite()
                if watch.seconds - saved_at > self.save_every:
                    self._save()
                    saved_at = watch.seconds
            self._check_finite()
        finally:
            watch.stop()
            self.progress.end()

    def _test(self, signals: StopSignals) -> Result:
        def after_batch(running: RunningResult) -> None:
            self.progress.update(running)
            if signals.received is not None:
                raise _StopNow

        self.progress.start(self._label("test"), _images(self.test_loader))
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

    def _save(self) -> None:
        if self.path is None:
            return
        self._checkpoint.save(
            self.path,
            epochs=self.epochs,
            history=[list(row) for row in self.history],
            best=None if self.best is None else self.best.epoch,
            running=self._running.state_dict(),
            seconds=self._watch.seconds,
            trained=self._trained,
            rate=self._rate,
        )

    def _restore(self) -> None:
        if self.path is None:
            raise error(ValueError, "Trainer: resume=True needs the folder of the run, got None")
        state = self._checkpoint.load(self.path)
        if state["epochs"] != self.epochs:
            raise error(
                ValueError,
                f"Trainer: the run in {self.folder} is one of epochs={state['epochs']}, "
                f"got epochs={self.epochs}",
            )
        self.history = [EpochRow(*row) for row in state["history"]]
        self.best = None if state["best"] is None else self.history[state["best"] - 1]
        self._running.load_state_dict(state["running"])
        self._watch = Stopwatch(state["seconds"])
        self._trained, self._rate = state["trained"], state["rate"]
        if self.history and self.folder is not None:
            write_csv(self.history, self.folder / METRICS)  # the crash may have come before it

    def _stopped(self, signals: StopSignals, saved: bool = False) -> Stopped:
        if not saved:
            self._save()
        batches = len(self.train_loader)
        batch = batches if self._trained else self.train_loader.state_dict()["position"]
        path = None if self.path is None else str(self.path)
        return Stopped(signals.received or 0, len(self.history) + 1, batch, batches, path)


def _images(loader: DataLoader) -> int:
    """How many images one pass has."""
    size = loader.batch_size or 1
    return min(len(loader) * size, len(loader.dataset))
