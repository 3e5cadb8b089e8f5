"""Linear, Bilinear and Identity."""

from __future__ import annotations

import math
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import empty
from lucidlite.nn import functional as F
from lucidlite.nn import init
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.tensor import Tensor


class Linear(Module):
    """``input @ weight.T + bias``: see ``functional.linear``.

    Weight (out_features, in_features) and bias (out_features) start uniform in
    ``+-1 / sqrt(in_features)``.

    >>> from lucidlite import nn, ones
    >>> nn.Linear(3, 2)(ones(5, 3)).shape
    (5, 2)

    Semantics: torch.nn.Linear.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, dtype=dtype, device=device))
        self.bias: Any
        if bias:
            self.bias = Parameter(empty(out_features, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        reset_uniform(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """``input1 @ weight[k] @ input2 + bias[k]`` for each output k: see ``functional.bilinear``.

    Weight (out_features, in1_features, in2_features) and bias (out_features) start uniform in
    ``+-1 / sqrt(in1_features)``.

    >>> from lucidlite import nn, ones
    >>> nn.Bilinear(3, 4, 2)(ones(5, 3), ones(5, 4)).shape
    (5, 2)

    Semantics: torch.nn.Bilinear.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise error(ValueError, f"in1_features must be > 0, but got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        weight = empty(out_features, in1_features, in2_features, dtype=dtype, device=device)
        self.weight = Parameter(weight)
        held = Parameter(empty(out_features, dtype=dtype, device=device)) if bias else None
        self.register_parameter("bias", held)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


def reset_uniform(weight: Parameter, bias: Parameter | None) -> None:
    """PyTorch's start for linear and convolution layers: uniform in +-1 / sqrt(fan_in)."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = init._calculate_fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
        init.uniform_(bias, -bound, bound)


class Identity(Module):
    """The input itself; accepts any arguments. Semantics: torch.nn.Identity."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input
