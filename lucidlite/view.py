"""Memory that several tensors see: who wrote to it when, and how each view was made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Version:
    """Counts writes to a piece of memory; every tensor that sees the memory holds the same cell."""

    __slots__ = ("address", "held", "outside", "shared", "value", "writer")

    writer: tuple[int, type, Any]  # of the last write on the tape: version, node's class, place

    def __init__(self) -> None:
        self.value = 0
        self.shared = False  # another tensor or the user's NumPy array sees the same memory
        self.outside = False  # somebody may see it whose writes are not counted
        self.address = False  # somebody may know where it is, and nothing tells when they forget
        self.held: tuple[int, Any, dict[Any, Any]] | None = None  # the memo: see ``memo``

    def bump(self) -> None:
        """Count a write that is done; what was derived from the old values is let go."""
        self.value += 1
        self.held = None

    def leave(self, address: bool = False) -> None:
        """Note that the memory is seen from outside the framework; or its ``address``, for good."""
        self.shared = self.outside = True
        self.address |= address
        self.held = None

    def memo(self, tensor: Any) -> dict[Any, Any] | None:
        """Where a kernel may keep what it derived from ``tensor.array``, until the next write.

        None where a write could go uncounted.
        """
        if self.outside:
            if self.address or tensor.array.base is not None or holders(tensor) > ALONE:
                return None
            self.outside = False  # all who saw it have let go of it
        array = tensor.array
        held = self.held  # one read, one assignment: other threads may be here too
        if held is None or held[0] != self.value or held[1] is not array:
            held = self.held = (self.value, array, {})
        return held[2]


def holders(tensor: Any) -> int:
    """How many hold the array of ``tensor``. Arrays that see its memory do, if it has its own."""
    return sys.getrefcount(tensor.array)


class _Holder:
    def __init__(self) -> None:
        self.array = object()


# What ``holders`` counts where the tensor alone has it: that depends on the interpreter.
ALONE = holders(_Holder())

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
