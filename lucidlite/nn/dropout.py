"""Dropout."""

from __future__ import annotations

from lucidlite.callsite import error
from lucidlite.nn import functional as F
from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise error(
                ValueError,
                f"{type(self).__name__}: dropout probability has to be between 0 and 1, "
                f"but got p={p}",
            )
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, elements set to 0 with probability ``p`` and the rest scaled up.

    Semantics: torch.nn.Dropout.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """In training, channels of (N, C, L) or (C, L) set to 0 with probability ``p``.

    Semantics: torch.nn.Dropout1d.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """In training, channels of (N, C, H, W) set to 0 with probability ``p``.

    Semantics: torch.nn.Dropout2d.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """In training, channels of (N, C, D, H, W) or (C, D, H, W) set to 0 with probability ``p``.

    Semantics: torch.nn.Dropout3d.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for selu. Never in place, as in PyTorch.

    Semantics: torch.nn.AlphaDropout.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """``AlphaDropout`` of whole channels. Semantics: torch.nn.FeatureAlphaDropout."""

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training)
