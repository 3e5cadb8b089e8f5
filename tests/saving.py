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


def same(a, b):
    """Whether two structures are equal: types, dtypes, order and every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "detach"):
        return a.requires_grad == b.requires_grad and same(a.detach().numpy(), b.detach().numpy())
    if isinstance(a, (np.ndarray, np.generic)):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return repr(a) == repr(b)
