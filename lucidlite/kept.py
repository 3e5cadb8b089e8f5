"""The memory that a tape keeps for backward, and how much of it there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lucidlite.tape import Node


def state_of(node: Node) -> list[Any]:
    """The arrays among what a kernel left for its vjp."""
    state = node.state if isinstance(node.state, tuple) else (node.state,)
    return [each for each in state if hasattr(each, "nbytes")]


def kept_by(node: Node) -> list[Any]:
    """All arrays that a node keeps."""
    return [entry[0].array for entry in node.saved if entry is not None] + state_of(node)


def owner_of(array: Any) -> Any:
    """What owns the memory that an array sees: itself, or what it is a view of."""
    while hasattr(getattr(array, "base", None), "nbytes"):
        array = array.base
    memory = getattr(getattr(array, "data", None), "mem", None)
    return array if memory is None else memory  # a piece of the GPU's


def kept_bytes(nodes: Iterable[Node], besides: Iterable[Any] = ()) -> int:
    """Bytes that the nodes keep: memory of several counted once, that of ``besides`` not at all."""
    found: dict[int, tuple[Any, dict[tuple[int, int], int]]] = {}  # by owner, which stays alive
    for node in nodes:
        for array in kept_by(node):
            owner = owner_of(array)
            _, pieces = found.setdefault(id(owner), (owner, {}))
            pieces[_reach(array)] = int(array.nbytes)
    for array in besides:
        found.pop(id(owner_of(array)), None)
    return sum(_union(pieces) for _, pieces in found.values())


def _reach(array: Any) -> tuple[int, int]:
    """The addresses that an array sees: of its first byte, and behind its last."""
    start = array.data.ptr if hasattr(array.data, "ptr") else array.ctypes.data
    if not array.size:
        return start, start
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
    low = sum(step for step in steps if step < 0)
    return start + low, start + sum(steps) - low + array.itemsize


def _union(pieces: dict[tuple[int, int], int]) -> int:
    """Bytes of all pieces together, which may overlap and may have gaps of their own."""
    covered, end = 0, 0
    for low, high in sorted(pieces):
        covered += max(high - max(low, end), 0)
        end = max(end, high)
    return min(covered, sum(pieces.values()))
