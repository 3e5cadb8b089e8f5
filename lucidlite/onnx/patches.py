"""Pixels and patches of images moved about, and diagonals, as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.graph import Call, Graph, sides
from lucidlite.onnx.table import emits
from lucidlite.ops import diagonals, fold, pixels


@emits(pixels.pixel_shuffle, fits=lambda a: a["input"].array.ndim == 4)
def pixel_shuffle(g: Graph, a: Call) -> Any:
    return g.add("DepthToSpace", g.of(a["input"]), blocksize=int(a["upscale_factor"]), mode="CRD")


@emits(pixels._moved)
def moved(g: Graph, a: Call) -> Any:
    given, split, order = a["input"].array.shape, a["split"], a["order"]
    x = g.transpose(g.reshape(g.of(a["input"]), split, given), order)
    return g.reshape(x, a["shape"], tuple(split[d] for d in order))


@emits(fold.unfold2d)
def unfold(g: Graph, a: Call) -> Any:
    window, shape = a["window"], a["input"].array.shape
    x, kind = g.of(a["input"]), a["input"].array.dtype
    x = g.pad(x, len(shape), window.padding, kind.type(0))
    rows, columns = window.output_size((shape[2], shape[3]))
    # (N, C, kH, OH, kW, OW): for each tap, where each window has it.
    for axis, count, at in ((0, rows, 2), (1, columns, 4)):
        taps = np.arange(window.kernel_size[axis]) * window.dilation[axis]
        places = taps[:, None] + np.arange(count) * window.stride[axis]
        x = g.add("Gather", x, g.constant(places, np.int64), axis=at)
    (kh, kw), (n, channels) = window.kernel_size, shape[:2]
    x = g.transpose(x, (0, 1, 2, 4, 3, 5))
    whole = (n, channels, kh, kw, rows, columns)
    return g.reshape(x, (n, channels * kh * kw, rows * columns), whole)


@emits(fold.fold2d)
def folded(g: Graph, a: Call) -> Any:
    window = a["window"]
    return g.add(
        "Col2Im", g.of(a["input"]), g.ints(a["size"]), g.ints(window.kernel_size),
        dilations=window.dilation, pads=sides(window.padding), strides=window.stride,
    )  # fmt: skip


@emits(diagonals.diagonal, diagonals._copy_of_diagonal)
def diagonal(g: Graph, a: Call) -> Any:
    given, offset = a["input"].array.shape, int(a["offset"])
    dims = [a.args.get("dim1", 0) % len(given), a.args.get("dim2", 1) % len(given)]
    rest = [d for d in range(len(given)) if d not in dims]
    x = g.transpose(g.of(a["input"]), [*rest, *dims])
    places = np.arange(a.out.array.shape[-1])
    rows, columns = places + max(-offset, 0), places + max(offset, 0)
    lead = tuple(given[d] for d in rest)
    height, width = (given[d] for d in dims)
    flat = g.reshape(x, (*lead, height * width), (*lead, height, width))
    return g.add("Gather", flat, g.constant(rows * width + columns, np.int64), axis=-1)
