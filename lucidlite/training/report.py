"""Pictures of a run: its learning curves, and test images with what the model said."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lucidlite.callsite import error
from lucidlite.files import atomic_write
from lucidlite.tables import share
from lucidlite.training.markup import plain
from lucidlite.training.metrics import EpochRow

_TEST, _WRONG = "#1f6fb4", "#c62828"
# Why test can be ahead of train: one is measured while the model still gets better.
_PARTS = (("train", "#8a8f98", "train, over the epoch"), ("test", _TEST, "test, after the epoch"))


def draw_curves(rows: Sequence[EpochRow], path: str | os.PathLike[str], title: str = "") -> None:
    """Draw loss and accuracy over the epochs as a PNG file. ImportError without matplotlib."""
    figure = _figure(9, 3.8)
    epochs = [row.epoch for row in rows]
    loss, accuracy = figure.subplots(1, 2)
    best = max(rows, key=lambda row: row.test_accuracy)
    for axes, name, factor in ((loss, "loss", 1.0), (accuracy, "accuracy", 100.0)):
        for part, color, label in _PARTS:
            values = [factor * getattr(row, f"{part}_{name}") for row in rows]
            axes.plot(epochs, values, color=color, marker="o", markersize=4, label=label)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    loss.set_ylabel("cross entropy")
    loss.set_ylim(bottom=0)
    accuracy.set_ylabel("accuracy, %")
    accuracy.plot(
        [best.epoch], [100 * best.test_accuracy],
        marker="o", markersize=11, markerfacecolor="none", markeredgecolor=_TEST, linestyle="",
    )  # fmt: skip
    said = f"best test accuracy {share(best.test_accuracy, 2)}, epoch {best.epoch}"
    figure.suptitle(_literal(f"{title}: {said}" if title else said), fontsize=11)
    _write(figure, path)


def draw_predictions(
    images: NDArray[Any],
    probabilities: NDArray[Any],
    targets: NDArray[Any],
    classes: Sequence[str],
    path: str | os.PathLike[str],
    columns: int = 8,
    rows: int = 5,
) -> None:
    """Draw a page of test images as a PNG file: mistakes first, in red, surest ones in front.

    images: (N, C, H, W) from 0 to 1; probabilities: (N, classes). Mistakes fill at most half of
    the page, right answers in the order of the data the rest. ImportError without matplotlib.
    """
    said = probabilities.argmax(1)
    sure = probabilities.max(1)
    wrong = np.flatnonzero(said != targets)
    right = np.flatnonzero(said == targets)
    places = columns * rows
    room = max(places // 2, places - len(right))
    shown_wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:room]
    shown = [*shown_wrong.tolist(), *right[: places - len(shown_wrong)].tolist()]
    figure = _figure(1.25 * columns, 1.55 * rows + 0.7)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, i in zip(grid.flat, shown, strict=False):
        image = images[i].transpose(1, 2, 0).clip(0, 1)
        grey = image.shape[2] == 1 or (image == image[..., :1]).all()
        axes.imshow(image[..., 0] if grey else image, cmap="gray", vmin=0, vmax=1)
        mistake = said[i] != targets[i]
        text = f"{_short(classes[int(said[i])])}  {share(float(sure[i]), 0)}"
        if mistake:
            text = f"says {text}\nis {_short(classes[int(targets[i])])}"
            axes.add_patch(_frame(image.shape))
        axes.set_title(text, fontsize=8, color=_WRONG if mistake else "black", pad=3)
    figure.suptitle(
        f"{len(targets)} test images, {len(wrong)} mistakes "
        f"({share(len(right) / max(len(targets), 1))} right); "
        + (f"the {len(shown_wrong)} surest mistakes in red" if len(wrong) > len(shown_wrong)
           else "mistakes in red" if len(wrong) else "no mistake to show"),
        fontsize=11,
    )  # fmt: skip
    _write(figure, path)


def can_draw() -> bool:
    """Whether matplotlib is there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def _short(name: str) -> str:
    """'7' for MNIST's '7 - seven', at most 12 characters of anything else."""
    number, dash, _ = name.partition(" - ")
    if dash and number.isdecimal():
        return number
    return _literal(name if len(name) <= 12 else name[:11] + "…")


def _literal(words: str) -> str:
    """Text of which matplotlib makes no formula, and draws no control characters."""
    return plain(words).replace("$", "\\$")


def _figure(width: float, height: float) -> Any:
    """A figure that belongs to no window, whatever the user's matplotlib is set to."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise error(
            ImportError, "report: pictures need matplotlib: pip install 'lucidlite[plot]'"
        ) from None
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _frame(shape: tuple[int, ...]) -> Any:
    from matplotlib.patches import Rectangle

    height, width = shape[:2]
    return Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=_WRONG, linewidth=3)


def _write(figure: Any, path: str | os.PathLike[str]) -> None:
    with atomic_write(path, "report") as file, warnings.catch_warnings():
        # Names in a script that its font lacks are drawn as boxes; report.html has them whole.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(file, format="png")
