"""Normalizations made of other operations: of instances, by the root mean square, of responses."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.dtypes import float32
from lucidlite.geometry import integer
from lucidlite.grad_mode import no_grad
from lucidlite.ops.common import check_tensor, to_dtype
from lucidlite.ops.group_norm import check_normalized
from lucidlite.ops.norm import batch_norm
from lucidlite.ops.pad import pad
from lucidlite.ops.pooling import avg_pool2d
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import mean
from lucidlite.ops.shape import reshape, view
from lucidlite.ops.unary import rsqrt

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Every channel of every example with mean 0 and variance 1, or by the running statistics.

    Shapes: input (N, C, ...), the others (C). With ``use_input_stats`` the running statistics,
    where given, move by ``momentum`` towards the mean over the examples. ValueError where a channel
    has a single element.

    Semantics: torch.nn.functional.instance_norm. Source: Ulyanov et al., 2016.
    """
    check_tensor("instance_norm", "input", input)
    shape = tuple(input.array.shape)
    if len(shape) < 2:
        raise error(
            RuntimeError, f"instance_norm: expected at least 2 dimensions, got shape={shape}"
        )
    if use_input_stats and prod(shape[2:]) == 1:
        raise error(
            ValueError,
            "instance_norm: Expected more than 1 spatial element when training, "
            f"got input size {shape}",
        )
    if not use_input_stats and (running_mean is None or running_var is None):
        raise error(
            RuntimeError,
            "instance_norm: expected running_mean and running_var when use_input_stats=False",
        )
    n, channels, *rest = shape
    for name, value in (("running_mean", running_mean), ("running_var", running_var),
                        ("weight", weight), ("bias", bias)):  # fmt: skip
        if value is not None and value.array.shape != (channels,):
            raise error(
                RuntimeError,
                f"instance_norm: {name} should contain {channels} elements, "
                f"got {name}={tuple(value.array.shape)}",
            )
    # Examples beside each other, as channels of a single one.
    stats = running_mean, running_var
    repeated = [None if t is None else t.detach().repeat(n) for t in stats]
    w, b = (None if t is None else t.repeat(n) for t in (weight, bias))
    beside = reshape(input, (1, n * channels, *rest))
    out = batch_norm(beside, repeated[0], repeated[1], w, b, use_input_stats, momentum, eps)
    if use_input_stats:
        with no_grad():
            for held, now in zip(stats, repeated, strict=True):
                if held is not None and now is not None:
                    held.copy_(mean(view(now, (n, channels)), 0))
    return view(out, shape)


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Every example's last dims, of shape ``normalized_shape``, over their root mean square.

    ``eps`` (the dtype's, where None) is added to the mean square; ``weight`` has that shape.

    Semantics: torch.nn.functional.rms_norm. Source: Zhang and Sennrich, 2019.
    """
    if precision.active:
        input, weight = precision.cast("rms_norm", input, weight)
    shape = check_normalized("rms_norm", input, normalized_shape, weight=weight)
    kind = input.array.dtype
    x = to_dtype(input, float32.numpy) if kind == np.float16 else input
    small = float(np.finfo(x.array.dtype).eps) if eps is None else eps
    dims = tuple(range(-len(shape), 0))
    out = x * rsqrt(mean(x * x, dims, True) + small)
    if weight is not None:
        out = out * weight
    return to_dtype(out, kind)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``input / (k + alpha * m) ** beta``, m the mean square of ``size`` neighbouring channels.

    Shapes: input (N, C, ...) with 3 dims or more, else ValueError.

    Semantics: torch.nn.functional.local_response_norm. Source: Krizhevsky et al., 2012.
    """
    check_tensor("local_response_norm", "input", input)
    shape = tuple(input.array.shape)
    if len(shape) < 3:
        raise error(
            ValueError,
            "local_response_norm: Expected 3D or higher dimensionality input "
            f"(got {len(shape)} dimensions)",
        )
    if not input.array.size:
        return input
    size = integer("local_response_norm", "size", size)
    square = reshape(input * input, (shape[0], 1, shape[1], prod(shape[2:])))
    square = pad(square, (0, 0, size // 2, (size - 1) // 2))
    if precision.active and len(shape) > 3:
        (square,) = precision.cast("avg_pool3d", square)
    near = reshape(avg_pool2d(square, (size, 1), stride=1), shape)
    return input / (near * alpha + k) ** beta
