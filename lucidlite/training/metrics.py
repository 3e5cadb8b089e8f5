"""Loss and accuracy: running sums, evaluation, and the file of one row an epoch."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from lucidlite.backends import get_default_device
from lucidlite.files import atomic_write
from lucidlite.generator import Generator, use_generator
from lucidlite.grad_mode import no_grad
from lucidlite.nn.functional import cross_entropy
from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor
from lucidlite.training.modes import inference


class Result(NamedTuple):
    """Mean loss, accuracy from 0 to 1, and the number of images they were measured on."""

    loss: float
    accuracy: float
    images: int


class EpochRow(NamedTuple):
    """One row of metrics.csv. Accuracies are from 0 to 1; ``seconds`` is the training's time."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    lr: float
    images_per_second: float
    seconds: float


class RunningResult:
    """Sums of loss, hits and images. They stay on the device until ``result()`` is asked for."""

    def __init__(self) -> None:
        self._loss: Any = 0.0
        self._hits: Any = 0
        self.count = 0

    def add(self, loss: Tensor, output: Tensor, target: Tensor) -> None:
        """Add a batch: its mean loss, its (N, classes) output and its N class numbers."""
        with no_grad():
            n = len(target)
            self._loss = self._loss + loss.detach().double() * n
            self._hits = self._hits + (output.detach().argmax(1) == target).sum()
            self.count += n

    def sums(self) -> tuple[Any, Any, int]:
        """Loss times images, hits and images, the first two still on the device."""
        return self._loss, self._hits, self.count

    def result(self) -> Result:
        if not self.count:
            return Result(0.0, 0.0, 0)
        return Result(float(self._loss) / self.count, int(self._hits) / self.count, self.count)

    def state_dict(self) -> dict[str, Any]:
        return {"loss": float(self._loss), "hits": int(self._hits), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loss, self._hits = float(state["loss"]), int(state["hits"])
        self.count = int(state["count"])


def evaluate(
    model: Module,
    loader: Iterable[Any],
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    device: Any = None,
    after_batch: Callable[[RunningResult], Any] | None = None,
) -> Result:
    """Mean loss and accuracy of a classifier over a loader of (images, class numbers).

    Runs in evaluation mode without gradients, and leaves the model's mode and the random
    generators as they were. ``after_batch`` is called with the running sums; batches go to
    ``device``, by default where tensors are made.

    >>> import lucidlite
    >>> from lucidlite.training import evaluate
    >>> model = lucidlite.nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": lucidlite.eye(2), "bias": lucidlite.zeros(2)})
    >>> evaluate(model, [(lucidlite.eye(2), lucidlite.tensor([0, 0]))]).accuracy
    0.5
    """
    running = RunningResult()
    device = get_default_device() if device is None else device
    # A loader draws a seed for each pass: not from the stream that training goes on with.
    with inference(model), use_generator(Generator().manual_seed(0)):
        for images, target in loader:
            images, target = images.to(device), target.to(device)
            output = model(images)
            running.add(loss(output, target), output, target)
            if after_batch is not None:
                after_batch(running)
    return running.result()


def write_csv(rows: Iterable[EpochRow], path: str | os.PathLike[str]) -> None:
    """Write the rows with a header of their names, replacing the file as a whole."""
    text = io.StringIO()
    print(*EpochRow._fields, sep=",", file=text)
    for row in rows:
        print(*(f"{value:.6g}" for value in row), sep=",", file=text)
    with atomic_write(path, "metrics") as file:
        file.write(text.getvalue().encode())


class Stopwatch:
    """Seconds spent between ``start`` and ``stop``, over several stretches."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._since: float | None = None

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self) -> None:
        self._before, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._before + running
