"""Multiply-adds of a forward: the products that convolutions and matrix products sum up.

They are counted where they are done: at the few operations that everything with products ends in,
whatever layer or function called it. (Biases, activations, pooling and normalization have none.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from types import CodeType, FrameType
from typing import Any

from lucidlite.ops.conv import conv2d_input_grad, conv2d_weight_grad, convolved
from lucidlite.ops.conv_transpose import _conv_transpose
from lucidlite.ops.matmul import _product, addmm, dot, linear
from lucidlite.ops.products import baddbmm
from lucidlite.ops.recurrent_layer import _fused
from lucidlite.tensor_base import TensorBase


def _of_each(values: dict[str, Any], out: Any, factor: str, lead: int) -> int:
    """Each element of ``out`` sums one product for every element behind the first dims."""
    return int(out.array.size * prod(values[factor].array.shape[lead:]))


def _linear(values: dict[str, Any], out: Any) -> int:
    shape = values["weight"].array.shape  # with one row it is a matmul, which counts itself
    return int(out.array.size * shape[1]) if len(shape) == 2 else 0


def _recurrent(values: dict[str, Any], _: Any) -> int:
    """Every row meets all the weights but the biases."""
    w_ih, w_hh, _, _, w_hr = values["weights"]
    sizes = [w.array.size for w in (w_ih, w_hh, w_hr) if w is not None]
    return int(sum(values["counts"]) * sum(sizes))


# From an operation's arguments and its result to the number. A filter of shape (K, C, kH, kW) meets
# each output of a convolution, and each input of a transposed one, with C x kH x kW weights.
_COUNTS: dict[Callable[..., Any], Callable[[dict[str, Any], Any], int]] = {
    convolved: lambda v, out: _of_each(v, out, "weight", 1),
    _conv_transpose: lambda v, _: _of_each(v, v["input"], "weight", 1),
    conv2d_input_grad: lambda v, _: _of_each(v, v["grad"], "weight", 1),
    conv2d_weight_grad: lambda v, _: int(v["grad"].array.size * prod(v["shape"][1:])),
    linear: _linear,
    _product: lambda v, out: int(out.array.size * v["x"].array.shape[-1]),
    dot: lambda v, _: int(v["input"].array.size),
    addmm: lambda v, out: _of_each(v, out, "mat1", 1),
    baddbmm: lambda v, out: _of_each(v, out, "batch1", 2),
    _fused: _recurrent,
}
_CODES: dict[CodeType, Callable[[dict[str, Any], Any], int]] = {
    function.__code__: count
    for function, count in _COUNTS.items()
}


@contextmanager
def counted(note: Callable[[int], None]) -> Iterator[None]:
    """Call ``note(n)`` after each operation with ``n`` multiply-adds that this thread runs.

    It listens by ``sys.setprofile``: a profiler that does so too is stopped for the block.
    """

    def listen(frame: FrameType, what: str, value: Any) -> None:
        if what == "return" and isinstance(value, TensorBase | tuple):
            count = _CODES.get(frame.f_code)
            if count is not None:
                note(count(dict(frame.f_locals), value))

    other: Any = sys.getprofile()
    own = hasattr(other, "disable") and hasattr(other, "enable")  # cProfile, to Python 3.11
    if own:
        other.disable()
    sys.setprofile(listen)
    try:
        yield
    finally:
        sys.setprofile(None if own else other)
        if own:
            other.enable()
