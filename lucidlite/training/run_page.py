"""report.html: a run on one page, for someone who wasn't there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lucidlite.pages import joined
from lucidlite.tables import cut, share
from lucidlite.training.charts import Chart, Line, draw
from lucidlite.training.confusion import confusion, pairs
from lucidlite.training.confusion_html import confusion_section, mistakes_section
from lucidlite.training.markup import element, facts, plain, table, text
from lucidlite.training.metrics import EpochRow
from lucidlite.training.predictions import Predictions
from lucidlite.training.steps import StepRow

_SMOOTHED = 100  # rows, from which on a smoothed line goes with them
PAGE = Path(__file__).with_name("page")


@dataclass
class RunFacts:
    """What the page tells. ``images`` are those of ``seen``, (N, C, H, W) from 0 to 1.

    ``layers`` has (name, output, parameters, multiply-adds) of each layer as texts, ``settings``
    and ``versions`` (name, value); ``stopped`` says where a run ended early. ``trained_on`` counts
    the training images (0: not known).
    """

    model: str
    data: str
    classes: Sequence[str]
    epochs: int
    steps_in_epoch: int
    trained_on: int = 0
    rows: Sequence[EpochRow] = ()
    steps: Sequence[StepRow] = ()
    seen: Predictions | None = None
    images: NDArray[Any] | None = None
    parameters: int = 0
    layers: Sequence[Sequence[str]] = ()
    settings: Sequence[tuple[str, str]] = ()
    commands: Sequence[tuple[str, str]] = ()
    versions: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    stopped: str = ""
    written: str = ""
    seconds: float = 0.0
    counts: NDArray[np.int64] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.seen is not None and len(self.seen.targets):
            self.counts = confusion(self.seen, len(self.classes))

    @property
    def title(self) -> str:
        return f"{self.model} on {self.data}"

    @property
    def best(self) -> EpochRow | None:
        return max(self.rows, key=lambda row: row.test_accuracy, default=None)


def report_page(run: RunFacts) -> str:
    """The whole page as HTML."""
    charts = _charts(run)
    data: dict[str, Any] = {
        "title": plain(f"{run.title}: {_result(run)}"),
        "charts": {name: chart.data for name, chart in charts.items()},
    }
    body = [
        f"<header><h1>{text(run.title)}</h1>",
        element("p", _sentence(run), "lead"),
        "</header><main>",
        _figures(run),
        _warnings(run),
        _curves(run, charts),
    ]
    if run.counts is not None and run.seen is not None and run.images is not None:
        html, cells = confusion_section(run.counts, run.classes)
        if cells is not None:
            data["matrix"] = {"names": [*map(plain, run.classes)], "cells": cells}
        body += [html, mistakes_section(run.seen, run.images, run.classes)]
    body += [_model(run), _configuration(run), "</main>"]
    body.append(f"<footer>{text(run.written)}</footer>")
    return joined(PAGE, data, "\n".join(body))


def _result(run: RunFacts) -> str:
    best = run.best
    return "no epoch finished" if best is None else f"{share(best.test_accuracy, 2)} right"


def _sentence(run: RunFacts) -> str:
    best = run.best
    done = f"{len(run.rows)} epoch{'s' if len(run.rows) != 1 else ''}"
    on = f" on {run.trained_on:,} images" if run.trained_on else " of training"
    many = f"{len(run.classes)} class{'es' if len(run.classes) != 1 else ''}"
    if best is None:
        return f"The run ended before its first epoch was over. {run.stopped}".strip()
    said = (
        f"After {done}{on} the network puts {share(best.test_accuracy, 2)} of the test images "
        f"into the right one of {many}"
    )
    if len(run.rows) > 1:
        said += f" (with the weights of epoch {best.epoch}, the best)"
    said += "."
    if run.counts is not None:
        wrong = int(run.counts.sum() - np.trace(run.counts))
        total = int(run.counts.sum())
        if not wrong:
            said += f" It makes no mistake on {total:,} images."
        else:
            top = pairs(run.counts, 1)[0]
            true, answer = (cut(run.classes[each], 48) for each in (top.truth, top.said))
            times = f"{top.times:,} time{'s' if top.times != 1 else ''}"
            mistakes = run.counts - np.diag(run.counts.diagonal())
            others = int((mistakes == top.times).sum()) - 1
            if others:
                times += f", like {others:,} other pair{'s' if others != 1 else ''}"
            said += (
                f" {wrong:,} of {total:,} {'is' if wrong == 1 else 'are'} wrong; most often "
                f"“{true}” is taken for “{answer}” ({times})."
            )
    return f"{said} {run.stopped}".strip()


def _figures(run: RunFacts) -> str:
    best, shown = run.best, []
    if best is not None:
        shown.append(("Best test accuracy", share(best.test_accuracy, 2), f"epoch {best.epoch}"))
        shown.append(("Test loss there", f"{best.test_loss:.4f}", "cross entropy, mean"))
    if run.counts is not None:
        total = int(run.counts.sum())
        wrong = total - int(np.trace(run.counts))
        shown.append(("Mistakes", f"{wrong:,}", f"of {total:,} test images"))
    done = f"{len(run.rows)} of {run.epochs} epoch{'s' if run.epochs != 1 else ''}"
    shown.append(("Training took", duration(run.seconds), done))
    speeds = [row.images_per_second for row in run.rows or run.steps]
    if speeds:
        shown.append(("Speed", f"{float(np.median(speeds)):,.0f}", "images per second, median"))
    shown.append(("Model", f"{run.parameters:,}", "parameters"))
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(more)}</small></dd></div>"
        for name, value, more in shown
    )
    return f'<dl class="figures">{cells}</dl>'


def _warnings(run: RunFacts) -> str:
    if not run.warnings:
        return ""
    many = len(run.warnings)
    head = "A warning was raised" if many == 1 else f"{many} warnings were raised"
    each = "".join(element("pre", warning) for warning in run.warnings)
    return f'<section class="note" id="warnings"><h2>{head} while training</h2>{each}</section>'


# -- curves ------------------------------------------------------------------------------------


def _charts(run: RunFacts) -> dict[str, Chart]:
    per = max(run.steps_in_epoch, 1)
    times = [step.step / per for step in run.steps]
    ends = [float(row.epoch) for row in run.rows]
    last = max([1.0, *times[-1:], *ends[-1:]])
    best = run.best

    def train(
        of_step: Callable[[StepRow], float], of_row: Callable[[EpochRow], float]
    ) -> list[Line]:
        if not run.steps:
            values = [*map(of_row, run.rows)]
            return [Line("train, over the epoch", "train", ends, values, dots=True)]
        values = [*map(of_step, run.steps)]
        if len(values) < _SMOOTHED:
            return [Line("train, as it learns", "train", times, values)]
        return [
            Line("train, as measured", "raw", times, values),
            Line("train, smoothed", "train", times, smoothed(values, len(values) // 80)),
        ]

    def test(of_row: Callable[[EpochRow], float]) -> list[Line]:
        values = [*map(of_row, run.rows)]
        return [Line("test, after the epoch", "test", ends, values, dots=True)] if values else []

    def percent(value: float) -> str:
        return f"{value:.6g}%" if value == round(value) else share(value / 100, 2)

    charts = {
        "loss": draw(
            "loss",
            [*train(lambda s: s.loss, lambda r: r.train_loss), *test(lambda r: r.test_loss)],
            last, label="Loss (cross entropy; lower is better)", low=0.0, say=_short,
        ),
        "accuracy": draw(
            "accuracy",
            [
                *train(lambda s: 100 * s.accuracy, lambda r: 100 * r.train_accuracy),
                *test(lambda r: 100 * r.test_accuracy),
            ],
            last, label="Accuracy (share of images told right)", high=100.0, say=percent,
            unit="%", ring=None if best is None else (best.epoch, 100 * best.test_accuracy),
        ),
    }  # fmt: skip
    if run.steps:
        charts["lr"] = draw(
            "lr", [Line("learning rate", "train", times, [s.lr for s in run.steps])], last,
            label="Learning rate", low=0.0, say=_short,
        )  # fmt: skip
        charts["speed"] = draw(
            "speed",
            [Line("training speed", "train", times, [s.images_per_second for s in run.steps])],
            last, label="Images per second", low=0.0, say=_short, unit=" images/s",
        )  # fmt: skip
    return charts


def _curves(run: RunFacts, charts: dict[str, Chart]) -> str:
    best = run.best
    ring = "" if best is None else f"The ring is the best epoch, {best.epoch}. "
    drawn = "".join(chart.html for chart in charts.values())
    rows = [
        [
            str(row.epoch), f"{row.train_loss:.4f}", share(row.train_accuracy, 2),
            f"{row.test_loss:.4f}", share(row.test_accuracy, 2), f"{row.lr:.3g}",
            f"{row.images_per_second:,.0f}", duration(row.seconds),
        ]
        for row in run.rows
    ]  # fmt: skip
    head = ("epoch", "train loss", "train accuracy", "test loss", "test accuracy",
            "learning rate", "images/s", "training time")  # fmt: skip
    marked = None if best is None else best.epoch - 1
    numbers = table(head, rows, "Every epoch, the best in bold", marked=marked)
    return (
        '<section id="curves"><h2>How it learned</h2>'
        + element(
            "p",
            f"{ring}Train is measured while the network still changes and, with dropout, with "
            "a part of it switched off, so that test can be ahead of it. Hover, tap, or use the "
            "arrow keys for values.",
            "hint",
        )
        + f'<div class="charts">{drawn}</div>'
        + (
            f'<details><summary>The numbers of each epoch</summary><div class="card scroll" '
            f'tabindex="0" role="region" aria-label="Epochs">{numbers}</div></details>'
            if rows else ""
        )
        + "</section>"
    )  # fmt: skip


# -- the rest ----------------------------------------------------------------------------------


def _model(run: RunFacts) -> str:
    if not run.layers:
        return ""
    head = ("layer", "output for one image", "parameters", "multiply-adds")
    rows = table(head, run.layers, f"{run.parameters:,} parameters in all")
    return (
        f'<section id="model"><h2>The model</h2><div class="card scroll layers" tabindex="0" '
        f'role="region" aria-label="Layers">{rows}</div></section>'
    )


def _configuration(run: RunFacts) -> str:
    commands = "".join(
        f"<dt>{text(name)}</dt><dd><pre>{text(command)}</pre></dd>"
        for name, command in run.commands
    )
    return (
        '<section id="configuration"><h2>How to repeat it</h2>'
        f'<div class="card"><dl class="facts">{commands}</dl></div>'
        '<h2>Settings and versions</h2><div class="two">'
        f'<div class="card"><h3>Settings</h3>{facts(run.settings)}</div>'
        f'<div class="card"><h3>Versions</h3>{facts(run.versions)}</div></div></section>'
    )


def smoothed(values: Sequence[float], around: int) -> list[float]:
    """Each value's mean with so many before and after it, as far as there are so many.

    >>> smoothed([0, 3, 3, 0, 0], 1)
    [0.0, 2.0, 2.0, 1.0, 0.0]
    """
    sums = list(itertools.accumulate(values, initial=0.0))
    means = []
    for place in range(len(values)):
        reach = min(around, place, len(values) - 1 - place)
        start, end = place - reach, place + reach + 1
        means.append((sums[end] - sums[start]) / (end - start))
    return means


def duration(seconds: float) -> str:
    """'0.8 s', '12 s', '3 min 20 s', '2 h 5 min'.

    >>> duration(200)
    '3 min 20 s'
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def _short(value: float) -> str:
    """A value with four digits or so."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5) and math.isfinite(value):
        mantissa, _, power = f"{value:.3g}".partition("e")
        return f"{mantissa}e{int(power)}" if power else mantissa
    return f"{value:.4g}"
