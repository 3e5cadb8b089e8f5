"""The engine: walks the tape from outputs to leaves and delivers gradients.

Nodes are numbered as they are made, so a consumer is always younger than what it consumes: to take
the youngest pending node is a topological order. The walk is a loop over a heap, at any depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from lucidlite.engine_checks import (
    anomaly,
    check_finite,
    check_shape,
    keep_whole,
    replaced_all,
    run_hooks,
    run_output_hooks,
    tell_place,
    wrong_count,
)
from lucidlite.notes import watch
from lucidlite.ops.common import to_dtype
from lucidlite.ops.elementwise import add
from lucidlite.ops.precision import gradient_mode
from lucidlite.ops.reduce import sum_to
from lucidlite.ops.unary import clone
from lucidlite.tape import Edge, Node, fresh, gradient_edge, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

Tensors = Sequence["Tensor"]
Grads = list["Tensor | None"]


class Walk:
    """One run of the engine: gradients on their way (``inboxes``) and the nodes they wait at."""

    def __init__(self, retain_graph: bool, create_graph: bool) -> None:
        self.retain_graph = retain_graph
        self.create_graph = create_graph
        self.heap: list[tuple[int, Node]] = []
        self.inboxes: dict[Node, Grads] = {}
        self.needed: set[Node] | None = None  # where the walk is pruned: nodes leading to targets
        self.targets: set[Edge] = set()
        self.captured: dict[Edge, Tensor] = {}

    def start(self, tensors: Tensors, grads: Tensors, targets: Sequence[Edge] = ()) -> None:
        """Deliver the first gradients; ``targets`` prune the walk to what leads to them."""
        roots = [gradient_edge(tensor) for tensor in tensors]
        if targets:
            self.targets = set(targets)
            self.needed = leading_to(self.targets, roots)
        for edge, seed in zip(roots, grads, strict=True):
            if self.needed is None or edge[0] in self.needed:
                self.deliver(edge, seed)

    def deliver(self, edge: Edge, grad: Tensor) -> None:
        """Add a gradient to what waits at ``edge``."""
        node, nr = edge
        inbox = self.inboxes.get(node)
        if inbox is None:
            inbox = self.inboxes[node] = [None] * len(node.metas)
            heappush(self.heap, (-node.number, node))
        held = inbox[nr]
        if held is None:
            inbox[nr] = grad
        elif self.create_graph:
            inbox[nr] = add(held, grad)
        elif held._fresh:
            held.backend.map("add", held.array, grad.array, out=held.array)
        else:
            inbox[nr] = fresh(wrap(held.backend.map("add", held.array, grad.array), held.backend))

    def run(self) -> None:
        """Push gradients back until nothing is pending."""
        with gradient_mode(self.create_graph):
            while self.heap:
                self.step()

    def step(self) -> tuple[Node, Grads, Grads]:
        """Take the youngest node that waits; returns it, what arrived there and what it sent on."""
        node = heappop(self.heap)[1]
        grads = self.inboxes.pop(node)
        if node.hooks is not None or node.retained is not None:
            run_output_hooks(node, grads)
        if node.vjp is None:
            self.arrive(node, grads)
            return node, grads, []
        if self.targets:
            self.capture(node, grads)
        return node, grads, self.visit(node, grads)

    def arrive(self, node: Any, grads: Grads) -> None:
        """A leaf's summed gradient: its hooks, then into ``.grad``, or to whoever asked for it."""
        grads[0] = run_hooks(node.variable._hooks, grads[0], node)
        if self.targets:
            self.capture(node, grads)
        if self.needed is None:
            accumulate(node.variable, grads[0], self.create_graph)

    def capture(self, node: Node, grads: Grads) -> None:
        """Keep the gradients somebody asked for."""
        for nr, grad in enumerate(grads):
            if grad is not None and (node, nr) in self.targets:
                self.captured[node, nr] = grad
                grad._fresh = False

    def visit(self, node: Node, grads: Grads) -> Grads:
        """Hand a node its summed gradients: its vjp, then on to its inputs."""
        edges = node.edges
        if self.needed is None:
            results = call_vjp(node, grads)
        else:
            edges = tuple([e if e is not None and e[0] in self.needed else None for e in edges])
            if not any(edges):
                return []  # a target with none below it: not run, so it keeps what it saved
            wanted, node.needs_input_grad = node.needs_input_grad, tuple(map(bool, edges))
            try:
                results = call_vjp(node, grads)
            finally:
                node.needs_input_grad = wanted
        if not self.retain_graph:
            node.release()
        sent: Grads = [None] * len(edges)
        for index, edge in enumerate(edges):
            grad = results[index]
            if edge is None or grad is None:
                continue
            if grad is grads[0] or len(grads) > 1:  # handed on, perhaps to several inputs
                grad._fresh = False
            shape, dtype, _ = edge[0].metas[edge[1]]
            if grad.array.shape != shape or grad.array.dtype is not dtype:
                grad = fit(node, index, grad, edge)
            sent[index] = grad
            self.deliver(edge, grad)
        return sent


def call_vjp(node: Node, grads: Grads) -> tuple[Tensor | None, ...]:
    """The node's vjp with its hooks around it; an error also names the forward call's line."""
    try:
        results = node.vjp(node, tuple(grads) if node.many else grads[0], *node.args)
        if type(results) is not tuple:
            results = (results,)
        if len(results) != len(node.edges):
            raise wrong_count(node, results)
        if node.hooks is not None:
            for hook in node.hooks.get("post"):
                results = replaced_all(hook(results, tuple(grads)), results)
            keep_whole(results)
        if anomaly.enabled:
            check_finite(node, results, grads)
    except Exception as problem:
        tell_place(problem, node)
        raise
    return results  # type: ignore[no-any-return]


def fit(node: Node, index: int, grad: Tensor, edge: Edge) -> Tensor:
    """The gradient in its parent's shape (summed where the op broadcast it) and dtype."""
    shape, dtype, _ = edge[0].metas[edge[1]]
    if grad.array.shape != shape:
        check_shape(node, index, grad.array.shape, shape)
        grad = sum_to(grad, shape)
    return grad if grad.array.dtype == dtype else fresh(to_dtype(grad, dtype))


def accumulate(leaf: TensorBase, grad: Any, create_graph: bool) -> None:
    """Add a summed gradient to ``leaf.grad``, in memory of its own, in the leaf's order."""
    watch.see_leaf(leaf)
    if create_graph or (leaf._grad is not None and leaf._grad.requires_grad):
        leaf._grad = clone(grad) if leaf._grad is None else add(leaf._grad, grad)
    elif leaf._grad is None:
        # What a vjp returned may be another tensor's gradient too, or the caller's.
        array, like = grad.array, leaf.array
        if not grad._fresh or leaf._hooks or array.strides != like.strides:
            array = grad.backend.copy_like(array, like)
        leaf._grad = wrap(array, grad.backend)
    else:
        leaf.backend.map("add", leaf._grad.array, grad.array, out=leaf._grad.array)
        leaf._grad.bump_version()
    for hook in list((leaf._post_hooks or {}).values()):
        hook(leaf)


def leading_to(targets: set[Edge], roots: Sequence[Edge]) -> set[Node]:
    """The nodes below ``roots`` from which a target is reached."""
    goals = {node for node, _ in targets}
    seen: set[Node] = set()
    pending = [node for node, _ in roots]
    while pending:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            pending.extend([edge[0] for edge in node.edges if edge is not None])
    needed: set[Node] = set()
    for node in sorted(seen, key=lambda n: n.number):
        if node in goals or any(e is not None and e[0] in needed for e in node.edges):
            needed.add(node)
    return needed


def backward(
    tensors: Tensors,
    grads: Tensors,
    retain_graph: bool,
    create_graph: bool,
    inputs: Tensors | None = None,
) -> None:
    """Accumulate the gradients of ``tensors`` into the leaves, or into ``inputs`` alone."""
    if inputs is None:
        walk = Walk(retain_graph, create_graph)
        walk.start(tensors, grads)
        walk.run()
        return
    results = gradients(tensors, grads, inputs, retain_graph, create_graph)
    for tensor, grad in {id(t): (t, g) for t, g in zip(inputs, results, strict=True)}.values():
        if grad is not None:
            accumulate(tensor, grad, create_graph)


def gradients(
    tensors: Tensors,
    grads: Tensors,
    inputs: Tensors,
    retain_graph: bool,
    create_graph: bool,
) -> Grads:
    """The gradients of ``tensors`` with respect to ``inputs``; nothing is accumulated."""
    walk = Walk(retain_graph, create_graph)
    targets = [gradient_edge(tensor) for tensor in inputs]
    walk.start(tensors, grads, targets)
    walk.run()
    return [walk.captured.get(edge) for edge in targets]
