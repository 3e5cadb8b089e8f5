"""Dropout of whole channels, and dropout that keeps mean and variance."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import TYPE_CHECKING

from lucidlite.callsite import error
from lucidlite.generator import current_generator
from lucidlite.ops.common import check_tensor
from lucidlite.ops.inplace import assign
from lucidlite.ops.shape import squeeze, unsqueeze
from lucidlite.tape import wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from lucidlite.tensor import Tensor

# What selu tends to for small numbers, with the sign turned: elements are set to its negative.
_ALPHA = 1.7580993408473766


def _dropped(
    op: str, input: Tensor, p: float, training: bool, inplace: bool, rule: Callable[..., Tensor]
) -> Tensor:
    """``rule(input, p)`` where there is something to drop, else the input itself."""
    check_tensor(op, "input", input)
    if not 0.0 <= p <= 1.0:
        raise error(
            ValueError, f"{op}: dropout probability has to be between 0 and 1, but got p={p}"
        )
    if p == 0.0 or not training or not input.array.size:
        return input
    if input.array.dtype.kind != "f" and p < 1.0:
        raise error(
            RuntimeError, f"{op}: result type float can't be cast to the input's {input.dtype}"
        )
    compute = partial(rule, p=p)
    return assign(f"{op}_", input, compute) if inplace else compute(input)


def _nothing(input: Tensor) -> Tensor:
    """All dropped: what isn't finite becomes NaN."""
    zero = input.backend.constant(0, input.array.dtype)
    return input * wrap(zero, input.backend)


def _noise(input: Tensor, p: float, by_channel: bool) -> Tensor:
    """Draws of 0 with probability ``p``, else 1 / (1 - p): one an element, or one a channel."""
    shape = input.array.shape
    if by_channel:
        if len(shape) < 2:
            raise error(
                RuntimeError,
                "feature_dropout: requires at least 2 dimensions in the input, "
                f"got shape={tuple(shape)}",
            )
        shape = shape[:2] + (1,) * (len(shape) - 2)
    backend = input.backend
    ones = backend.xp.ones(shape, input.array.dtype)
    return wrap(backend.dropout(ones, p, current_generator())[0], backend)


def _by_channel(input: Tensor, p: float) -> Tensor:
    return _nothing(input) if p == 1.0 else input * _noise(input, p, True)


def _batched(
    op: str, input: Tensor, p: float, training: bool, inplace: bool, batch: bool
) -> Tensor:
    """Channels dropped of a batch, or of one sample without a batch dimension."""
    if batch:
        return _dropped(op, input, p, training, inplace, _by_channel)
    if inplace:
        return _dropped(op, input, p, training, True, _of_one)
    return squeeze(_dropped(op, unsqueeze(input, 0), p, training, False, _by_channel), 0)


def _of_one(input: Tensor, p: float) -> Tensor:
    return squeeze(_by_channel(unsqueeze(input, 0), p), 0)


def _alpha(input: Tensor, p: float, by_channel: bool) -> Tensor:
    if p == 1.0:
        return _nothing(input)
    scale = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    kept = (_noise(input, p, by_channel) != 0).to(input.dtype)
    shift = (kept - 1) * (_ALPHA * scale) + _ALPHA * scale * p
    return input * (kept * scale) + shift


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """In training, channels of (N, C, L) or (C, L) set to 0 with probability ``p``.

    The others are multiplied by 1 / (1 - p). Semantics: torch.nn.functional.dropout1d.
    """
    check_tensor("dropout1d", "input", input)
    ndim = input.array.ndim
    if ndim not in (2, 3):
        raise error(RuntimeError, f"dropout1d: expected 2D or 3D input, got a {ndim}D input")
    return _batched("dropout1d", input, p, training, inplace, ndim == 3)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """In training, channels of (N, C, H, W) set to 0 with probability ``p``.

    The others are multiplied by 1 / (1 - p). A 3D input is (N, C, L), as in PyTorch.

    Semantics: torch.nn.functional.dropout2d. Source: Tompson et al., 2014.
    """
    check_tensor("dropout2d", "input", input)
    ndim = input.array.ndim
    if ndim not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {ndim}-D input to dropout2d, which is deprecated; use dropout, "
            "or give (N, C, H, W) images",
            stacklevel=2,
        )
    if ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
            "behavior is desired: it is (N, C, L) here; use dropout1d to say so",
            stacklevel=2,
        )
    return _dropped("dropout2d", input, p, training, inplace, _by_channel)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """In training, channels of (N, C, D, H, W) or (C, D, H, W) set to 0 with probability ``p``.

    The others are multiplied by 1 / (1 - p). Semantics: torch.nn.functional.dropout3d.
    """
    check_tensor("dropout3d", "input", input)
    ndim = input.array.ndim
    if ndim not in (4, 5):
        warnings.warn(
            f"dropout3d: Received a {ndim}-D input to dropout3d, which is deprecated; use dropout, "
            "or give (N, C, D, H, W) volumes",
            stacklevel=2,
        )
    return _batched("dropout3d", input, p, training, inplace, ndim == 5)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """In training, elements set to selu's lowest value with probability ``p``, then all rescaled.

    Inputs of mean 0 and variance 1 stay so. Semantics: torch.nn.functional.alpha_dropout.
    Source: Klambauer et al., 2017.
    """
    rule = partial(_alpha, by_channel=False)
    return _dropped("alpha_dropout", input, p, training, inplace, rule)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels of (N, C, ...).

    Semantics: torch.nn.functional.feature_alpha_dropout.
    """
    rule = partial(_alpha, by_channel=True)
    return _dropped("feature_alpha_dropout", input, p, training, inplace, rule)
