"""Winograd's minimal filtering F(m, 3): the idea, the matrices, and the transforms of weights.

One output row of a 3-tap filter g over six inputs d is four sums of three products: 12 products.
Six are enough. Read d and g as polynomials: filtering is (the transpose of) multiplying them, and
a product of degree 5 is known from its values at six points. So: evaluate both at the points,
multiply point by point, interpolate back. All three steps but the middle one are small matrices
(Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015):

    F(m, 3):  y = AT [(G g) * (BT d)]     d: m + 2 inputs, g: 3 taps, y: m outputs

F(2, 3) uses the points 0, 1, -1 and infinity: 4 products for 2 outputs instead of 6. F(4, 3) adds
2 and -2: 6 products for 4 outputs instead of 12. A row of BT evaluates at one point (the last row
is infinity, the highest coefficient); G does so for the taps, with the divisors of interpolation.

In two dimensions a tile of inputs is transformed along its columns and along its rows:

    Y = AT [(G g GT) * (BT d B)] A        (m + 2)^2 products for m^2 outputs of 9 products each

F(2x2, 3x3) needs 2.25 times fewer multiplications than the sum over 9 taps, F(4x4, 3x3) 4 times
fewer. The transform of an input serves all output channels, that of a filter all tiles, and the
products at one point, summed over input channels, are one matrix product (tiles x C) @ (C x K).

The backward pass needs no other algorithm: each step is linear, so its transpose carries
gradients, dd = B [(G g GT) * (A dY AT)] BT and dg = GT [(BT d B) * (A dY AT)] G.

Where the error comes from: the transforms are exact in real numbers, but entries like 5 and 8 make
numbers larger than the outputs they cancel to, and 1/6 and 1/24 aren't representable. F(2, 3) has
only 0, 1 and 1/2: as exact as direct convolution, and exact on small integers. F(4, 3) loses about
one decimal digit of float32: 1e-6 of the norm, 1e-5 of the largest output. More points lose more
and more; nobody trains with F(6, 3) in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.threads import cut, parallel

# BT, G and AT of F(m, 3), by m.
MATRICES: dict[int, tuple[list[list[float]], list[list[float]], list[list[float]]]] = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}


class Transform:
    """The matrices of F(m, 3) and their transposes, float32, contiguous, named by what they do.

    ``points`` = m + 2 is both the side of an input tile and the number of points on an axis.
    """

    def __init__(self, m: int) -> None:
        evaluate, filters, interpolate = (np.array(matrix) for matrix in MATRICES[m])
        self.m, self.points = m, m + 2
        self.evaluate = _matrix(evaluate)  # BT: inputs -> points
        self.spread = _matrix(evaluate.T)  # B: gradients at points -> gradients of inputs
        self.interpolate = _matrix(interpolate)  # AT: points -> outputs
        self.collect = _matrix(interpolate.T)  # A: gradients of outputs -> gradients at points
        # Both axes of a filter in one matrix: row i * points + j is G[i] (x) G[j] over nine taps.
        self.filters = _matrix(np.kron(filters, filters))

    def weights(self, w: Array) -> Array:
        """U = G g GT of each filter of w (K, C, 3, 3): (points^2, C, K)."""
        k, c = w.shape[:2]
        return self._stack(w.reshape(k, c, 9).transpose(1, 2, 0))

    def turned_weights(self, w: Array) -> Array:
        """The same as (points^2, K, C), for products with gradients."""
        k, c = w.shape[:2]
        return self._stack(w.reshape(k, c, 9).transpose(0, 2, 1))

    def _stack(self, filters: Array) -> Array:
        """(rows, 9, columns) -> (points^2, rows, columns)."""
        rows, _, columns = filters.shape
        out = np.empty((self.points**2, rows, columns), np.float32)

        def work(part: tuple[int, int]) -> None:
            at = slice(*part)
            np.matmul(self.filters, filters[at], out=out[:, at].transpose(1, 0, 2))

        parallel(work, cut(rows, len(out) * columns))
        return out

    def weight_grad(self, shares: Sequence[Array]) -> Array:
        """dg = GT dU G of the sum of ``shares``, each (points^2, K, C): (K, C, 3, 3).

        The first of them is overwritten.
        """
        total = shares[0]
        size, k, c = total.shape
        dw = np.empty((k, c, 3, 3), np.float32)
        taps = dw.reshape(k, c, 9)

        def work(part: tuple[int, int]) -> None:
            at = slice(*part)
            for share in shares[1:]:
                total[:, at] += share[:, at]
            np.matmul(total[:, at].transpose(1, 2, 0), self.filters, out=taps[at])

        parallel(work, cut(k, size * c))
        return dw


@cache
def transform(m: int) -> Transform:
    return Transform(m)


def _matrix(values: Array) -> Array:
    return np.ascontiguousarray(values, np.float32)
