"""lucidlite: a minimal autograd deep-learning framework with PyTorch's names.

>>> import lucidlite as torch
>>> x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = (x**2).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as _numpy  # before anything of ours: its own import is then measurably faster

from lucidlite import autograd
from lucidlite import backends as backends
from lucidlite.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from lucidlite.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from lucidlite.determinism import (
    are_deterministic_algorithms_enabled,
    use_deterministic_algorithms,
)
from lucidlite.device import Device as device
from lucidlite.dtypes import bool_ as bool
from lucidlite.dtypes import (
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    short,
    uint8,
)
from lucidlite.dtypes import float_ as float
from lucidlite.dtypes import int_ as int
from lucidlite.generator import Generator, default_generator
from lucidlite.ops.activation import erf, log_softmax, relu, sigmoid, softmax, tanh
from lucidlite.ops.choose import clamp, masked_fill, maximum, minimum, where
from lucidlite.ops.common import result_type
from lucidlite.ops.compare import (
    allclose,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    equal,
    ge,
    gt,
    is_nonzero,
    is_tensor,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from lucidlite.ops.elementwise import (
    add,
    div,
    floor_divide,
    lerp,
    mul,
    pow,
    remainder,
    square,
    sub,
)
from lucidlite.ops.extremes import amax, amin, argmax, argmin, max, min
from lucidlite.ops.gather import gather, masked_select, scatter_add, take_along_dim
from lucidlite.ops.indexing import index_select, narrow, nonzero, select
from lucidlite.ops.join import cat, chunk, flip, roll, split, stack, tile, unbind
from lucidlite.ops.matmul import addmm, bmm, dot, matmul, mm, mv, outer
from lucidlite.ops.reduce import all, any, cumsum, mean, prod, sum
from lucidlite.ops.shape import (
    broadcast_to,
    flatten,
    movedim,
    permute,
    reshape,
    squeeze,
    t,
    transpose,
    unflatten,
    unsqueeze,
)
from lucidlite.ops.sorting import argsort, sort, topk
from lucidlite.ops.statistics import logsumexp, norm, std, var
from lucidlite.ops.unary import (
    abs,
    ceil,
    clone,
    cos,
    exp,
    expm1,
    floor,
    log,
    log1p,
    log2,
    log10,
    neg,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    sqrt,
    trunc,
)
from lucidlite.printing import get_printoptions, printoptions, set_printoptions
from lucidlite.sampling import (
    bernoulli,
    get_rng_state,
    initial_seed,
    manual_seed,
    normal,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from lucidlite.size import Size
from lucidlite.tensor import Tensor
from lucidlite.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from lucidlite import accelerator, cuda, nn, optim, utils
    from lucidlite.serialization import load, save

__version__ = "0.1.0"

absolute, clip, concat, divide, multiply = abs, clamp, cat, div, mul
concatenate, subtract, swapaxes, true_divide = cat, sub, transpose, div

# These load when they are first asked for: importing lucidlite stays close to importing NumPy.
_LATER = {
    "accelerator": "lucidlite.accelerator",
    "cuda": "lucidlite.cuda",
    "datasets": "lucidlite.datasets",
    "load": "lucidlite.serialization",
    "models": "lucidlite.models",
    "nn": "lucidlite.nn",
    "optim": "lucidlite.optim",
    "save": "lucidlite.serialization",
    "summary": "lucidlite.summary",
    "training": "lucidlite.training",
    "utils": "lucidlite.utils",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lucidlite' has no attribute '{name}'")
    module = importlib.import_module(_LATER[name])
    value = getattr(module, name, module)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])
