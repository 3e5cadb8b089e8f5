"""Initial values of weights: every function fills a tensor in place and returns it.

Values are drawn on the CPU, from ``generator`` or the default one, and moved to the tensor's
device: one seed gives the same weights everywhere. Nothing is recorded on the tape.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.generator import Generator, default_generator
from lucidlite.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
_GAINS.update((f"{conv}{n}d", 1.0) for conv in ("conv", "conv_transpose") for n in (1, 2, 3))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps a signal's variance through ``nonlinearity``, as PyTorch recommends.

    ``param`` is the negative slope of 'leaky_relu' (default 0.01), and of no effect elsewhere.
    ValueError for an unknown name.

    >>> from lucidlite.nn import init
    >>> init.calculate_gain("tanh") == 5 / 3, round(init.calculate_gain("leaky_relu", 0.2), 4)
    (True, 1.3868)
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise error(ValueError, f"negative_slope {slope} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise error(ValueError, f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


# -- plain fills -----------------------------------------------------------------------------


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with ``val``."""
    return _write(tensor, np.full(tensor.shape, val))


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity: a linear layer then passes its inputs through."""
    _require_matrix(tensor)
    return _write(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight (3 to 5 dimensions) so that it passes its channels through.

    Each of ``groups`` passes as many input channels as it can. ValueError where dimension 0 is
    not divisible by ``groups``.
    """
    if tensor.ndim not in (3, 4, 5):
        rule = "Only tensors with 3, 4, or 5 dimensions are supported"
        raise error(ValueError, f"{rule}, got shape={tuple(tensor.shape)}")
    out_channels, in_channels, *kernel = tensor.shape
    if groups < 1 or out_channels % groups:
        raise error(
            ValueError,
            f"dim 0 must be divisible by groups, got shape={tuple(tensor.shape)}, groups={groups}",
        )
    values = np.zeros(tensor.shape)
    per_group = out_channels // groups
    passed = np.arange(min(per_group, in_channels))
    center = tuple(size // 2 for size in kernel)
    for group in range(groups):
        index: tuple[Any, ...] = (group * per_group + passed, passed, *center)
        values[index] = 1
    return _write(tensor, values)


# -- distributions ---------------------------------------------------------------------------


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from the uniform distribution on [a, b)."""
    kind = _require_float("uniform_", tensor)
    if a > b:
        raise error(
            RuntimeError, f"uniform_ expects to return a [from, to) range, but found {a=} > {b=}"
        )
    return _write(tensor, _uniform(generator, tensor.shape, kind, a, b))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from the normal distribution with the given mean and standard deviation."""
    kind = _require_float("normal_", tensor)
    if std < 0:
        raise error(RuntimeError, f"normal expects std >= 0.0, but found std {std}")
    return _write(tensor, _source(generator).normal(tensor.shape, kind) * std + mean)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Draw from the normal distribution, redrawing what falls outside [a, b].

    Warns where [a, b] lies more than two standard deviations from the mean. RuntimeError for
    a > b or std <= 0.
    """
    kind = _require_float("trunc_normal_", tensor)
    if std <= 0 or a > b:
        rule = "trunc_normal_: std must be positive and a <= b"
        raise error(RuntimeError, f"{rule}, got {std=}, {a=}, {b=}")
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of "
            "values may be incorrect.",
            stacklevel=2,
        )
    source = _source(generator)
    inside = _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std)
    # The bounds as the tensor can hold them: a value is compared after rounding.
    low, high = kind.type(a), kind.type(b)
    values = np.empty(tensor.numel(), kind)
    pending = np.arange(values.size)
    while pending.size:
        if inside > 0.3:
            drawn = (source.normal(pending.shape, kind) * std + mean).astype(kind)
            accepted = (drawn >= low) & (drawn <= high)
        else:
            # Few normal draws would fall inside: take uniform ones with probability in
            # proportion to the density, which is highest at the point of [a, b] nearest the mean.
            drawn = np.clip(_uniform(source, pending.shape, kind, a, b), low, high)
            peak = max(a, min(mean, b))
            farther = (drawn.astype(np.float64) - mean) ** 2 - (peak - mean) ** 2
            chance = source.uniform(pending.shape, np.float64)
            accepted = chance < np.exp(-0.5 * farther / std**2)
        values[pending[accepted]] = drawn[accepted]
        pending = pending[~accepted]
    return _write(tensor, values.reshape(tensor.shape))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from U(-bound, bound), bound = gain * sqrt(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
    networks (2010).
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw from the normal distribution with std = gain * sqrt(2 / (fan_in + fan_out)).

    Source: as ``xavier_uniform_``.
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Draw from U(-bound, bound), bound = gain * sqrt(3 / fan).

    ``a`` is the negative slope of the 'leaky_relu' that follows, ``mode`` whether the variance is
    kept forward ('fan_in') or backward ('fan_out').

    >>> import lucidlite
    >>> weight = lucidlite.nn.init.kaiming_uniform_(lucidlite.empty(8, 6))  # gain sqrt(2): bound 1
    >>> bool((weight.abs() <= 1).all())
    True

    Source: He et al., Delving deep into rectifiers (2015).
    """
    if _warn_if_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Draw from the normal distribution with std = gain / sqrt(fan); see ``kaiming_uniform_``."""
    if _warn_if_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a random (semi-)orthogonal matrix times ``gain``.

    Dimensions after the first count as one. ValueError below two dimensions.

    Source: Saxe et al., Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks (2013).
    """
    if tensor.ndim < 2:
        rule = "Only tensors with 2 or more dimensions are supported"
        raise error(ValueError, f"{rule}, got shape={tuple(tensor.shape)}")
    _require_float("orthogonal_", tensor)
    if tensor.numel() == 0:
        return tensor
    size = (tensor.shape[0], tensor.numel() // tensor.shape[0])
    drawn = _source(generator).normal(size, np.float64)
    wide = drawn.shape[0] < drawn.shape[1]
    q, r = np.linalg.qr(drawn.T if wide else drawn)
    # With the signs of r's diagonal all orthogonal matrices are equally likely (Mezzadri, 2007).
    q = q * np.where(np.diagonal(r) < 0, -gain, gain)
    return _write(tensor, (q.T if wide else q).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Draw a matrix from the normal distribution, then set a share of each column to zero.

    ``sparsity`` is that share, rounded up to whole elements.

    Source: Martens, Deep learning via Hessian-free optimization (2010).
    """
    _require_matrix(tensor)
    kind = _require_float("sparse_", tensor)
    rows, columns = tensor.shape
    source = _source(generator)
    values = source.normal((rows, columns), kind) * std
    for column in range(columns):
        values[source.permutation(rows)[: math.ceil(sparsity * rows)], column] = 0
    return _write(tensor, values)


# -- fans, checks and the write --------------------------------------------------------------


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Inputs to an output and outputs of an input, for a weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise error(
            ValueError,
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, "
            f"got shape={tuple(tensor.shape)}",
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _xavier_std(tensor: Tensor, gain: float) -> float:
    fans = sum(_calculate_fan_in_and_fan_out(tensor))
    return gain * math.sqrt(2.0 / fans) if fans else 0.0


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise error(ValueError, f"Mode {mode} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))


def _warn_if_empty(tensor: Tensor) -> bool:
    empty = 0 in tensor.shape
    if empty:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return empty


def _require_matrix(tensor: Tensor) -> None:
    if tensor.ndim != 2:
        rule = "Only tensors with 2 dimensions are supported"
        raise error(ValueError, f"{rule}, got shape={tuple(tensor.shape)}")


def _require_float(op: str, tensor: Tensor) -> np.dtype[Any]:
    """The tensor's NumPy dtype, which must be a floating-point one."""
    if not tensor.dtype.is_floating_point:
        raise error(
            NotImplementedError, f"{op}: only floating point tensors, got dtype={tensor.dtype}"
        )
    return tensor.dtype.numpy


def _source(generator: Generator | None) -> Generator:
    return default_generator if generator is None else generator


def _uniform(
    generator: Generator | None, shape: tuple[int, ...], kind: np.dtype[Any], a: float, b: float
) -> NDArray[Any]:
    values = _source(generator).uniform(shape, kind)
    values *= kind.type(b - a)
    values += kind.type(a)
    return values


def _normal_cdf(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def _write(tensor: Tensor, values: NDArray[Any]) -> Tensor:
    try:
        tensor.array[...] = tensor.backend.asarray(values, dtype=tensor.array.dtype)
    finally:
        tensor.bump_version()
    return tensor


def __getattr__(name: str) -> Any:  # PyTorch's old names have no underscore
    function = globals().get(f"{name}_")
    if name.startswith("_") or function is None:
        raise AttributeError(f"module 'lucidlite.nn.init' has no attribute '{name}'")
    text = f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`."
    warnings.warn(text, FutureWarning, stacklevel=2)
    return function
