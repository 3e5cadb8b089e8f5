"""Matrix products on a GPU: cuBLAS through CuPy for large ones, our own kernel for small ones.

Of a small product the launch is the larger part, and ours takes the bias along. While a CUDA graph
is recorded cuBLAS may not be called, so all products are ours then.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.cuda import matmul as switch
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.matmul import Gradients, MatmulKernels

SMALL = 1 << 22  # multiplications up to which a product is ours
FEW_TILES = 64  # tiles of 64 x 64 below which a GPU has processors to spare
DEPTH = 256  # of the sums a slice of a product computes
ROWS = 64  # of a matrix that a thread adds up before more blocks are worth a second launch
MOST_BLOCKS = 512
GRID = 65535  # blocks along y and z


def wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that values of ``dtype`` are multiplied and added in."""
    return np.dtype(np.float32) if dtype.char == "e" else dtype


class CuPyMatmul(MatmulKernels):
    """Products of floats; CuPy multiplies integers by itself."""

    capturing: bool

    if TYPE_CHECKING:

        launch: Any

    def matmul(self, a: Array, b: Array) -> Array:
        if a.dtype.kind != "f" or not a.ndim or not b.ndim:
            return self.xp.asarray(self.xp.matmul(a, b))
        if a.ndim == 1 or b.ndim == 1:
            rows = a.reshape(1, -1) if a.ndim == 1 else a
            columns = b.reshape(-1, 1) if b.ndim == 1 else b
            out = self.matmul(rows, columns)
            kept = [out.shape[-2]] * (a.ndim > 1) + [out.shape[-1]] * (b.ndim > 1)
            return out.reshape((*out.shape[:-2], *kept))
        if b.ndim == 2 and a.ndim > 2 and a.size and a.flags.c_contiguous:
            # One product of all rows instead of one for each matrix.
            return self.matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        (m, k), (depth, n) = a.shape[-2:], b.shape[-2:]
        if k != depth:
            raise ValueError(f"matmul: inner sizes differ, got {k} and {depth}")
        if not self.ours(prod(lead) * m * n * k):
            return self.cublas(a, b, switch.allow_tf32)
        return self._small_product(a, b, lead)

    def addmm(self, input: Array, a: Array, b: Array, beta: float, alpha: float) -> Array:
        if a.ndim > 2 or a.dtype.kind != "f" or not self.ours(a.size * b.shape[1]):
            return super().addmm(input, a, b, beta, alpha)
        if beta == 0:
            return self._small_product(a, b, alpha=alpha)
        added = self.xp.ascontiguousarray(input)
        shape = (1,) * (2 - added.ndim) + added.shape
        steps = shape[1] if shape[0] > 1 else 0, 1 if shape[1] > 1 else 0
        return self._small_product(a, b, (), added, steps, alpha, beta)

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        lead, (n, k) = x.shape[:-1], weight.shape
        if x.dtype.kind != "f":
            return super().linear(x, weight, bias)
        rows = x.reshape(prod(lead), k)
        if self.ours(rows.size * n):
            added = None if bias is None else self.xp.ascontiguousarray(bias)
            steps = 0, int(added is not None and added.size > 1)
            return self._small_product(rows, weight.T, (), added, steps).reshape(*lead, n)
        out = self.matmul(rows, weight.T)
        if bias is not None:
            out = self.map("add", out, bias, out=out)
        return out.reshape(*lead, n)

    def linear_backward(
        self, g: Array, x: Array | None, weight: Array | None, needs: tuple[bool, ...]
    ) -> Gradients:
        if g.dtype.kind != "f":
            return super().linear_backward(g, x, weight, needs)
        rows = self.xp.ascontiguousarray(g.reshape(prod(g.shape[:-1]), g.shape[-1]))
        dx = dw = None
        if weight is not None and needs[0]:
            dx = self.matmul(rows, weight).reshape(*g.shape[:-1], weight.shape[1])
        if x is not None and needs[1]:
            inputs = x.reshape(rows.shape[0], x.shape[-1])
            (k, m), n = rows.shape, inputs.shape[1]
            if needs[2] and inputs.size and self.ours(k * m * n) and product_slices(m, n, k, 1) < 2:
                db = self.xp.empty(m, g.dtype)
                return dx, self._small_product(rows.T, inputs, row_sums=db), db
            dw = self.matmul(rows.T, inputs)
        return dx, dw, self.column_sums(rows) if needs[2] else None

    def column_sums(self, x: Array) -> Array:
        """The sums of a matrix's columns, always in the same order; x is C-contiguous."""
        parts, sums = self.column_parts(x)
        if parts is not None:
            k = x.shape[1]
            self.launch(
                "conv", "finish", k, None, None, 0, 1, 1, 1, parts, sums, k, len(parts),
                dtype=x.dtype,
            )  # fmt: skip
        return sums

    def column_parts(self, x: Array) -> tuple[Array | None, Array]:
        """(parts, sums): the columns' sums, or room for them and the rows they are the sums of."""
        rows, k = x.shape
        if not x.size:
            return None, self.xp.zeros(k, x.dtype)
        across = min(32, 1 << (k - 1).bit_length())
        groups = -(-k // across)
        blocks = max(1, min(rows // (256 // across * ROWS), MOST_BLOCKS // groups))
        share = -(-rows // blocks)
        blocks = -(-rows // share)
        parts = self.xp.empty((blocks, k), wide(x.dtype)) if blocks > 1 else None
        sums = self.xp.empty(k, x.dtype)
        self.launch(
            "conv", "column_parts", 0, x, parts, sums if parts is None else None, rows, share, k,
            across, dtype=x.dtype, grid=(blocks, min(groups, GRID)),
        )  # fmt: skip
        return parts, sums

    # -- our kernel --------------------------------------------------------------------------------

    def ours(self, multiplications: int) -> bool:
        return self.capturing or multiplications <= SMALL

    def _small_product(
        self,
        a: Array,
        b: Array,
        lead: tuple[int, ...] = (),
        add: Array | None = None,
        add_steps: tuple[int, int] = (0, 0),
        alpha: float = 1.0,
        beta: float = 1.0,
        row_sums: Array | None = None,
    ) -> Array:
        """``alpha * a @ b + beta * add`` of C-contiguous ``add``, rounded once."""
        (m, k), n, batches = a.shape[-2:], b.shape[-1], prod(lead)
        a, turned_a, step_a = self._stored_matrix(a, lead)
        b, turned_b, step_b = self._stored_matrix(b, lead)
        out = self.xp.empty((*lead, m, n), a.dtype)
        slices = product_slices(m, n, k, batches)
        to, added = out, (add, *add_steps, 0, alpha, beta)
        if slices > 1:
            to = self.xp.empty((slices, out.size), wide(a.dtype))
            added = (None, 0, 0, 0, 1.0, 1.0)
        self.gemm(
            a, b, to, (m, n, k), (a.shape[-1], b.shape[-1], n), (step_a, step_b, m * n),
            (turned_a, turned_b), batches, slices, *added, row_sums,
        )  # fmt: skip
        if slices > 1:
            self.launch(
                "gemm", "sum_slices", out.size, to, out, add, out.size, slices, n, *add_steps,
                alpha, beta, dtype=a.dtype,
            )  # fmt: skip
        return out

    def _stored_matrix(self, x: Array, lead: tuple[int, ...]) -> tuple[Array, bool, int]:
        """(array, turned, step): C-contiguous matrices, as they are or transposed."""
        if prod(x.shape[:-2]) not in (1, prod(lead)):
            x = self.xp.broadcast_to(x, (*lead, *x.shape[-2:]))
        turned = False
        if not x.flags.c_contiguous:
            turned = bool(x.swapaxes(-1, -2).flags.c_contiguous)
            x = x.swapaxes(-1, -2) if turned else self.xp.ascontiguousarray(x)
        size = x.shape[-1] * x.shape[-2]
        return x, turned, size if prod(x.shape[:-2]) > 1 else 0

    def gemm(
        self,
        a: Array,
        b: Array,
        out: Array,
        sizes: tuple[int, int, int],
        leads: tuple[int, int, int],
        steps: tuple[int, int, int],
        turned: tuple[bool, bool],
        batches: int = 1,
        slices: int = 1,
        add: Array | None = None,
        add_row: int = 0,
        add_column: int = 0,
        add_step: int = 0,
        alpha: float = 1.0,
        beta: float = 1.0,
        row_sums: Array | None = None,
    ) -> None:
        """The kernel of gemm.cu: sizes (m, n, k); for a, b and out the steps of rows and batches.

        ``slices`` of the depth are stored one after the other, as they were summed. ``row_sums``
        receives the sums of a's rows.
        """
        m, n, k = sizes
        tile = 64 if _tiles(m, n, 64) * batches >= FEW_TILES else 32
        depth = -(-max(k, 1) // slices)
        depth += -depth % 16
        defines = [("TILE", tile)]
        defines += [(name, 1) for name, on in zip(("TA", "TB"), turned, strict=True) if on]
        if out.dtype != a.dtype:
            defines.append(("WIDE", 1))
        grid = -(-m // tile), min(-(-n // tile), GRID), min(batches * slices, GRID)
        self.launch(
            "gemm", "gemm", 0, a, b, out, add, row_sums, m, n, k, *leads, *steps, add_row,
            add_column, add_step, alpha, beta, batches, slices, depth, batches * m * n,
            dtype=a.dtype, grid=grid, defines=tuple(defines),
        )  # fmt: skip

    def cublas(self, a: Array, b: Array, allow_tf32: bool, out: Array | None = None) -> Array:
        """The product by cuBLAS; its float32 inputs are rounded to TF32 where that is allowed."""
        xp = self.xp
        product = xp.dot if a.ndim == b.ndim == 2 else xp.matmul  # dot is the shorter way
        linalg = getattr(getattr(xp, "_core", None), "_routines_linalg", None)
        if linalg is None or a.dtype.char != "f":
            return product(a, b, out=out)
        able = allow_tf32 and int(xp.cuda.Device().compute_capability) >= 80
        exact = linalg.COMPUTE_TYPE_DEFAULT
        if not able and linalg.get_compute_type(a.dtype) == exact:
            return product(a, b, out=out)
        # The setting is CuPy's and everybody's: it is put back at once.
        linalg.set_compute_type(a.dtype, linalg.COMPUTE_TYPE_TF32 if able else exact)
        try:
            return product(a, b, out=out)
        finally:
            linalg.set_compute_type(a.dtype, exact)


def _tiles(m: int, n: int, tile: int) -> int:
    return -(-m // tile) * -(-n // tile)


def product_slices(m: int, n: int, k: int, batches: int) -> int:
    """Into how many slices of its depth a product is cut where it has few tiles to share."""
    tiles = _tiles(m, n, 32) * batches
    return max(1, min(k // DEPTH, 2 * FEW_TILES // max(tiles, 1)))
