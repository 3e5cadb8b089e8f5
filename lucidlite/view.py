"""Memory that several tensors see: who wrote to it when, and how each view was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Version:
    """Counts writes to a piece of memory; every tensor that sees the memory holds the same cell."""

    __slots__ = ("shared", "value")

    def __init__(self) -> None:
        self.value = 0
        self.shared = False  # another tensor or the user's NumPy array sees the same memory


class View(NamedTuple):
    """How a view was made: ``base`` then each (op, args) of ``steps``, at ``version``."""

    base: Any  # the tensor whose memory is seen
    steps: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...]
    version: int
    refusal: str  # why writing in place through this view is refused, '' where it isn't

    def replay(self, base: Any) -> Any:
        """The view's ops applied to another tensor of the base's shape."""
        for op, args in self.steps:
            base = op(base, *args)
        return base
