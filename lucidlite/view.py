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


Steps = tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...]


def replay(base: Any, steps: Steps) -> Any:
    """The view that ``steps``, each (op, args), make of a tensor of the base's shape."""
    for op, args in steps:
        base = op(base, *args)
    return base


class View(NamedTuple):
    """How a view was made: ``base`` then each (op, args) of ``steps``, at ``version``."""

    base: Any  # the tensor whose memory is seen
    steps: Steps
    version: int
    refusal: str  # why writing in place through this view is refused, '' where it isn't
