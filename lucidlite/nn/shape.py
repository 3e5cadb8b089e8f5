"""Flatten and Unflatten."""

from __future__ import annotations

from lucidlite.callsite import error
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


class Unflatten(Module):
    """Dim ``dim`` split into ``unflattened_size``; TypeError where that isn't a tuple of ints.

    >>> from lucidlite import nn, ones
    >>> nn.Unflatten(1, (2, 5))(ones(3, 10)).shape
    (3, 2, 5)

    Semantics: torch.nn.Unflatten.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...] | list[int]) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise error(
                TypeError,
                "Unflatten: unflattened_size must be a tuple of ints, "
                f"but found type {type(unflattened_size).__name__}",
            )
        for at, size in enumerate(unflattened_size):
            if not isinstance(size, int):
                raise error(
                    TypeError,
                    "Unflatten: unflattened_size must be tuple of ints, "
                    f"but found element of type {type(size).__name__} at pos {at}",
                )
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
