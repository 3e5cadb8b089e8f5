"""Runs to make reports of: digits of few classes, colour images of many with hostile names."""

from __future__ import annotations

import numpy as np

from lucidlite.training.metrics import EpochRow
from lucidlite.training.predictions import Predictions
from lucidlite.training.run_page import RunFacts
from lucidlite.training.steps import StepRow

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e"


def epochs(count=3):
    return [
        EpochRow(n, 2.0 / n, 1 - 0.5 / n, 1.8 / n, 1 - 0.6 / n, 1e-3, 800.0 + n, 9.5)
        for n in range(1, count + 1)
    ]


def steps(count=60, per_epoch=20):
    return [
        StepRow(n, 1 + (n - 1) // per_epoch, 2.3 * 0.95**n, 1 - 0.9**n, 1e-3 * n, 750.0 + n)
        for n in range(1, count + 1)
    ]


def predictions(classes, count, shape, wrong=0.2, seed=0):
    """Answers of which about a part ``wrong`` are wrong, and noise as images from 0 to 1."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, count)
    said = np.where(rng.random(count) < wrong, rng.integers(0, classes, count), targets)
    table = rng.random((count, classes)) * 0.2
    table[np.arange(count), said] = 0.3 + rng.random(count)
    table /= table.sum(1, keepdims=True)
    images = rng.random((count, *shape)).astype(np.float32)
    return Predictions(images, table.astype(np.float32), targets.astype(np.int64))


def run(classes=10, count=400, shape=(1, 28, 28), wrong=0.2, **more):
    seen = predictions(classes, count, shape, wrong)
    names = [f"{n} - class {n}" for n in range(classes)]
    names[0], names[-1] = HOSTILE, "a name that goes on and on without an end " * 3
    given = {
        "model": "Net", "data": "noise", "classes": names, "epochs": 3, "steps_in_epoch": 20,
        "rows": epochs(), "steps": steps(), "seen": seen, "images": seen.images,
        "parameters": 1234,
        "layers": [("Net", "10", "-", "-"), ("  0: Linear", "10", "1,234", "9")],
        "settings": [("data", "noise"), ("optimizer", HOSTILE)],
        "commands": [("train it again", "lucidlite train --data noise")],
        "versions": [("Python", "3.12.1"), ("NumPy", "2.1.0")], "seconds": 28.5,
        "written": "Written by hand.",
    }  # fmt: skip
    return RunFacts(**{**given, **more})
