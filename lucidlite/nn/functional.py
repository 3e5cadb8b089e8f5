"""The layers' functions under PyTorch's names: the ops, and the forms that only layers need."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lucidlite.callsite import error
from lucidlite.geometry import integer
from lucidlite.ops import activation, norm
from lucidlite.ops.activation import gelu, sigmoid, tanh
from lucidlite.ops.classification import cross_entropy, nll_loss
from lucidlite.ops.conv import conv2d, pad_from_inside, pad_with_value
from lucidlite.ops.gather import one_hot
from lucidlite.ops.inplace import assign
from lucidlite.ops.loss import mse_loss
from lucidlite.ops.matmul import linear
from lucidlite.ops.norm import batch_norm
from lucidlite.ops.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)
from lucidlite.tensor import Tensor

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "gelu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]


def _either(name: str, input: Tensor, op: Callable[[Tensor], Tensor], inplace: bool) -> Tensor:
    return assign(name, input, op) if inplace else op(input)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(input, 0)``. Semantics: torch.nn.functional.relu."""
    return _either("relu_", input, activation.relu, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input`` where positive, ``negative_slope * input`` elsewhere.

    Semantics: torch.nn.functional.leaky_relu.
    """
    op = partial(activation.leaky_relu, negative_slope=negative_slope)
    return _either("leaky_relu_", input, op, inplace)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, elements set to 0 with probability ``p``, the others scaled by 1 / (1 - p).

    Semantics: torch.nn.functional.dropout.
    """
    op = partial(norm.dropout, p=p, training=training)
    return _either("dropout_", input, op, inplace and training and p > 0)


def _softmax_dim(op: str, input: Tensor, stacklevel: int) -> int:
    """PyTorch's old default."""
    warnings.warn(
        f"Implicit dimension choice for {op} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if input.dim() in (0, 1, 3) else 1


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """``exp(input) / sum(exp(input))`` along ``dim``. Semantics: torch.nn.functional.softmax."""
    if dim is None:
        dim = _softmax_dim("softmax", input, _stacklevel)
    return activation.softmax(input, dim, dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """``log(softmax(input))`` along ``dim``. Semantics: torch.nn.functional.log_softmax."""
    if dim is None:
        dim = _softmax_dim("log_softmax", input, _stacklevel)
    return activation.log_softmax(input, dim, dtype)


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Borders added: ``pad`` is (left, right, top, bottom, ...), last dim first; negative crops.

    mode 'constant' fills with ``value`` (0), in any number of dims; 'reflect', 'replicate' and
    'circular' fill from the input: the last dim of a 2D or 3D one, the last two of a 3D or 4D one,
    and raise NotImplementedError for others. RuntimeError where more is asked for than there is.

    >>> import lucidlite
    >>> lucidlite.nn.functional.pad(lucidlite.ones(2), (1, 0))
    tensor([0., 1., 1.])

    Semantics: torch.nn.functional.pad.
    """
    if not isinstance(pad, (tuple, list)):
        raise error(TypeError, f"pad: pad must be a tuple of ints, got pad={pad!r}")
    sizes = tuple(integer("pad", "pad", n) for n in pad)
    if mode == "constant":
        return pad_with_value(input, sizes, 0.0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise error(NotImplementedError, f"pad: unrecognised padding mode, got mode={mode!r}")
    if value is not None:
        raise error(RuntimeError, f"pad: mode {mode!r} doesn't take in value, got value={value}")
    if (len(sizes), input.dim()) not in ((2, 2), (2, 3), (4, 3), (4, 4)):
        raise error(
            NotImplementedError,
            f"pad: mode {mode!r} pads the last dim of 2D or 3D input or the last two of 3D or 4D "
            f"input, got pad={sizes}, shape={tuple(input.shape)}",
        )
    left, right, top, bottom = sizes if len(sizes) == 4 else (*sizes, 0, 0)
    return pad_from_inside(input, (left, right, top, bottom), mode)
