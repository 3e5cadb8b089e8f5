"""Rules about activations: ReLUs that never fire, norms of too few values."""

from __future__ import annotations

import math
from typing import Any

from lucidlite.callsite import Site
from lucidlite.nn.norm import _BatchNorm, _InstanceNorm
from lucidlite.ops.activation import relu_vjp
from lucidlite.ops.conv import conv2d_vjp
from lucidlite.ops.conv_transpose import conv_transpose2d_vjp
from lucidlite.ops.group_norm import group_norm_vjp
from lucidlite.ops.matmul import addmm_vjp, linear_vjp, matmul_vjp
from lucidlite.ops.norm import batch_norm_vjp
from lucidlite.tape import Node
from lucidlite.watching.graph import Graph, modules, saved_array, source
from lucidlite.watching.rule import Rule
from lucidlite.watching.run import Run
from lucidlite.watching.values import read

_BATCHES = 10
# Layers with a row of the weight for each unit, and all layers.
_WITH_ROWS: set[Any] = {batch_norm_vjp, conv2d_vjp, linear_vjp}
_LAYERS: set[Any] = {
    *_WITH_ROWS, addmm_vjp, conv_transpose2d_vjp, group_norm_vjp, matmul_vjp,
}  # fmt: skip


class _Units:
    """What is known of one ReLU in ten batches: whether enough units fired; if not, which did."""

    def __init__(self, node: Node) -> None:
        self.place: Site | None = node.site
        self.modules = node.modules
        self.alive = False
        self.fired: Any = None
        self.samples = 0


class DeadReLU(Rule):
    """Four fifths of a ReLU's units (all, where there are fewer than 8) gave 0 on 10 batches.

    On 250 samples at least (100 if it is all of them), an image's pixels counting each; in the
    model, in training, where gradients flow. Of a layer's output, or with more layers behind it:
    not a hinge, which is a loss. Units whose weights are 0 are pruned and don't count. A layer used
    several times counts as one.
    """

    name = "dead-relu"
    hint = "a lower learning rate, Kaiming initialization, a norm before it, or LeakyReLU"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.units: dict[Any, _Units] = {}
        self.batches = 0

    def backward(self, graph: Graph) -> None:
        model = self.run.model
        if model is None or not model.training:
            return
        self._see(graph, [node for node in graph.of(relu_vjp) if self.run.inside(node)])
        self.batches += 1
        if self.batches == _BATCHES:
            self._judge()
            self.units, self.batches = {}, 0

    def _see(self, graph: Graph, nodes: list[Node]) -> None:
        looked = []
        for node in nodes:
            array = saved_array(node, 0)
            axis = _unit_axis(node, array)
            if axis is not None:
                key = (*(node._site or ()), node.modules and node.modules[0], array.shape[axis])
                held = self.units.setdefault(key, _Units(node))
                if not held.alive:
                    looked.append((held, node, array, axis))
        if not looked or len({node.metas[0][2] for node in nodes}) > 1:
            return
        # A few rows show most units of a sound layer firing; the others are looked at whole.
        backend = nodes[0].metas[0][2]
        parts = [_fired(backend.xp, _part(array), axis) for _, _, array, axis in looked]
        counts = read(backend, [part.sum() for part in parts])
        for (held, node, array, axis), count in zip(looked, counts, strict=True):
            size = array.shape[axis]
            above = source(node)
            units = (above is not None and above.vjp in _LAYERS) or graph.hidden(node)
            held.alive = not units or not _dead(size - int(count), size)
            if not held.alive:
                fired = _fired(backend.xp, array, axis) | _pruned(backend.xp, above, size)
                held.fired = fired if held.fired is None else held.fired | fired
                held.samples += array.size // size

    def _judge(self) -> None:
        for held in self.units.values():
            if held.alive:
                continue
            size = int(held.fired.shape[0])
            dead = size - int(held.fired.sum())
            if _dead(dead, size) and held.samples >= (100 if dead == size else 250):
                self.say(
                    f"ReLU units never fire, got 0 from {dead} of {size} on all of {_BATCHES} "
                    f"batches ({held.samples} samples)",
                    held.place,
                    held.modules,
                )


def _dead(dead: int, size: int) -> bool:
    return dead == size or (size >= 8 and 5 * dead >= 4 * size)


def _part(array: Any) -> Any:
    return array[:, :, :: max(array.shape[2] // 2, 1)] if array.ndim == 4 else array[:16]


def _fired(xp: Any, array: Any, axis: int) -> Any:
    """Which units gave more than 0 anywhere."""
    return xp.max(array, axis=tuple(i for i in range(array.ndim) if i != axis)) > 0


def _pruned(xp: Any, layer: Node | None, size: int) -> Any:
    """Which units have no weight but 0, where others have."""
    edge = None if layer is None or layer.vjp not in _WITH_ROWS else layer.edges[1]
    weight = None if edge is None else getattr(edge[0], "variable", None)  # of a leaf
    if weight is None or weight.array.shape[0] != size:
        return False
    zero = ~xp.any(weight.array.reshape(size, -1), axis=1)
    return zero & ~xp.all(zero)


def _unit_axis(node: Node, array: Any) -> int | None:
    """Where the units of a ReLU are: channels of images, features of rows."""
    if array is None or array.ndim < 2 or not array.size:
        return None
    if array.ndim in (2, 4):
        return 1
    first = source(node)
    return array.ndim - 1 if first is not None and first.vjp is linear_vjp else None


class BatchNormPairs(Rule):
    """BatchNorm in training with two values a channel, three times: the result is always +-1."""

    name = "batchnorm-pairs"
    hint = "a larger batch, or GroupNorm or LayerNorm, which don't look across the batch"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.count: dict[int, int] = {}

    def backward(self, graph: Graph) -> None:
        for node in graph.of(batch_norm_vjp):
            shape = node.metas[0][0]
            if not node.args[0] or math.prod(shape) != 2 * shape[1]:
                continue
            module = next(modules(node.modules), None)
            if isinstance(module, _BatchNorm) and not isinstance(module, _InstanceNorm):
                seen = self.count[id(module)] = self.count.get(id(module), 0) + 1
                if seen == 3:
                    self.say(
                        f"BatchNorm sees two values a channel, got input {shape}: what it makes of "
                        "them is 1 and -1, whatever they are",
                        node.site,
                        node.modules,
                    )
