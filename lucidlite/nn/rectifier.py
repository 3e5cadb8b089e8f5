"""Activation layers made of straight lines."""

from __future__ import annotations

import warnings
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import empty
from lucidlite.nn import functional as F
from lucidlite.nn import init as initial
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.tensor import Tensor


class Plain(Module):
    """What has no setting but to work in place."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


def with_inplace(module: Any, settings: str) -> str:
    return settings + (", inplace=True" if module.inplace else "")


class ReLU(Plain):
    """``max(input, 0)``. Semantics: torch.nn.ReLU."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)


class LeakyReLU(Module):
    """``input`` where positive, ``negative_slope * input`` elsewhere.

    Semantics: torch.nn.LeakyReLU.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, f"negative_slope={self.negative_slope}")


class Hardtanh(Module):
    """``input`` limited to [min_val, max_val]. Semantics: torch.nn.Hardtanh."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("min_value", min_value), ("max_value", max_value)):
            if value is not None:
                warnings.warn(
                    f"keyword argument `{name}` is deprecated and renamed to `{name[:7]}`",
                    FutureWarning,
                    stacklevel=2,
                )
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise error(
                AssertionError,
                f"Hardtanh: max_val ({self.max_val}) must be greater than min_val ({self.min_val})",
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, f"min_val={self.min_val}, max_val={self.max_val}")


class ReLU6(Hardtanh):
    """``input`` limited to [0, 6]. Semantics: torch.nn.ReLU6."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(Plain):
    """``relu6(input + 3) / 6``. Semantics: torch.nn.Hardsigmoid."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class Hardswish(Plain):
    """``input * relu6(input + 3) / 6``. Semantics: torch.nn.Hardswish."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class Threshold(Module):
    """``input`` where it is above ``threshold``, else ``value``. Semantics: torch.nn.Threshold."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, f"threshold={self.threshold}, value={self.value}")


class RReLU(Module):
    """``input`` where positive, a share of it elsewhere: drawn from [lower, upper] in training.

    In evaluation the share is (lower + upper) / 2. Semantics: torch.nn.RReLU.
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, f"lower={self.lower}, upper={self.upper}")


class PReLU(Module):
    """``input`` where positive, ``weight * input`` elsewhere: one learned weight, or one a channel.

    >>> from lucidlite import nn, tensor
    >>> nn.PReLU()(tensor([-4.0, 4.0])).tolist()
    [-1.0, 4.0]

    Semantics: torch.nn.PReLU. Source: He et al., 2015.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every weight to ``init``."""
        initial.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class _Lambd(Module):
    """What has a ``lambd``."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(_Lambd):
    """``input`` brought ``lambd`` closer to 0. Semantics: torch.nn.Softshrink."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


class Hardshrink(_Lambd):
    """``input`` outside [-lambd, lambd], else 0. Semantics: torch.nn.Hardshrink."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)
