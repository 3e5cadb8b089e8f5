"""The state that optimizers keep for a parameter."""

from __future__ import annotations

import numpy as np

from lucidlite.backends import cpu
from lucidlite.dtypes import float64, get_default_dtype
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor


def state_like(param: Tensor, value: float = 0.0) -> Tensor:
    """A tensor of the parameter's shape, dtype and device, full of ``value``."""
    array = param.backend.xp.zeros_like(param.array, order="C")
    if value:
        array[...] = value
    return wrap(array, param.backend)


def host_number(value: float) -> Tensor:
    """A number that is read every step, as PyTorch keeps it: a 0-dim tensor on the host."""
    kind = np.float64 if get_default_dtype() is float64 else np.float32
    return wrap(np.array(value, dtype=kind), cpu)
