"""Shared by the tests that hold lucidlite to PyTorch: the same call on both, and what differs."""

from __future__ import annotations

import os
import warnings
from types import SimpleNamespace

import numpy as np

import lucidlite

TEST_ALL = os.environ.get("LUCIDLITE_TEST_ALL") == "1"


def numpy_of(value):
    """A tensor of either library as a NumPy array."""
    return value.detach().numpy()


def outcome(call):
    """What ``call()`` returns and None, or None and what it raises."""
    try:
        return call(), None
    except Exception as problem:
        return None, problem


def quietly(call):
    """``outcome``, with warnings off: PyTorch warns where lucidlite has nothing to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return outcome(call)


def libraries():
    """lucidlite and PyTorch, each with ``nn`` and ``F``."""
    import torch

    return tuple(
        SimpleNamespace(lib=lib, nn=lib.nn, F=lib.nn.functional) for lib in (lucidlite, torch)
    )


def assert_close(ours, theirs, rtol=1e-5, atol=1e-6, what=""):
    """Two arrays equal in shape and dtype, and in value within the tolerances (NaN equals NaN)."""
    assert ours.shape == tuple(theirs.shape), f"{what}: shape {ours.shape}, torch {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: dtype {ours.dtype}, torch {theirs.dtype}"
    np.testing.assert_allclose(ours, theirs, rtol, atol, equal_nan=True, err_msg=what)


def layout(array, kind):
    """``array``'s values in another memory order."""
    if kind == "contiguous" or array.ndim < 3:
        return array
    if kind == "transposed":
        return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)
    if kind == "channels_last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -3, -1)), -1, -3)
    if kind == "conv":
        order = (2, 3, 0, 1) if array.ndim == 4 else (1, 2, 0)
        back = np.argsort(order)
        return np.ascontiguousarray(array.transpose(order)).transpose(back)
    if kind == "sliced":
        wide = np.zeros((*array.shape[:-2], array.shape[-2] * 2, array.shape[-1] + 3), array.dtype)
        view = wide[..., ::2, 1:-2]
        view[...] = array
        return view
    raise ValueError(kind)
