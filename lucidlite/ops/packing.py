"""Sequences of a padded batch under each other, step by step and without the padding; and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends import cpu
from lucidlite.callsite import error
from lucidlite.ops.indexing import getitem, index_put, index_select
from lucidlite.tape import wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

    Host = np.ndarray[Any, Any]


def on_host(values: Any) -> Host:
    """A tensor or a list of ints as a host array of int64."""
    if isinstance(values, TensorBase):
        return values.backend.to_numpy(values.array).astype(np.int64)
    return np.asarray([int(v) for v in values], np.int64)


def inverse(permutation: Tensor) -> Tensor:
    """Where each number stands in a permutation, on its device."""
    return _tensor(np.argsort(on_host(permutation)), permutation)


def _tensor(host: Host, like: Tensor) -> Tensor:
    return wrap(like.backend.asarray(host), like.backend)


def packed(
    input: Tensor, lengths: Any, batch_first: bool, enforce_sorted: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows of the steps within each length, how many each step has, and the order of sequences."""
    if isinstance(lengths, TensorBase) and lengths.backend is not cpu:
        raise error(
            RuntimeError,
            "pack_padded_sequence: 'lengths' argument should be a 1D CPU int64 tensor, "
            f"got one on {lengths.device}",
        )
    sizes, order = on_host(lengths), None
    if not enforce_sorted and sizes.ndim == 1:
        places = np.argsort(-sizes, kind="stable")
        sizes, order = sizes[places], _tensor(places, input)
        input = index_select(input, 0 if batch_first else 1, order)
    batch, steps = input.array.shape[:2] if batch_first else input.array.shape[1::-1]
    _check_lengths(sizes, batch, steps)
    step, row = _places(sizes)
    key = (row, step) if batch_first else (step, row)
    data = getitem(input, tuple(_tensor(places, input) for places in key))
    return data, wrap(np.bincount(step).astype(np.int64), cpu), order


def padded(
    data: Tensor, batch_sizes: Tensor, batch_first: bool, value: float, total: int | None
) -> tuple[Tensor, Tensor]:
    """The padded batch, of ``total`` steps if given, and the lengths (on the CPU)."""
    counts = on_host(batch_sizes)
    batch, steps = int(counts[0]), len(counts)
    if total is not None and total < steps:
        raise error(
            ValueError,
            "pad_packed_sequence: Expected total_length to be at least the length of the longest "
            f"sequence in input, but got total_length={total} and max sequence length {steps}",
        )
    steps = steps if total is None else total
    lengths = (counts[:, None] > np.arange(batch)).sum(0)
    step, row = (_tensor(places, data) for places in _places(lengths))
    shape, key = ((batch, steps), (row, step)) if batch_first else ((steps, batch), (step, row))
    full = data.backend.xp.full((*shape, *data.array.shape[1:]), value, data.array.dtype)
    out = index_put(wrap(full, data.backend), key, data)
    return out, wrap(lengths.astype(np.int64), cpu)


def _places(sizes: Host) -> tuple[Host, Host]:
    """(step, sequence) of each packed row, for sequences of decreasing lengths."""
    there = np.arange(sizes[0])[:, None] < sizes
    step, row = np.nonzero(there)
    return step, row


def _check_lengths(sizes: Host, batch: int, steps: int) -> None:
    rule = ""
    if not batch or not steps:
        rule = "Cannot pack empty tensors."
    elif sizes.ndim != 1:
        rule = f"'lengths' argument should be a 1D CPU int64 tensor, but got {sizes.ndim}D"
    elif sizes.size != batch:
        rule = (
            "Expected `len(lengths)` to be equal to batch_size, "
            f"but got {sizes.size} (batch_size={batch})"
        )
    elif (np.diff(sizes) > 0).any():
        rule = (
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True; "
            f"pass enforce_sorted=False, got {sizes.tolist()}"
        )
    elif sizes.min() <= 0:
        rule = (
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            f"that is <= 0: {sizes.min()}"
        )
    elif sizes.max() > steps:
        rule = f"lengths must not exceed the input's {steps} steps, got {sizes.max()}"
    if rule:
        raise error(RuntimeError, f"pack_padded_sequence: {rule}")
