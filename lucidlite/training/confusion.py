"""What a model mixes up: counts of truth and answer, and its mistakes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lucidlite.training.predictions import Predictions


class Pair(NamedTuple):
    """``times`` images of class ``truth`` were taken for ``said``."""

    truth: int
    said: int
    times: int


class Mistake(NamedTuple):
    """Image ``number`` was said to be ``said``; ``truth`` got ``truth_share`` of 1."""

    number: int
    said: int
    sure: float
    truth: int
    truth_share: float


def confusion(seen: Predictions, classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): row by what images are, column by what the model said."""
    said = seen.probabilities.argmax(1)
    cells = np.bincount(seen.targets * classes + said, minlength=classes * classes)
    return cells.reshape(classes, classes)


def rates(counts: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each class's recall and precision from 0 to 1, NaN where there is nothing to count."""
    hits = np.diagonal(counts).astype(np.float64)
    parts = []
    for whole in (counts.sum(1), counts.sum(0)):
        part = np.full(len(counts), np.nan)
        np.divide(hits, whole, out=part, where=whole > 0)
        parts.append(part)
    return parts[0], parts[1]


def pairs(counts: NDArray[Any], most: int) -> list[Pair]:
    """The mistakes made most often, most frequent first."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, wrong.shape)
    return [
        Pair(truth, said, int(wrong[truth, said]))
        for truth, said in zip(rows.tolist(), columns.tolist(), strict=True)
        if wrong[truth, said]
    ]


def worst_mistakes(seen: Predictions, most: int) -> list[Mistake]:
    """The mistakes of which the model was surest, surest first."""
    said = seen.probabilities.argmax(1)
    sure = seen.probabilities.max(1)
    wrong = np.flatnonzero(said != seen.targets)
    order = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    return [
        Mistake(
            index, int(said[index]), float(sure[index]), int(seen.targets[index]),
            float(seen.probabilities[index, seen.targets[index]]),
        )
        for index in order.tolist()
    ]  # fmt: skip
