"""Pooling as ONNX nodes, whatever the geometry: by explicit pads, never by their ceil_mode.

Runtimes disagree about windows that overhang. Where a window does, the file says what it sees:
borders of padding, and beyond them pads that count for nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.geometry import adaptive_output_size, flag, pool_divisor, pool_window
from lucidlite.onnx.graph import Call, Graph, Pairs, sides
from lucidlite.onnx.table import Unsupported, emits
from lucidlite.ops import one_dim, pooling, unpool
from lucidlite.ops.one_dim import single
from lucidlite.window import Window, adaptive_bins


def _window(a: Call) -> tuple[Window, slice]:
    """The window of a pool, and which of its two dims there are."""
    names = "kernel_size", "stride", "padding"
    size, stride, padding = (a[name] for name in names)
    dilation = a.args.get("dilation", 1)
    shape, dims = tuple(a["input"].array.shape), slice(0, 2)
    if a.op.endswith("1d"):
        shape, dims = (*shape[:-1], 1, shape[-1]), slice(1, 2)
        size = single(a.op, "kernel_size", size)
        stride = size if stride is None or stride in ((), []) else single(a.op, "stride", stride)
        padding, dilation = single(a.op, "padding", padding), single(a.op, "dilation", dilation)
        size, stride, padding, dilation = (1, size), (1, stride), (0, padding), (1, dilation)
    return pool_window(a.op, shape, size, stride, padding, dilation, a["ceil_mode"]), dims


def _overhang(window: Window, sizes: tuple[int, int]) -> list[int]:
    """How far the last window of each dim reaches beyond the padded plane."""
    outputs = window.output_size(sizes)
    found = []
    for axis in (0, 1):
        before, after = window.padding[axis]
        end = (outputs[axis] - 1) * window.stride[axis] + window.extent[axis]
        found.append(max(end - before - sizes[axis] - after, 0))
    return found


class _Pool:
    """What a pool's emitters share: the input as a batch, its window, its sizes."""

    def __init__(self, g: Graph, a: Call) -> None:
        self.g = g
        self.window, dims = _window(a)
        shape = tuple(a["input"].array.shape)
        self.rank = dims.stop - dims.start
        self.sizes: Any = shape[-self.rank :]
        self.alone = len(shape) == self.rank + 1
        plane = self.sizes if self.rank == 2 else (1, *self.sizes)
        self.kernel: Any = self.window.kernel_size[dims]
        padding: Any = self.window.padding[dims]
        self.padding: Pairs = padding
        self.over = _overhang(self.window, plane)[dims]
        strides = self.window.stride[dims]
        self.settings: dict[str, Any] = {"kernel_shape": self.kernel, "strides": strides}
        self.dilation = self.window.dilation[dims]
        self.x = g.unsqueeze(g.of(a["input"]), 0) if self.alone else g.of(a["input"])

    def done(self, name: str) -> str:
        return self.g.squeeze(name, 0) if self.alone else name

    def bordered(self, pairs: Pairs, value: float, kind: Any) -> str:
        """The input with borders of a value."""
        return self.g.pad(self.x, self.rank + 2, pairs, kind.type(value))

    def reaching(self) -> Pairs:
        """The padding, longer at the end where windows overhang."""
        return [(b, e + more) for (b, e), more in zip(self.padding, self.over, strict=True)]


@emits(pooling.max_pool2d, one_dim.max_pool1d)
def max_pool(g: Graph, a: Call) -> Any:
    p, kind = _Pool(g, a), a["input"].array.dtype
    pads, indices = p.reaching(), bool(a["return_indices"])
    if any(pad >= size for pair, size in zip(pads, p.kernel, strict=True) for pad in pair):
        # Runtimes refuse pads as wide as the window.
        if indices or kind.kind != "f":
            raise Unsupported("a dilated window overhangs by more than its kernel_size")
        p.x, pads = p.bordered(pads, -np.inf, kind), [(0, 0)] * p.rank
    settings = {**p.settings, "dilations": p.dilation, "pads": sides(pads)}
    if not indices:
        return p.done(g.add("MaxPool", p.x, **settings))
    out, places = g.add("MaxPool", p.x, n=2, **settings)
    # They count through the whole batch: within a plane is what is left.
    plane = g.constant(int(np.prod(p.sizes)), np.int64)
    return [p.done(out), p.done(g.add("Mod", places, plane))]


@emits(pooling.avg_pool2d, one_dim.avg_pool1d)
def avg_pool(g: Graph, a: Call) -> Any:
    p, kind = _Pool(g, a), a["input"].array.dtype
    include = flag(a.op, "count_include_pad", a["count_include_pad"])
    divisor = pool_divisor(a.op, a.args.get("divisor_override"))
    settings = dict(p.settings)
    if divisor is not None:
        p.x = p.bordered(p.reaching(), 0, kind)
        out = g.add("AveragePool", p.x, **settings)
        return p.done(g.add("Mul", out, g.constant(np.prod(p.kernel) / divisor, kind)))
    if not any(p.over):
        settings.update(pads=sides(p.padding), count_include_pad=int(include))
        return p.done(g.add("AveragePool", p.x, **settings))
    if include:
        p.x = p.bordered(p.padding, 0, kind)
        settings["pads"] = sides([(0, more) for more in p.over])
    else:
        settings["pads"] = sides(p.reaching())
    return p.done(g.add("AveragePool", p.x, count_include_pad=0, **settings))


# -- adaptive ----------------------------------------------------------------------------------


def _bins(a: Call) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of the input's plane and of the output's."""
    shape = tuple(a["input"].array.shape)
    if a.op.endswith("1d"):
        return shape[-1:], (single(a.op, "output_size", a["output_size"]),)
    return shape[-2:], adaptive_output_size(a.op, shape, a["output_size"])


def _batch(g: Graph, a: Call, rank: int) -> tuple[str, bool]:
    alone = a["input"].array.ndim == rank + 1
    return (g.unsqueeze(g.of(a["input"]), 0) if alone else g.of(a["input"])), alone


@emits(pooling.adaptive_avg_pool2d, one_dim.adaptive_avg_pool1d)
def adaptive_avg(g: Graph, a: Call) -> Any:
    sizes, outputs = _bins(a)
    kind = a["input"].array.dtype
    x, alone = _batch(g, a, len(sizes))
    if 0 in outputs:
        raise Unsupported(f"an empty output, output_size={a['output_size']}")
    if set(outputs) == {1}:
        x = g.add("GlobalAveragePool", x)
    elif all(n % m == 0 for n, m in zip(sizes, outputs, strict=True)):
        steps = [n // m for n, m in zip(sizes, outputs, strict=True)]
        x = g.add("AveragePool", x, kernel_shape=steps, strides=steps)
    else:
        x = g.add("MatMul", x, g.constant(_means(sizes[-1], outputs[-1]).T, kind))
        if len(sizes) == 2:
            x = g.add("MatMul", g.constant(_means(sizes[0], outputs[0]), kind), x)
    return g.squeeze(x, 0) if alone else x


def _means(n: int, outputs: int) -> Any:
    """The matrix that takes means of the bins of an axis."""
    matrix = np.zeros((outputs, n))
    for row, (start, end) in enumerate(adaptive_bins(n, outputs)):
        matrix[row, start:end] = 1 / (end - start)
    return matrix


@emits(pooling.adaptive_max_pool2d, one_dim.adaptive_max_pool1d)
def adaptive_max(g: Graph, a: Call) -> Any:
    sizes, outputs = _bins(a)
    rank, indices = len(sizes), bool(a["return_indices"])
    x, alone = _batch(g, a, rank)
    if 0 in outputs:
        raise Unsupported(f"an empty output, output_size={a['output_size']}")
    if set(outputs) == {1} and not indices:
        x = g.add("GlobalMaxPool", x)
        return g.squeeze(x, 0) if alone else x
    if all(n % m == 0 for n, m in zip(sizes, outputs, strict=True)):
        steps = [n // m for n, m in zip(sizes, outputs, strict=True)]
        found = g.add("MaxPool", x, n=1 + indices, kernel_shape=steps, strides=steps)
        if not indices:
            return g.squeeze(found, 0) if alone else found
        places = g.add("Mod", found[1], g.constant(int(np.prod(sizes)), np.int64))
        return [g.squeeze(each, 0) if alone else each for each in (found[0], places)]
    if indices:
        raise Unsupported(
            f"return_indices where bins overlap, from {sizes} to {outputs}; pool to sizes that "
            "divide the input's"
        )
    for axis in range(rank):
        spans = adaptive_bins(sizes[axis], outputs[axis])
        widest = max(end - start for start, end in spans)
        rows = [[min(start + i, end - 1) for i in range(widest)] for start, end in spans]
        # A bin that is narrower has its last element several times.
        x = g.add("Gather", x, g.constant(rows, np.int64), axis=2 + axis)
        x = g.reduce("ReduceMax", x, [3 + axis], False)
    return g.squeeze(x, 0) if alone else x


@emits(unpool.max_unpool2d, unpool.max_unpool1d)
def max_unpool(g: Graph, a: Call) -> Any:
    shape, out = a["input"].array.shape, tuple(a.out.array.shape)
    lead = out[: len(out) - int(a.op[-2])]
    size = int(np.prod(out[len(lead) :]))
    flat = (*lead, int(np.prod(shape[len(lead) :])))
    values = g.reshape(g.of(a["input"]), flat, shape)
    places = g.reshape(g.of(a["indices"]), flat, shape)
    zeros = g.add("Expand", g.constant(0, a.out.array.dtype), g.ints((*lead, size)))
    filled = g.add("ScatterElements", zeros, places, values, axis=-1)
    return g.reshape(filled, out, (*lead, size))
