"""Linear layers, convolutions and matrix products as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.geometry import conv_window
from lucidlite.onnx.graph import Call, Graph, Pairs, sides
from lucidlite.onnx.table import Unsupported, emits
from lucidlite.ops import conv, conv_transpose, embedding, matmul, one_dim, products
from lucidlite.ops.one_dim import single
from lucidlite.window import Window


@emits(matmul.linear)
def linear(g: Graph, a: Call) -> Any:
    weight, bias = a["weight"], a["bias"]
    x, w = g.of(a["input"]), g.of(weight)
    if a["input"].array.ndim == 2 and weight.array.ndim == 2 and (bias is None or bias.array.ndim):
        return g.add("Gemm", x, w, None if bias is None else g.of(bias), transB=1)
    out = g.add("MatMul", x, g.transpose(w, range(weight.array.ndim)[::-1]))
    return out if bias is None else g.add("Add", out, g.of(bias))


@emits(matmul.matmul, matmul.dot, matmul.mv, matmul.mm, matmul.bmm)
def product(g: Graph, a: Call) -> Any:
    x, y = (value for key, value in a.args.items() if hasattr(value, "array"))
    return g.add("MatMul", g.of(x), g.of(y))


@emits(matmul.outer)
def outer(g: Graph, a: Call) -> Any:
    kind = a.out.array.dtype
    column, row = g.of(a["input"], kind), g.of(a["vec2"], kind)
    return g.add("Mul", g.unsqueeze(column, 1), g.unsqueeze(row, 0))


@emits(matmul.addmm, products.baddbmm, products.addmv)
def with_addend(g: Graph, a: Call) -> Any:
    kind = a.out.array.dtype
    x, y = [value for key, value in a.args.items() if key not in ("input", "beta", "alpha")]
    out = _times(g, g.add("MatMul", g.of(x, kind), g.of(y, kind)), a["alpha"], kind)
    if a["beta"] == 0:
        return out
    return g.add("Add", _times(g, g.of(a["input"], kind), a["beta"], kind), out)


def _times(g: Graph, x: str, factor: Any, kind: Any) -> str:
    return x if factor == 1 else g.add("Mul", x, g.constant(factor, kind))


# -- convolutions ------------------------------------------------------------------------------


@emits(conv.conv2d)
def conv2d(g: Graph, a: Call) -> Any:
    window = conv_window(
        a.op, a["input"].array.shape, a["weight"].array.shape, a["stride"], a["padding"],
        a["dilation"], a["groups"],
    )  # fmt: skip
    return _conv(g, a, window, slice(0, 2))


@emits(one_dim.conv1d)
def conv1d(g: Graph, a: Call) -> Any:
    *lead, length = a["input"].array.shape
    *channels, size = a["weight"].array.shape
    step, gap = single(a.op, "stride", a["stride"]), single(a.op, "dilation", a["dilation"])
    padding = a["padding"]
    if not isinstance(padding, str):
        padding = (0, single(a.op, "padding", padding))
    window = conv_window(
        a.op, (*lead, 1, length), (*channels, 1, size), (1, step), padding, (1, gap), a["groups"]
    )
    return _conv(g, a, window, slice(1, 2))


def _conv(g: Graph, a: Call, window: Window, dims: slice) -> Any:
    pairs: Any = window.padding[dims]
    return _filtered(
        g, a, "Conv", kernel_shape=window.kernel_size[dims], strides=window.stride[dims],
        dilations=window.dilation[dims], pads=sides(pairs), group=int(a["groups"]),
    )  # fmt: skip


@emits(conv_transpose.conv_transpose1d, conv_transpose.conv_transpose2d)
def transposed(g: Graph, a: Call) -> Any:
    rank = int(a.op[-2])
    names = "stride", "padding", "output_padding", "dilation"
    stride, padding, more, dilation = (_tuple(a[name], rank) for name in names)
    settings: dict[str, Any] = {
        "kernel_shape": a["weight"].array.shape[2:], "strides": stride, "dilations": dilation,
        "group": int(a["groups"]),
    }  # fmt: skip
    if all(extra < step for extra, step in zip(more, stride, strict=True)):
        pads = padding * 2
        return _filtered(g, a, "ConvTranspose", pads=pads, output_padding=more, **settings)
    # Runtimes refuse more than a stride: less is cut off, and what is beyond has no input.
    ends = tuple(max(pad - extra, 0) for pad, extra in zip(padding, more, strict=True))
    beyond = [max(extra - pad, 0) for pad, extra in zip(padding, more, strict=True)]
    border = [(0, extra) for extra in beyond] if any(beyond) else None
    return _filtered(g, a, "ConvTranspose", border, pads=padding + ends, **settings)


def _tuple(value: Any, rank: int) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)):
        return (int(value),) * rank
    return tuple(map(int, value)) * (rank if len(value) == 1 else 1)


def _filtered(g: Graph, a: Call, op: str, border: Pairs | None = None, **settings: Any) -> Any:
    """A node with weight and bias, around it a batch of one where there is no batch.

    ``border`` is added to what it makes, before the bias is.
    """
    alone = a["input"].array.ndim < a["weight"].array.ndim
    x = g.unsqueeze(g.of(a["input"]), 0) if alone else g.of(a["input"])
    bias = None if a["bias"] is None else g.of(a["bias"])
    if border is None:
        out = g.add(op, x, g.of(a["weight"]), bias, **settings)
    else:
        out = g.add(op, x, g.of(a["weight"]), **settings)
        out = g.pad(out, a["weight"].array.ndim, border, a.out.array.dtype.type(0))
        if bias is not None:
            out = g.add("Add", out, g.unsqueeze(bias, *range(1, len(border) + 1)))
    return g.squeeze(out, 0) if alone else out


# -- tables ------------------------------------------------------------------------------------


@emits(embedding.embedding)
def lookup(g: Graph, a: Call) -> Any:
    if a["max_norm"] is not None:
        raise Unsupported("max_norm changes the table while it is read; scale its rows before")
    return g.add("Gather", g.of(a["weight"]), g.of(a["input"]), axis=0)


@emits(embedding.embedding_bag, fits=lambda a: a["input"].array.ndim == 2)
def bag(g: Graph, a: Call) -> Any:
    if a["max_norm"] is not None or a["padding_idx"] is not None:
        raise Unsupported("it has no max_norm and padding_idx; use Embedding and sum")
    found = g.add("Gather", g.of(a["weight"]), g.of(a["input"]), axis=0)
    if a["per_sample_weights"] is not None:
        found = g.add("Mul", found, g.unsqueeze(g.of(a["per_sample_weights"]), 2))
    op = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}[a["mode"]]
    return g.reduce(op, found, [1], False)


def as_int64(g: Graph, value: Any) -> str:
    """Indices as ONNX wants them."""
    return g.of(value, np.dtype(np.int64))
