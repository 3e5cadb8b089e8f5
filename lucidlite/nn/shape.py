"""Flatten."""

from __future__ import annotations

from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor


class Flatten(Module):
    """Dims ``start_dim`` to ``end_dim`` joined into one; the batch stays by default.

    >>> from lucidlite import nn, ones
    >>> nn.Flatten()(ones(2, 3, 4, 4)).shape
    (2, 48)

    Semantics: torch.nn.Flatten.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
