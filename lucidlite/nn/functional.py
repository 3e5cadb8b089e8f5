"""The layers' functions under PyTorch's names: the ops, and the forms that only layers need."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from lucidlite.ops import activation, norm, units
from lucidlite.ops.activation import gelu, sigmoid, tanh
from lucidlite.ops.attention import scaled_dot_product_attention
from lucidlite.ops.bilinear import bilinear
from lucidlite.ops.binary_loss import binary_cross_entropy, binary_cross_entropy_with_logits
from lucidlite.ops.classification import cross_entropy, nll_loss
from lucidlite.ops.conv import conv2d
from lucidlite.ops.conv_transpose import conv_transpose1d, conv_transpose2d
from lucidlite.ops.distance import cosine_similarity, normalize, pairwise_distance
from lucidlite.ops.embedding import embedding, embedding_bag
from lucidlite.ops.feature_dropout import (
    alpha_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from lucidlite.ops.fold import fold, unfold
from lucidlite.ops.gates import glu, gumbel_softmax, prelu, rrelu
from lucidlite.ops.gather import one_hot
from lucidlite.ops.group_norm import group_norm, layer_norm
from lucidlite.ops.inplace import assign
from lucidlite.ops.interpolate import (
    interpolate,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)
from lucidlite.ops.likelihood import gaussian_nll_loss, kl_div, poisson_nll_loss
from lucidlite.ops.loss import mse_loss
from lucidlite.ops.margin_losses import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from lucidlite.ops.matmul import linear
from lucidlite.ops.multihead import multi_head_attention_forward
from lucidlite.ops.norm import batch_norm
from lucidlite.ops.norms import instance_norm, local_response_norm, rms_norm
from lucidlite.ops.one_dim import (
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    avg_pool1d,
    conv1d,
    max_pool1d,
)
from lucidlite.ops.pad import pad
from lucidlite.ops.pair_losses import huber_loss, l1_loss, smooth_l1_loss, soft_margin_loss
from lucidlite.ops.pixels import channel_shuffle, pixel_shuffle, pixel_unshuffle
from lucidlite.ops.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)
from lucidlite.ops.units import (
    celu,
    elu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    relu6,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from lucidlite.ops.unpool import lp_pool1d, lp_pool2d, max_unpool1d, max_unpool2d
from lucidlite.scope import absent
from lucidlite.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "elu_",
    "embedding",
    "embedding_bag",
    "feature_alpha_dropout",
    "fold",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_unpool1d",
    "max_unpool2d",
    "mish",
    "mse_loss",
    "multi_head_attention_forward",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rms_norm",
    "rrelu",
    "rrelu_",
    "scaled_dot_product_attention",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "unfold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]


def _either(name: str, input: Tensor, op: Callable[[Tensor], Tensor], inplace: bool) -> Tensor:
    return assign(name, input, op) if inplace else op(input)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(input, 0)``. Semantics: torch.nn.functional.relu."""
    return _either("relu_", input, activation.relu, inplace)


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


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """``softmax(-input)`` along ``dim``. Semantics: torch.nn.functional.softmin."""
    if dim is None:
        dim = _softmax_dim("softmin", input, _stacklevel)
    return units.softmin(input, dim, dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """``log(softmax(input))`` along ``dim``. Semantics: torch.nn.functional.log_softmax."""
    if dim is None:
        dim = _softmax_dim("log_softmax", input, _stacklevel)
    return activation.log_softmax(input, dim, dtype)


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The form of an activation that writes to its input, under PyTorch's name for it."""

    def written(input: Tensor, *args: Any, **named: Any) -> Tensor:
        return function(input, *args, **named, inplace=True)

    written.__name__ = written.__qualname__ = f"{function.__name__}_"
    written.__doc__ = f"``{function.__name__}`` in place. Semantics: torch.nn.functional."
    return written


celu_, elu_, selu_ = _in_place(celu), _in_place(elu), _in_place(selu)
relu_, leaky_relu_, rrelu_ = _in_place(relu), _in_place(leaky_relu), _in_place(rrelu)
hardtanh_, threshold_ = _in_place(hardtanh), _in_place(threshold)


def __getattr__(name: str) -> Any:
    raise absent("module 'lucidlite.nn.functional'", name, __all__)
