"""Winograd's convolution on NumPy: 3 x 3 filters, stride 1, float32.

``winograd_transforms.py`` has the idea and the matrices, ``winograd_plan.py`` how the work is cut.
Here are the steps for a block of tiles:

    forward    x rows  --BT-->  t  --BT-->  V  --@ U-->  products  --AT-->  s  --AT-->  y rows
    backward   g rows  --A-->   s  --A-->   P  --@ U'-->  dV  --B-->  dt  --B-->  dx rows
                                            P' @ V, summed over all blocks  --GT . G-->  dw

Why it is quick: transforming one axis is a product of a tiny matrix with long runs of pixels, which
BLAS does as fast as the cache gives them; the largest arrays live in the cache only. Borders are
never padded: a tile row at an edge is transformed by fewer columns of BT, or to fewer rows of AT.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.numpy_kernels.layout import contiguous_image, long_runs
from lucidlite.backends.numpy_kernels.winograd_plan import (
    Block,
    Plan,
    Workspace,
    plan_of,
    workspace,
)
from lucidlite.backends.numpy_kernels.winograd_transforms import Transform
from lucidlite.threads import cut, parallel
from lucidlite.window import Window


class Winograd:
    """F(m x m, 3 x 3), an algorithm for conv2d: m = 2 is as exact as any, m = 4 is quicker.

    For float32, kernel_size 3, stride 1, dilation 1, groups 1 and padding up to 2.
    """

    def __init__(self, m: int) -> None:
        self.m = m

    def forward(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        window: Window,
        groups: int,
        keep: bool,
        memo: dict[Any, Any] | None = None,
    ) -> tuple[Array, None]:
        """(y, None): no state, for the backward pass evaluates x again.

        That costs hardly anything: V is made in the cache, a piece at a time. Kept, it would be
        2.25 times as large as x (m = 4), and written to memory to be read again.
        """
        del groups, keep
        plan = plan_of(self.m, x.shape, len(w), window.padding)
        key = f"F{self.m}", "U"
        u = None if memo is None else memo.get(key)
        if u is None:
            u = plan.transform.weights(np.ascontiguousarray(w))
            if memo is not None:
                memo[key] = u
        image = _pixels(x)
        y = np.empty((*plan.out, plan.n, plan.k), x.dtype)
        out = y.reshape(*plan.out, -1)

        def work(part: tuple[int, int]) -> None:
            for block in plan.blocks[slice(*part)]:
                _forward(plan, block, image, u, bias, out)

        parallel(work, cut(len(plan.blocks), plan.cost))
        return nchw(y), None

    def backward(
        self,
        g: Array,
        x: Array,
        w: Array,
        state: None,
        window: Window,
        groups: int,
        needs: tuple[bool, ...],
    ) -> tuple[Array | None, Array | None, Array | None]:
        """The gradients (dx, dw, db) that ``needs`` asks for, None for the others."""
        del groups, state
        plan = plan_of(self.m, x.shape, len(w), window.padding)
        grad = _pixels(g)
        if not (needs[0] or needs[1]):
            rows = grad.reshape(-1, plan.n * plan.k).sum(0)
            return None, None, rows.reshape(plan.n, plan.k).sum(0) if needs[2] else None
        dx = turned = image = None
        if needs[0]:
            turned = plan.transform.turned_weights(np.ascontiguousarray(w))
            dx = np.empty((plan.height, plan.width, plan.n, plan.c), g.dtype)
        if needs[1]:
            image = _pixels(x)
        arrays = _Arrays(grad, image, turned, None if dx is None else _flat(dx))
        parts = [
            _Backward(plan, plan.blocks[first:end], arrays, needs)
            for first, end in cut(len(plan.blocks), plan.cost)
        ]
        parallel(_Backward.run, parts)
        for part in parts:
            for target, edge in part.late:
                target += edge
        dw = plan.transform.weight_grad([part.du for part in parts]) if needs[1] else None
        db = sum(part.db for part in parts) if needs[2] else None
        return None if dx is None else nchw(dx), dw, db


def _pixels(image: Array) -> Array:
    """An (N, C, H, W) image as (H, W, N * C), one run of memory a pixel; a copy where needed."""
    image = hwnc(image)
    height, _, n, c = image.shape
    if height > 1 and image.strides[0] < n * c * image.itemsize:  # rows broadcast or turned over
        image = contiguous_image(image)
    return _flat(long_runs(image))


def _flat(image: Array) -> Array:
    return image.reshape(*image.shape[:2], -1)


def _columns(rows: Array) -> Array:
    """Pixels (row, column, n) with the rows next to last, for a product with a tiny matrix."""
    return rows.transpose(1, 0, 2)


def _forward(plan: Plan, block: Block, x: Array, u: Array, bias: Array | None, y: Array) -> None:
    t, ws = plan.transform, workspace(plan, block)
    _evaluate_rows(plan, block, ws, x)
    for group in ws.groups:
        np.matmul(t.evaluate, ws.t_tiles[group], out=ws.v_tiles)
        np.matmul(ws.v_products, u[ws.planes[group], None], out=ws.p_products)
        if bias is not None and group == ws.center_group:
            # What is added to a tile at the point (1, 1) is added to each of its outputs: the
            # second column of AT is all ones.
            ws.p_center += bias
        np.matmul(t.interpolate, ws.p_tiles, out=ws.s_tiles[group])
    for row, s in zip(plan.rows[block.rows], ws.s_rows, strict=True):
        np.matmul(row.interpolate, s, out=_columns(y[row.outputs, :, block.outs]))


def _evaluate_rows(plan: Plan, block: Block, ws: Workspace, x: Array) -> None:
    for border in ws.t_borders:
        border[...] = 0
    for row, t in zip(plan.rows[block.rows], ws.t_rows, strict=True):
        np.matmul(row.evaluate, _columns(x[row.inputs, :, block.ins]), out=t)


class _Arrays(NamedTuple):
    """What the parts of a backward pass share; images are (H, W, N * channels)."""

    grad: Array
    x: Array | None  # None where dw isn't wanted
    turned: Array | None  # U, (points^2, K, C); None where dx isn't wanted
    dx: Array | None


class _Backward:
    """One thread's blocks of a backward pass, and their sums ``du`` and ``db``."""

    def __init__(
        self, plan: Plan, blocks: list[Block], arrays: _Arrays, needs: tuple[bool, ...]
    ) -> None:
        self.plan, self.blocks, self.arrays, self.needs = plan, blocks, arrays, needs
        self.du: Any = None
        self.db: Any = 0
        # (rows of dx, what to add): rows which the part before this one writes.
        self.late: list[tuple[Array, Array]] = []

    def run(self) -> None:
        if self.needs[1]:
            shape = self.plan.points**2, self.plan.k, self.plan.c
            self.du = np.empty(shape, np.float32)
        for number, block in enumerate(self.blocks):
            self._block(block, workspace(self.plan, block), number == 0)

    def _block(self, block: Block, ws: Workspace, first: bool) -> None:
        t, arrays = self.plan.transform, self.arrays
        for row, s in zip(self.plan.rows[block.rows], ws.s_rows, strict=True):
            np.matmul(row.collect, _columns(arrays.grad[row.outputs, :, block.outs]), out=s)
        if ws.s_border.size:
            ws.s_border[...] = 0
        if arrays.x is not None:
            _evaluate_rows(self.plan, block, ws, arrays.x)
        for group in ws.groups:
            np.matmul(t.collect, ws.s_tiles[group], out=ws.p_tiles)
            if self.needs[2] and group == ws.center_group:
                self.db = self.db + ws.p_center.sum(0)
            if self.needs[1]:
                self._weights(ws, group, first)
            if arrays.turned is not None:
                planes = arrays.turned[ws.planes[group], None]
                np.matmul(ws.p_products, planes, out=ws.v_products)
                _spread_columns(t, ws, group)
        if arrays.dx is not None:
            self._spread_rows(block, ws, arrays.dx, first)

    def _weights(self, ws: Workspace, group: int, first: bool) -> None:
        """du += P transposed @ V, for a group of points."""
        np.matmul(self.plan.transform.evaluate, ws.t_tiles[group], out=ws.v_tiles)
        total = self.du[ws.planes[group]]
        share = total if first else ws.du
        out = share.reshape(*share.shape[:2], *ws.channels).transpose(0, 2, 1, 3)
        np.matmul(ws.p_turned, ws.v_channels, out=out)
        if not first:
            total += share

    def _spread_rows(self, block: Block, ws: Workspace, dx: Array, first: bool) -> None:
        """The gradients of t to rows of dx: tile rows, from the top, write some and add to some."""
        for number, row in enumerate(self.plan.rows[block.rows]):
            dt = ws.t_rows[number]
            fresh = _columns(dx[row.fresh, :, block.ins])
            np.matmul(row.spread_fresh, dt, out=fresh)
            if len(row.spread_shared):
                shared = dx[row.shared, :, block.ins]
                edge = ws.row_edge[: len(shared)]
                np.matmul(row.spread_shared, dt, out=_columns(edge))
                if first and not number:  # the tile row above is another thread's
                    self.late.append((shared, edge.copy()))
                else:
                    shared += edge


def _spread_columns(t: Transform, ws: Workspace, group: int) -> None:
    """The gradients of V to those of t, in t: tiles overlap by two columns, which are added."""
    np.matmul(t.spread[2:], ws.v_tiles, out=ws.t_fresh[group])
    ws.t_first[group][...] = 0
    np.matmul(t.spread[:2], ws.v_tiles, out=ws.edge)
    shared = ws.t_shared[group]
    shared += ws.edge
