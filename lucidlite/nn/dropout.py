"""Dropout."""

from __future__ import annotations

from lucidlite.callsite import error
from lucidlite.nn import functional as F
from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor


class Dropout(Module):
    """In training, elements set to 0 with probability ``p`` and the rest scaled up.

    Semantics: torch.nn.Dropout.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise error(
                ValueError, f"Dropout: dropout probability has to be between 0 and 1, but got p={p}"
            )
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
