"""What a run leaves for its readers when it ends: report.html, pictures, files of events."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lucidlite.commands.doctor import findings
from lucidlite.commands.going_on import say
from lucidlite.costs import summary
from lucidlite.files import atomic_write
from lucidlite.tables import count, sizes
from lucidlite.training.build import make_loader
from lucidlite.training.checkpoint import load_weights
from lucidlite.training.confusion import worst_mistakes
from lucidlite.training.confusion_html import drawn
from lucidlite.training.predictions import denormalized, predict_all
from lucidlite.training.report import can_draw, draw_curves, draw_predictions
from lucidlite.training.run_page import RunFacts, report_page
from lucidlite.training.settings import Settings
from lucidlite.training.sources import Source
from lucidlite.training.steps import read_steps
from lucidlite.training.tensorboard import EventFile, settings_shown
from lucidlite.training.trainer import BEST, STEPS, Trainer

REPORT, CURVES, PREDICTIONS, WARNINGS = (
    "report.html", "curves.png", "predictions.png", "warnings.txt"
)  # fmt: skip
_HOSTS = ("lucidlite", "Python", "NumPy", "CPU", "threads")
_TITLES = {
    "sample": "a sample of MNIST", "mnist": "MNIST", "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
}  # fmt: skip
_IMAGES = 16  # mistakes for TensorBoard


class Warned:
    """Says warnings below the progress and keeps them in the run's warnings.txt."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / WARNINGS

    def __call__(self, warning: Warning) -> None:
        # Without the line of the script that started us.
        ours = f"at {sys.argv[0]}:"
        lines = [line for line in str(warning).splitlines() if line.strip() and ours not in line]
        text = "\n".join(lines)  # no empty line: that is what parts them in the file
        say(f"\n{text}", sys.stderr)
        if text not in self.read():  # an earlier part of the run may have said the same
            try:
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write(f"{text}\n\n")
            except OSError as problem:
                say(f"{self._path}: {problem.strerror}", sys.stderr)

    def read(self) -> list[str]:
        """All warnings of the run so far."""
        try:
            whole = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return []
        return [text for text in whole.split("\n\n") if text.strip()]


def write_results(
    trainer: Trainer,
    source: Source,
    settings: Settings,
    folder: Path,
    *,
    warned: Warned,
    workers: int = 0,
    events: EventFile | None = None,
    stopped: str = "",
    look: bool = True,
) -> None:
    """Write report.html, and pictures where they can be drawn; what fails is said in a line.

    ``look``: show the test images to the best weights. Without it, and before the end of the first
    epoch, the report has the curves and the configuration only.
    """
    try:
        _write(trainer, source, settings, folder, warned, workers, events, stopped, look)
    except OSError as problem:
        say(f"{folder}: the report and pictures are not whole: {problem}", sys.stderr)


def _write(
    trainer: Trainer, source: Source, settings: Settings, folder: Path, warned: Warned,
    workers: int, events: EventFile | None, stopped: str, look: bool,
) -> None:  # fmt: skip
    seen = images = None
    if look and trainer.best is not None and (folder / BEST).is_file():
        trainer.model.load_state_dict(load_weights(folder / BEST))
        loader = make_loader(source, settings, False, workers, trainer.device)
        seen = predict_all(trainer.model, loader, trainer.device)
        images = denormalized(seen.images, settings.mean, settings.std)
    steps = read_steps(folder / STEPS)
    facts = RunFacts(
        model=type(trainer.model).__name__,
        data=_TITLES.get(settings.data) or Path(settings.data).name,
        classes=settings.classes,
        epochs=settings.epochs,
        steps_in_epoch=len(trainer.train_loader),
        trained_on=len(trainer.train_loader.dataset),
        rows=trainer.history,
        steps=steps,
        seen=seen,
        images=images,
        parameters=sum(p.numel() for p in trainer.model.parameters()),
        layers=list(_layers(trainer, settings)),
        settings=list(_settings(settings)),
        commands=[
            ("train it again", command(settings)),
            ("measure it", shlex.join(["lucidlite", "eval", str(folder)])),
            ("use it", f"{shlex.join(['lucidlite', 'predict', '--run', str(folder)])} IMAGE"),
        ],
        versions=list(_versions(str(trainer.device))),
        warnings=list(dict.fromkeys(warned.read())),
        stopped=stopped,
        written=f"Written by lucidlite on {datetime.date.today():%d %B %Y} in {folder.resolve()}.",
        seconds=trainer.seconds,
    )
    with atomic_write(folder / REPORT, "report") as file:
        file.write(report_page(facts).encode())
    if events is not None and seen is not None and images is not None:
        step = steps[-1].step if steps else 0
        for place, mistake in enumerate(worst_mistakes(seen, _IMAGES), 1):
            picture = drawn(images[mistake.number])
            said, true = (settings.classes[i] for i in (mistake.said, mistake.truth))
            tag = f"mistakes/{place:02} says {said} is {true}"
            events.picture(tag, picture.png, picture.width, picture.height, step)
    if not trainer.history:
        return
    if not can_draw():
        say(
            f"No {CURVES} and {PREDICTIONS}: they take matplotlib, "
            "pip install 'lucidlite[plot]' gets it."
        )
        return
    draw_curves(trainer.history, folder / CURVES, facts.title)
    if seen is not None and images is not None:
        draw_predictions(
            images, seen.probabilities, seen.targets, settings.classes, folder / PREDICTIONS
        )


def command(settings: Settings) -> str:
    """The command line of a new run with these settings."""
    words = [
        "lucidlite", "train", "--data", settings.data, "--model", settings.model,
        "--input", ",".join(map(str, settings.input)), "--epochs", str(settings.epochs),
        "--batch-size", str(settings.batch_size), "--lr", str(settings.lr),
        "--optimizer", settings.optimizer, "--seed", str(settings.seed),
    ]  # fmt: skip
    if settings.limit is not None:
        words += ["--limit", str(settings.limit)]
    if settings.data_root != "data":
        words += ["--data-root", settings.data_root]
    return shlex.join(words)


def _layers(trainer: Trainer, settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    shape = (1, *settings.input)
    try:
        found = summary(trainer.model, input_size=shape, mode="eval", time=False)
    except (RuntimeError, ValueError, TypeError):  # a model of the user's that takes more
        return
    for layer in found.layers:
        output = sizes(layer.output[1:]) if layer.output else ""
        yield layer.title, output, count(layer.parameters), count(layer.multiply_adds)


def _settings(settings: Settings) -> Iterable[tuple[str, str]]:
    values = dataclasses.asdict(settings)
    values["classes"] = f"{len(settings.classes)}: {', '.join(settings.classes)}"
    values["input"] = " x ".join(map(str, settings.input))
    values["limit"] = "all images" if settings.limit is None else f"{settings.limit:,} images"
    for name in ("mean", "std"):
        values[name] = [f"{each:.4g}" for each in values[name]]
    names = {"lr": "peak learning rate", "mean": "pixel mean", "std": "pixel deviation",
             "limit": "limited to"}  # fmt: skip
    shown = settings_shown(values)
    return [(names.get(name, name.replace("_", " ")), each) for name, each in shown.items()]


def _versions(device: str) -> Iterator[tuple[str, str]]:
    yield "device", device
    wanted = (*_HOSTS, "GPU") if device.startswith("cuda") else _HOSTS
    for name, finding, _ in findings():
        if name in wanted:
            yield name, finding.partition(" in ")[0] if name == "lucidlite" else finding
