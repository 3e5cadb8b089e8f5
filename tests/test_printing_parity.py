"""The print format on random arrays and options, byte for byte against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lucidlite import dtypes, printing
from lucidlite.creation import from_numpy

torch = pytest.importorskip("torch", reason="compares with PyTorch")

SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0]
BOUNDS = [1e8, 1.00000001e8, 1e-4, 9.9999e-5, 1000.0, 1.0, 1e-3, 1001.0, 9.99995, 0.99995, 12345.7]


def random_shape(rng):
    if rng.random() < 0.1:
        return tuple(rng.integers(1, 2500, rng.integers(1, 3)))
    shape = tuple(rng.integers(rng.random() > 0.1, rng.choice([3, 7, 12]), rng.integers(0, 6)))
    while math.prod(shape) > 4000:
        shape = shape[1:]
    return shape


def random_array(rng):
    shape = random_shape(rng)
    dtype = rng.choice([t.name for t in dtypes.ALL])
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if kind in "iu":
        info = np.iinfo(dtype)
        high = min(info.max, 10 ** int(rng.integers(0, 19)))
        low = max(info.min, -high * int(rng.integers(0, 2)))
        return np.asarray(rng.integers(low, high, shape, endpoint=True)).astype(dtype)
    values = rng.standard_normal(shape)
    form = rng.integers(0, 7)
    if form == 0:
        values = np.round(values * 10.0 ** rng.integers(0, 6))
    elif form == 1:
        values = values * 10.0 ** rng.integers(-12, 12)
    elif form == 2:
        values = values * 10.0 ** rng.integers(-4, 4, shape)
    elif form == 3:
        values = values * 10.0 ** rng.integers(-300, 300, shape)
    elif form == 4:
        values = rng.choice(BOUNDS, shape)
    elif form == 5:
        values = values * 0
    if rng.random() < 0.3:
        values = np.where(rng.random(shape) < 0.3, rng.choice(SPECIAL, shape), values)
    with np.errstate(over="ignore", under="ignore"):
        array = np.asarray(values).astype(dtype)
    return array.transpose(rng.permutation(array.ndim)) if rng.random() < 0.3 else array


def random_options(rng):
    choices = {
        "precision": int(rng.integers(0, 8)),
        "threshold": int(rng.choice([0, 5, 100, 1000])),
        "edgeitems": int(rng.integers(0, 5)),
        "linewidth": int(rng.choice([0, 20, 79, 80, 120])),
        "sci_mode": bool(rng.random() < 0.5),
    }
    return {name: value for name, value in choices.items() if rng.random() < 0.15}


@pytest.mark.parametrize("seed", range(4))
def test_random_arrays_print_as_pytorchs(seed):
    rng = np.random.default_rng(seed)
    wrong = []
    try:
        for _ in range(100):
            array, options = random_array(rng), random_options(rng)
            requires_grad = array.dtype.kind == "f" and rng.random() < 0.3
            torch.set_printoptions(profile="default")
            printing.set_printoptions(profile="default")
            torch.set_printoptions(**options)
            printing.set_printoptions(**options)
            theirs = torch.from_numpy(array.copy()).requires_grad_(bool(requires_grad))
            ours = from_numpy(array).requires_grad_(bool(requires_grad))
            if repr(theirs) != repr(ours):
                wrong.append((options, repr(theirs), repr(ours)))
            if array.ndim == 0:
                assert format(theirs, ">12") == format(ours, ">12")
    finally:
        torch.set_printoptions(profile="default")
        printing.set_printoptions(profile="default")
    assert wrong == []
