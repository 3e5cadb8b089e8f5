"""Layers that normalize examples by themselves."""

from __future__ import annotations

from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import empty
from lucidlite.nn import functional as F
from lucidlite.nn import init
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.tensor import Tensor


class _Affine(Module):
    """A weight (ones) and a bias (zeros), either of which may be None."""

    weight: Any
    bias: Any

    def _affine(self, shape: Any, names: tuple[str, ...], device: Any, dtype: Any) -> None:
        """Parameters of ``shape`` under those of 'weight' and 'bias' that are named."""
        for name in ("weight", "bias"):
            here = name in names
            self.register_parameter(
                name, Parameter(empty(shape, dtype=dtype, device=device)) if here else None
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(_Affine):
    """Every example's last dims with mean 0 and variance 1: see ``functional.layer_norm``.

    ``normalized_shape`` is the shape of those dims, or the size of the last one. With
    ``elementwise_affine`` the result is scaled and moved by a weight and a bias of that shape.

    >>> from lucidlite import nn, ones
    >>> nn.LayerNorm(4)(ones(2, 3, 4)).shape
    (2, 3, 4)

    Semantics: torch.nn.LayerNorm. Source: Ba, Kiros and Hinton, 2016.
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        names = ("weight", "bias")[: 1 + bool(bias)] if elementwise_affine else ()
        self._affine(self.normalized_shape, names, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(_Affine):
    """Groups of every example's channels with mean 0 and variance 1: see ``functional.group_norm``.

    ValueError where ``num_groups`` doesn't divide ``num_channels``.

    >>> from lucidlite import nn, ones
    >>> nn.GroupNorm(2, 6)(ones(4, 6, 8, 8)).shape
    (4, 6, 8, 8)

    Semantics: torch.nn.GroupNorm. Source: Wu and He, 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise error(
                ValueError,
                "GroupNorm: num_channels must be divisible by num_groups, "
                f"got num_channels={num_channels}, num_groups={num_groups}",
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        names = ("weight", "bias")[: 1 + bool(bias)] if affine else ()
        self._affine((num_channels,), names, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Every example's last dims over their root mean square: see ``functional.rms_norm``.

    Semantics: torch.nn.RMSNorm. Source: Zhang and Sennrich, 2019.
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight: Any
        if elementwise_affine:
            self.weight = Parameter(empty(self.normalized_shape, dtype=dtype, device=device))
        else:
            self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Module):
    """Elements divided by what ``size`` neighbouring channels hold: AlexNet's normalization.

    See ``functional.local_response_norm``. Semantics: torch.nn.LocalResponseNorm.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _shape(normalized_shape: Any) -> tuple[int, ...]:
    if isinstance(normalized_shape, int):
        return (normalized_shape,)
    return tuple(normalized_shape)
