"""Backward one node at a time: the engine's own walk, handed out step by step."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.engine import Grads, Tensors, Walk, accumulate
from lucidlite.engine_checks import keep_whole
from lucidlite.ops.precision import gradient_mode
from lucidlite.tape import AccumulateGrad, Node, gradient_edge

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


class Step(NamedTuple):
    """One visit of the engine.

    ``incoming``: the summed gradient of each output of ``node``; ``outgoing``: what it sent to
    each of ``node.edges``, None where nobody asked. A leaf's step has no outgoing gradients.
    ``pending``: the nodes that gradients wait at now, in the order they would be taken: youngest
    first. More may join before a leaf's turn comes.
    """

    node: Node
    incoming: tuple[Tensor | None, ...]
    outgoing: tuple[Tensor | None, ...]
    pending: tuple[Node, ...]


class _Shown(Walk):
    """A walk whose gradients somebody looks at: no kernel writes into them afterwards."""

    def visit(self, node: Node, grads: Grads) -> Grads:
        keep_whole(grads)
        sent = super().visit(node, grads)
        keep_whole(sent)
        return sent

    def arrive(self, node: Any, grads: Grads) -> None:
        keep_whole(grads)
        super().arrive(node, grads)


class _Dry(_Shown):
    """A walk that doesn't keep what ``retain_grad`` asks of a backward."""

    def step(self) -> tuple[Node, Grads, Grads]:
        node = self.heap[0][1]
        asked = node.retained
        if asked is None:
            return super().step()
        node.retained = None
        try:
            return super().step()
        finally:
            node.retained = asked


def _steps(walk: Walk) -> Iterator[Step]:
    # The heap in order, kept beside it: to sort it anew at every step takes long where many wait.
    waiting = [node for _, node in sorted(walk.heap, key=lambda each: each[0])]
    known = set(waiting)
    while walk.heap:
        with gradient_mode(walk.create_graph):
            node, incoming, outgoing = walk.step()
        waiting.remove(node)
        for edge in node.edges:
            if edge is not None and edge[0] in walk.inboxes and edge[0] not in known:
                known.add(edge[0])
                insort(waiting, edge[0], key=lambda each: -each.number)
        yield Step(node, tuple(incoming), tuple(outgoing), tuple(waiting))


def steps(
    tensors: Tensors,
    grads: Tensors,
    retain_graph: bool,
    create_graph: bool,
    inputs: Tensors | None = None,
) -> Iterator[Step]:
    """``engine.backward``, a Step for each node it visits."""
    walk = _Shown(retain_graph, create_graph)
    wanted = {id(each): each for each in inputs or ()}.values()
    targets = [gradient_edge(each) for each in wanted]
    walk.start(tensors, grads, targets)
    yield from _steps(walk)
    for each, edge in zip(wanted, targets, strict=True):
        if edge in walk.captured:
            accumulate(each, walk.captured[edge], create_graph)


def dry_steps(tensors: Tensors, grads: Tensors) -> Iterator[Step]:
    """The steps of a backward that leaves no trace: no ``.grad`` is written, nothing is freed.

    Hooks on tensors and nodes run as they would.
    """
    walk = _Dry(True, False)
    seen: set[Node] = set()
    waiting = [gradient_edge(tensor)[0] for tensor in tensors]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting.extend([edge[0] for edge in node.edges if edge is not None])
    leaves = [(node, 0) for node in seen if isinstance(node, AccumulateGrad)]
    walk.start(tensors, grads, leaves)
    return _steps(walk)
