"""Size: the shape of a tensor."""

from __future__ import annotations


class Size(tuple[int, ...]):
    """A shape: a tuple of ints that also counts its elements. Prints as the plain tuple.

    >>> import lucidlite
    >>> lucidlite.zeros(2, 3).shape, lucidlite.zeros(2, 3).shape.numel()
    ((2, 3), 6)
    """

    __slots__ = ()

    def numel(self) -> int:
        count = 1
        for n in self:
            count *= n
        return count
