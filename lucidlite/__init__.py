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
from lucidlite.backends import get_default_device
from lucidlite.backends.cuda import get_float32_matmul_precision, set_float32_matmul_precision
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
    logspace,
    ones,
    ones_like,
    scalar_tensor,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from lucidlite.determinism import (
    are_deterministic_algorithms_enabled,
    use_deterministic_algorithms,
)
from lucidlite.device import Device as device
from lucidlite.device import set_default_device
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
from lucidlite.ops.arranging import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_tensors,
    cartesian_prod,
    column_stack,
    combinations,
    dsplit,
    dstack,
    fliplr,
    flipud,
    hsplit,
    hstack,
    meshgrid,
    repeat_interleave,
    rot90,
    tensor_split,
    vsplit,
    vstack,
)
from lucidlite.ops.choose import (
    clamp,
    clamp_max,
    clamp_min,
    masked_fill,
    maximum,
    minimum,
    where,
)
from lucidlite.ops.common import result_type
from lucidlite.ops.compare import (
    allclose,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    eq,
    equal,
    ge,
    gt,
    is_complex,
    is_floating_point,
    is_nonzero,
    is_tensor,
    isclose,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    isreal,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
    signbit,
)
from lucidlite.ops.contraction import einsum, tensordot
from lucidlite.ops.cumulative import cummax, cummin, cumprod, diff, logcumsumexp
from lucidlite.ops.diagonals import (
    block_diag,
    diag,
    diag_embed,
    diagflat,
    diagonal,
    trace,
    tril,
    triu,
)
from lucidlite.ops.distinct import (
    bincount,
    bucketize,
    count_nonzero,
    histc,
    isin,
    searchsorted,
    unique,
    unique_consecutive,
)
from lucidlite.ops.elementwise import (
    add,
    div,
    floor_divide,
    lerp,
    mul,
    pow,
    remainder,
    rsub,
    square,
    sub,
)
from lucidlite.ops.extremes import amax, amin, aminmax, argmax, argmin, max, min
from lucidlite.ops.gates import prelu, rrelu
from lucidlite.ops.gather import gather, masked_select, scatter_add, take_along_dim
from lucidlite.ops.indexing import index_select, narrow, nonzero, select
from lucidlite.ops.join import cat, chunk, flip, roll, split, stack, tile, unbind
from lucidlite.ops.linalg import cdist, renorm
from lucidlite.ops.matmul import addmm, bmm, dot, matmul, mm, mv, outer
from lucidlite.ops.pairs import (
    addcdiv,
    addcmul,
    atan2,
    copysign,
    float_power,
    fmax,
    fmin,
    fmod,
    heaviside,
    hypot,
    ldexp,
    logaddexp,
    logaddexp2,
    xlogy,
)
from lucidlite.ops.products import (
    addbmm,
    addmv,
    addr,
    baddbmm,
    chain_matmul,
    cross,
    inner,
    kron,
    matrix_power,
    vdot,
)
from lucidlite.ops.put import (
    argwhere,
    diagonal_scatter,
    fill,
    index_put,
    put,
    select_scatter,
    slice_scatter,
    take,
)
from lucidlite.ops.random import bernoulli, multinomial
from lucidlite.ops.reduce import all, any, cumsum, mean, prod, sum
from lucidlite.ops.scatter import scatter, scatter_reduce
from lucidlite.ops.selection import kthvalue, median, mode, nanmedian, quantile
from lucidlite.ops.shape import (
    broadcast_to,
    detach,
    flatten,
    movedim,
    numel,
    permute,
    ravel,
    reshape,
    squeeze,
    t,
    transpose,
    unflatten,
    unsqueeze,
)
from lucidlite.ops.shape import matrix_transpose as adjoint
from lucidlite.ops.slices import index_add, index_copy, index_fill, masked_scatter
from lucidlite.ops.smooth import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    cosh,
    deg2rad,
    erfc,
    erfinv,
    exp2,
    frac,
    logit,
    nan_to_num,
    rad2deg,
    sinc,
    sinh,
    tan,
)
from lucidlite.ops.sorting import argsort, msort, sort, topk
from lucidlite.ops.statistics import (
    dist,
    logsumexp,
    nanmean,
    nansum,
    norm,
    std,
    std_mean,
    var,
    var_mean,
)
from lucidlite.ops.strided import as_strided
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
    positive,
    reciprocal,
    round,
    rsqrt,
    sgn,
    sign,
    sin,
    sqrt,
    trunc,
)
from lucidlite.ops.units import celu, hardshrink, selu, threshold
from lucidlite.printing import get_printoptions, printoptions, set_printoptions
from lucidlite.sampling import (
    get_rng_state,
    initial_seed,
    manual_seed,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from lucidlite.scope import absent as _absent
from lucidlite.size import Size
from lucidlite.tensor import Tensor
from lucidlite.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from lucidlite import accelerator, amp, cuda, linalg, nn, optim, profiler, utils
    from lucidlite.amp import GradScaler, autocast
    from lucidlite.amp.autocast_mode import (
        clear_autocast_cache,
        get_autocast_dtype,
        is_autocast_cache_enabled,
        is_autocast_enabled,
    )
    from lucidlite.backends.cupy_kernels.memory import OutOfMemoryError
    from lucidlite.costs import summary
    from lucidlite.interop import asarray, from_dlpack
    from lucidlite.ops.distance import cosine_similarity, pairwise_distance
    from lucidlite.ops.facts import (
        broadcast_shapes,
        can_cast,
        is_inference,
        is_same_size,
        is_signed,
    )
    from lucidlite.ops.feature_dropout import alpha_dropout, feature_alpha_dropout
    from lucidlite.serialization import load, save
    from lucidlite.watching import watch

__version__ = "0.1.0"

e, inf, nan, pi, newaxis = _numpy.e, _numpy.inf, _numpy.nan, _numpy.pi, None

absolute, clip, concat, divide, multiply = abs, clamp, cat, div, mul
concatenate, subtract, swapaxes, true_divide = cat, sub, transpose, div
swapdims, moveaxis, row_stack = transpose, movedim, vstack
negative, fix, ger = neg, trunc, outer
arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2
arcsinh, arccosh, arctanh = asinh, acosh, atanh
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne

# These load when they are first asked for: importing lucidlite stays close to importing NumPy.
_LATER = {
    "accelerator": "lucidlite.accelerator",
    "alpha_dropout": "lucidlite.ops.feature_dropout",
    "amp": "lucidlite.amp",
    "asarray": "lucidlite.interop",
    "autocast": "lucidlite.amp",
    "broadcast_shapes": "lucidlite.ops.facts",
    "can_cast": "lucidlite.ops.facts",
    "clear_autocast_cache": "lucidlite.amp.autocast_mode",
    "cosine_similarity": "lucidlite.ops.distance",
    "cuda": "lucidlite.cuda",
    "datasets": "lucidlite.datasets",
    "feature_alpha_dropout": "lucidlite.ops.feature_dropout",
    "from_dlpack": "lucidlite.interop",
    "get_autocast_dtype": "lucidlite.amp.autocast_mode",
    "GradScaler": "lucidlite.amp",
    "is_autocast_cache_enabled": "lucidlite.amp.autocast_mode",
    "is_autocast_enabled": "lucidlite.amp.autocast_mode",
    "is_inference": "lucidlite.ops.facts",
    "is_same_size": "lucidlite.ops.facts",
    "is_signed": "lucidlite.ops.facts",
    "linalg": "lucidlite.linalg",
    "load": "lucidlite.serialization",
    "models": "lucidlite.models",
    "nn": "lucidlite.nn",
    "onnx": "lucidlite.onnx",
    "optim": "lucidlite.optim",
    "OutOfMemoryError": "lucidlite.backends.cupy_kernels.memory",
    "pairwise_distance": "lucidlite.ops.distance",
    "parity": "lucidlite.parity",
    "profiler": "lucidlite.profiler",
    "save": "lucidlite.serialization",
    "summary": "lucidlite.costs",
    "training": "lucidlite.training",
    "utils": "lucidlite.utils",
    "viz": "lucidlite.viz",
    "watch": "lucidlite.watching",
    "watching": "lucidlite.watching",
}


# The functions that write into their tensor: its methods, under the names that PyTorch has.
_WRITING = """
    abs_ acos_ acosh_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_
    ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp2_ exp_
    expm1_ fill_ fix_ floor_ frac_ index_put_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_
    neg_ negative_ rad2deg_ reciprocal_ relu_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_
    tan_ tanh_ trunc_ xlogy_ zero_
"""


def __getattr__(name: str) -> Any:
    if name in _WRITING.split() and hasattr(Tensor, name):
        value: Any = getattr(Tensor, name)
    elif name in _LATER:
        module = importlib.import_module(_LATER[name])
        value = getattr(module, name, module)
    elif name.startswith("__"):
        raise AttributeError(f"module 'lucidlite' has no attribute '{name}'")
    else:
        places = ("lucidlite.nn.functional", "lucidlite.nn", "lucidlite.linalg", "lucidlite.optim")
        elsewhere = {place: importlib.import_module(place).__all__ for place in places}
        methods = {"lucidlite.Tensor": dir(Tensor)}
        raise _absent("module 'lucidlite'", name, __dir__(), elsewhere | methods)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER, *(n for n in _WRITING.split() if hasattr(Tensor, n))])
