"""Shared by the tests of save and load."""

from __future__ import annotations

import io
import math

import numpy as np

from lucidlite.creation import from_numpy
from lucidlite.serialization import load, save


def dumps(obj):
    file = io.BytesIO()
    save(obj, file)
    return file.getvalue()


def loads(data, **options):
    return load(io.BytesIO(data), **options)


def round_trip(obj):
    return loads(dumps(obj))


def checkpoint():
    weight = from_numpy(np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4))
    weight.requires_grad_()
    return {
        "epoch": 3,
        "model": {"weight": weight, "mask": from_numpy(np.array([True, False]))},
        "optimizer": {"state": {0: {"step": 7, "exp_avg": from_numpy(np.ones(3))}}, "lr": 1e-3},
        "history": [(1, 0.5), (2, math.inf)],
        "seen": np.arange(12, dtype=np.int16).reshape(3, 4),
    }
