"""Batch and instance normalization layers."""

from __future__ import annotations

import warnings
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import ones, tensor, zeros
from lucidlite.dtypes import int64
from lucidlite.nn import functional as F
from lucidlite.nn import init
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.tensor import Tensor


class _BatchNorm(Module):
    """What the layers share: all but the dimensions of the input.

    With ``affine`` a weight (ones) and a ``bias`` (zeros) a channel. With ``track_running_stats`` a
    running mean and variance, moved by ``momentum`` (None: the mean over all batches seen) in
    training, and used in evaluation.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        where = {"dtype": dtype, "device": device}
        self.weight: Any
        self.bias: Any
        if affine:
            self.weight = Parameter(ones(num_features, **where))
        else:
            self.register_parameter("weight", None)
        if affine and bias:
            self.bias = Parameter(zeros(num_features, **where))
        else:
            self.register_parameter("bias", None)
        self.running_mean: Any
        self.running_var: Any
        self.num_batches_tracked: Any
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **where) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **where) if tracked else None)
        count = tensor(0, dtype=int64, device=device) if tracked else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget statistics, weight and bias."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the mean over all batches seen
                momentum = 1.0 / float(self.num_batches_tracked)
        use_batch = self.training or (self.running_mean is None and self.running_var is None)
        # In training statistics are given to be updated, in evaluation to be used.
        tracked = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            use_batch,
            momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, L) input: see ``functional.batch_norm``.

    Semantics: torch.nn.BatchNorm1d. Source: Ioffe and Szegedy, 2015.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 3):
            raise error(
                ValueError,
                f"BatchNorm1d: expected 2D or 3D input (got {input.dim()}D input)",
                "images (N, C, H, W) are for BatchNorm2d" if input.dim() == 4 else "",
            )


class BatchNorm2d(_BatchNorm):
    """Batch normalization of (N, C, H, W) images: see ``functional.batch_norm``.

    Semantics: torch.nn.BatchNorm2d. Source: Ioffe and Szegedy, 2015.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 4:
            raise error(
                ValueError,
                f"BatchNorm2d: expected 4D input (got {input.dim()}D input)",
                "(N, C) and (N, C, L) are for BatchNorm1d" if input.dim() in (2, 3) else "",
            )


class _InstanceNorm(_BatchNorm):
    """What the layers share: ``_BatchNorm`` with other defaults, over each example by itself."""

    rank: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def _check_input_dim(self, input: Tensor) -> None:
        ranks = self.rank + 1, self.rank + 2
        name = type(self).__name__
        if input.dim() not in ranks:
            raise error(
                ValueError,
                f"{name}: expected {ranks[0]}D or {ranks[1]}D input (got {input.dim()}D input)",
            )
        dim = input.dim() - self.rank - 1
        channels = input.shape[dim]
        if channels == self.num_features:
            return
        if self.affine:
            raise error(
                ValueError,
                f"{name}: expected input's size at dim={dim} to match num_features "
                f"({self.num_features}), but got: {channels}",
            )
        warnings.warn(
            f"{name}: input's size at dim={dim} does not match num_features, which is not used "
            f"because affine=False; got size={channels}, num_features={self.num_features}",
            stacklevel=4,
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        single = input.dim() == self.rank + 1
        out = F.instance_norm(
            input.unsqueeze(0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return out.squeeze(0) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Every channel of (N, C, L) or (C, L) by itself: see ``InstanceNorm2d``.

    Semantics: torch.nn.InstanceNorm1d.
    """

    rank = 1


class InstanceNorm2d(_InstanceNorm):
    """Every channel of every image with mean 0 and variance 1: see ``functional.instance_norm``.

    Input (N, C, H, W) or (C, H, W). Without ``affine`` and running statistics by default.

    >>> from lucidlite import nn, arange
    >>> nn.InstanceNorm2d(2)(arange(8.0).view(1, 2, 2, 2)).mean((2, 3)).abs().max() < 1e-6
    tensor(True)

    Semantics: torch.nn.InstanceNorm2d. Source: Ulyanov et al., 2016.
    """

    rank = 2
