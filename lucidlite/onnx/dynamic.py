"""Axes of free size: what of a graph depends on them is found by running with other sizes.

Constants that grow with a size become arithmetic on the input's own shape; what depends on it in
another way is refused, with the operation it belongs to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lucidlite.onnx.graph import Graph, Node, same_bytes
from lucidlite.onnx.run import Run


class Axis(NamedTuple):
    """A size that may change: its name, an input that has it, where, and its size in the run."""

    name: str
    input: str
    dim: int
    size: int


class Variant(NamedTuple):
    """A run in which ``axis`` had another size."""

    axis: Axis
    size: int
    run: Run


def loosen(run: Run, variants: list[Variant]) -> None:
    """Make ``run``'s graph hold for all sizes of the axes that the variants vary."""
    _same_nodes(run.graph, variants)
    graph = run.graph
    reshapes = {
        node.inputs[1]: (i, node) for i, node in enumerate(graph.nodes) if node.op == "Reshape"
    }
    fixed = _Arithmetic(graph)
    for name in list(graph.constants):
        others = [variant.run.graph.constants[name] for variant in variants]
        if all(same_bytes(graph.constants[name], other) for other in others):
            continue
        if name in reshapes:
            _reshape(graph, name, variants, *reshapes[name])
            others = [variant.run.graph.constants[name] for variant in variants]
            if all(same_bytes(graph.constants[name], other) for other in others):
                continue
        fixed.replace(name, variants)
    graph.nodes[:0] = fixed.nodes


def _same_nodes(graph: Graph, variants: list[Variant]) -> None:
    for axis, size, run in variants:
        pairs = zip(graph.nodes, run.graph.nodes, strict=False)
        for node, other in pairs:
            same = (node.op, node.inputs, node.outputs) == (other.op, other.inputs, other.outputs)
            if not same or not _same_attributes(node, other):
                raise _refused(node.call, axis, size)
        if len(graph.nodes) != len(run.graph.nodes) or set(graph.constants) != set(
            run.graph.constants
        ):
            longer = max(graph.nodes, run.graph.nodes, key=len)
            raise _refused(longer[-1].call if longer else None, axis, size)


def _same_attributes(node: Node, other: Node) -> bool:
    a, b = node.attributes, other.attributes
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def _refused(call: Any, axis: Axis, size: int, why: str = "") -> ValueError:
    what = "the model" if call is None else call.op
    where = "" if call is None else call.where
    return ValueError(
        f"onnx.export: {what} depends on the size of axis {axis.name!r} "
        f"({axis.size} and {size} give different graphs){why}; leave the axis out of dynamic_axes, "
        f"or write it without the size{where}"
    )


def _reshape(graph: Graph, name: str, variants: list[Variant], number: int, node: Node) -> None:
    """Write 0 (as the input has it) and -1 (whatever is left) for sizes that change."""
    nodes = [node, *(variant.run.graph.nodes[number] for variant in variants)]
    graphs = [graph, *(variant.run.graph for variant in variants)]
    shapes = [each.constants[name] for each in graphs]
    if len({len(shape) for shape in shapes}) > 1:
        return
    left = []
    for i in range(len(shapes[0])):
        if len({int(shape[i]) for shape in shapes}) == 1:
            continue
        kept = all(
            i < len(n.source) and n.source[i] == shape[i]
            for n, shape in zip(nodes, shapes, strict=True)
        )
        if kept:
            for shape in shapes:
                shape[i] = 0
        else:
            left.append(i)
    if len(left) == 1:
        for shape in shapes:
            shape[left[0]] = -1


class _Arithmetic:
    """Nodes that compute, from the inputs' shapes, what was a constant in one run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self._sizes: dict[str, str] = {}

    def replace(self, name: str, variants: list[Variant]) -> None:
        """Nodes in the place of a constant."""
        graph = self.graph
        call, array = graph.calls[name], graph.constants[name]
        others = [variant.run.graph.constants[name] for variant in variants]
        if (
            array.dtype == np.int64
            and array.ndim < 2
            and len({array.shape, *(o.shape for o in others)}) == 1
        ):
            flat = [o.reshape(-1) for o in others]
            vector = self._fitted(call, array.reshape(-1), flat, variants)
            if not array.ndim:
                vector = self._add("Squeeze", vector)
        elif (one := self._repeated([array, *others])) is not None:
            sizes = [np.array(o.shape, np.int64) for o in others]
            shape = self._fitted(call, np.array(array.shape, np.int64), sizes, variants)
            vector = self._add("Expand", self._constant(one), shape)
        else:
            changed = [
                v for v, other in zip(variants, others, strict=True) if not same_bytes(array, other)
            ]
            raise _refused(call, changed[0].axis, changed[0].size)
        del graph.constants[name]
        for node in graph.nodes:
            node.inputs = [vector if each == name else each for each in node.inputs]

    @staticmethod
    def _repeated(arrays: list[Any]) -> Any:
        """What all of these repeat along the dims in which their sizes differ, else None."""
        first, kinds = arrays[0], {(a.ndim, a.dtype) for a in arrays}
        if len(kinds) > 1 or not all(a.size for a in arrays):
            return None
        free = [d for d in range(first.ndim) if len({a.shape[d] for a in arrays}) > 1]
        one = first[tuple(slice(1) if d in free else slice(None) for d in range(first.ndim))]
        for array in arrays:
            same = np.ascontiguousarray(np.broadcast_to(one, array.shape))
            if same.tobytes() != array.tobytes():
                return None
        return one

    def _fitted(self, call: Any, values: Any, others: list[Any], variants: list[Variant]) -> str:
        """``values`` at each size: numbers, or multiples of one size and more."""
        offset = [int(v) for v in values]
        slopes: dict[Axis, list[int]] = {}
        for variant, other in zip(variants, others, strict=True):
            axis, size, _ = variant
            first = axis not in slopes
            slope = slopes.setdefault(axis, [0] * len(offset))
            for i, (now, then) in enumerate(zip(values, other, strict=True)):
                more, steps = int(then) - int(now), size - axis.size
                if first and more % steps == 0:
                    slope[i] = more // steps
                if more != slope[i] * steps:
                    raise _refused(call, axis, size)
        for i in range(len(offset)):
            moved = [axis for axis, slope in slopes.items() if slope[i]]
            if len(moved) > 1:
                raise _refused(call, moved[1], moved[1].size, ", as it does on another axis")
            for axis in moved:
                offset[i] -= slopes[axis][i] * axis.size
        total = ""
        for axis, slope in slopes.items():
            if not any(slope):
                continue
            term = self._size(axis)
            if slope != [1]:
                term = self._add("Mul", term, self._constant(slope))
            total = self._add("Add", total, term) if total else term
        if any(offset):
            total = self._add("Add", total, self._constant(offset))
        return total

    def _size(self, axis: Axis) -> str:
        if axis.name not in self._sizes:
            self._sizes[axis.name] = self._add(
                "Shape", axis.input, start=axis.dim, end=axis.dim + 1
            )
        return self._sizes[axis.name]

    def _constant(self, values: Any) -> str:
        self.graph.call, self.graph.path = None, ""
        array = values if isinstance(values, np.ndarray) else np.array(values, np.int64)
        return self.graph.constant(array)

    def _add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node before all others."""
        self.graph.call, self.graph.path = None, "sizes"
        name: str = self.graph.add(op, *inputs, **attributes)
        self.nodes.append(self.graph.nodes.pop())
        return name
