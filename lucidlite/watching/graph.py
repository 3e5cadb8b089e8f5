"""What a loss was computed from: its tape, read before backward releases it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lucidlite.nn.hooks import _input_vjp, _output_vjp
from lucidlite.ops.common import moved_vjp, to_copy_vjp
from lucidlite.ops.shape import (
    contiguous_vjp,
    permute_vjp,
    squeeze_vjp,
    t_vjp,
    transpose_vjp,
    unsqueeze_vjp,
    view_vjp,
)
from lucidlite.ops.unary import clone_vjp
from lucidlite.tape import Node, gradient_edge
from lucidlite.watching.values import read

if TYPE_CHECKING:
    from lucidlite.callsite import ModuleStack
    from lucidlite.tensor import Tensor

# The same numbers in another shape, order or place.
_PASSING: set[Any] = {
    clone_vjp, contiguous_vjp, moved_vjp, permute_vjp, squeeze_vjp, t_vjp, to_copy_vjp,
    transpose_vjp, unsqueeze_vjp, view_vjp,
}  # fmt: skip
_IDENTITIES: set[Any] = {_input_vjp, _output_vjp}


class Graph:
    """The nodes below ``tensors``, and the leaves in the order in which forward first used them."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tensors
        self.roots = [gradient_edge(tensor)[0] for tensor in tensors]
        seen: set[Node] = set()
        pending = list(self.roots)
        leaves: list[Any] = []
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.vjp is None:
                leaves.append(node)
            else:
                pending.extend([edge[0] for edge in node.edges if edge is not None])
        leaves.sort(key=lambda node: node.number)
        self.nodes = seen
        self.accumulators = leaves
        self.leaves: list[Tensor] = [node.variable for node in leaves]
        self._loss: float | None = None
        self._hidden: set[Node] | None = None

    def of(self, *vjps: Any) -> Iterator[Node]:
        """The nodes of these operations."""
        return (node for node in self.nodes if node.vjp in vjps)

    def loss(self) -> float | None:
        """The value backward starts from, None unless it is a single one. The host waits for it."""
        if len(self.tensors) != 1 or self.tensors[0].array.size != 1:
            return None
        if self._loss is None:
            self._loss = read(self.tensors[0].backend, [self.tensors[0].array])[0]
        return self._loss

    def hidden(self, node: Node) -> bool:
        """Whether what a node computed goes on into an operation with a weight of its own."""
        if self._hidden is None:
            self._hidden = set()
            pending = [
                edge[0] for above in self.nodes
                if any(edge is not None and edge[0].vjp is None for edge in above.edges)
                for edge in above.edges if edge is not None
            ]  # fmt: skip
            while pending:
                below = pending.pop()
                if below not in self._hidden:
                    self._hidden.add(below)
                    pending.extend([edge[0] for edge in below.edges if edge is not None])
        return node in self._hidden


def source(node: Node, index: int = 0) -> Node | None:
    """The operation that computed input ``index``, whatever reshaped or copied it since."""
    edge = node.edges[index] if index < len(node.edges) else None
    while edge is not None:
        above, nr = edge
        if above.vjp in _PASSING:
            edge = above.edges[0]
        elif above.vjp in _IDENTITIES:
            edge = above.edges[nr]
        else:
            return above
    return None


def modules(stack: ModuleStack) -> Iterator[Any]:
    """The modules that were being called, innermost first."""
    while stack is not None:
        module = stack[0]()
        if module is not None:
            yield module
        stack = stack[1]


def saved_array(node: Node, index: int) -> Any:
    """What the node saved as number ``index``, None where it has changed or isn't kept."""
    entry = node.saved[index] if index < len(node.saved) else None
    if entry is None:
        return None
    held, then = entry
    now = 0 if held._cell is None else held._cell.value
    return held.array if now == then else None
