"""Norms of vectors and matrices, as ``lucidlite.linalg`` has them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from math import prod as product
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.dtypes import as_dtype
from lucidlite.grad_mode import no_grad
from lucidlite.ops.choose import where
from lucidlite.ops.common import (
    SCALARS,
    broadcast_shape,
    check_device,
    check_dtype,
    check_tensor,
    result_type,
    to_dtype,
    widened,
    wrap_dim,
)
from lucidlite.ops.extremes import amax, amin
from lucidlite.ops.indexing import narrow
from lucidlite.ops.join import cat
from lucidlite.ops.matmul import matmul
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import Dim, sum
from lucidlite.ops.shape import unsqueeze
from lucidlite.ops.statistics import norm as p_norm
from lucidlite.ops.statistics import norm_slope
from lucidlite.ops.unary import abs
from lucidlite.saved import OUT
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def vector_norm(
    x: Tensor, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The ``ord``-norm over ``dim``, of all elements without it. Semantics: linalg.vector_norm."""
    check_tensor("linalg.vector_norm", "x", x)
    if isinstance(ord, bool) or not isinstance(ord, SCALARS):
        raise error(TypeError, f"linalg.vector_norm: ord must be a number, got ord={ord!r}")
    return p_norm(x, ord, dim, keepdim, dtype=dtype)


def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """A norm of matrices in two dims: 'fro', or the largest (1, inf) or least (-1, -inf) sum of
    sizes in a column or row. Those made of singular values (2, -2, 'nuc') are not there.

    Semantics: torch.linalg.matrix_norm.
    """
    check_tensor("linalg.matrix_norm", "A", A)
    if precision.active and dtype is None:
        (A,) = precision.cast("norm", A)
    dims = A.array.ndim
    if dims < 2:
        raise error(
            RuntimeError,
            f"linalg.matrix_norm: the input tensor A must have at least 2 dimensions, got {dims}",
        )
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise error(RuntimeError, f"linalg.matrix_norm: dim must be a 2-tuple, got dim={dim}")
    row, column = (wrap_dim("linalg.matrix_norm", d, dims) for d in dim)
    if row == column:
        raise error(RuntimeError, f"linalg.matrix_norm: dims must be different, got dim={dim}")
    if ord == "fro":
        return p_norm(A, 2, (row, column), keepdim, dtype=dtype)
    if ord in ("nuc", 2, -2):
        raise error(
            NotImplementedError,
            "linalg.matrix_norm: singular values are not supported; use numpy.linalg.norm on "
            f"A.numpy(), got ord={ord!r}",
        )
    if ord not in (1, -1, math.inf, -math.inf):
        wrong = RuntimeError if isinstance(ord, (str, *SCALARS)) else TypeError
        raise error(wrong, f"linalg.matrix_norm: Order {ord!r} not supported")
    if not A.is_floating_point():
        raise error(
            RuntimeError,
            f"linalg.matrix_norm: expected a floating point or complex tensor, got {A.dtype}",
        )
    A = A if dtype is None else to_dtype(A, as_dtype(dtype, "linalg.matrix_norm").numpy)
    if ord in (math.inf, -math.inf):
        row, column = column, row
    totals = sum(abs(A), row, keepdim)
    column -= row < column and not keepdim
    return (amax if ord > 0 else amin)(totals, column, keepdim)


def norm(
    A: Tensor,
    ord: float | str | None = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """A vector's norm (over one dim, or all elements without ``ord``), or a matrix's.

    >>> import lucidlite
    >>> lucidlite.linalg.norm(lucidlite.tensor([[3.0, 4.0], [0.0, 0.0]]), dim=1)
    tensor([5., 0.])

    Semantics: torch.linalg.norm.
    """
    check_tensor("linalg.norm", "A", A)
    pair = isinstance(dim, (tuple, list)) and len(dim) == 2
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and A.array.ndim not in (1, 2):
        raise error(
            RuntimeError,
            "linalg.norm: if ord is specified but dim is None, the input must be 1D or 2D, "
            f"got {A.array.ndim}D",
        )
    if isinstance(dim, (tuple, list)) and len(dim) not in (1, 2):
        raise error(
            RuntimeError,
            f"linalg.norm: if ord is specified, dim must be of length 1 or 2, got dim={dim}",
        )
    if pair or (dim is None and A.array.ndim == 2):
        return matrix_norm(A, ord, dim if pair else (-2, -1), keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise error(
            RuntimeError, f"linalg.norm: ord={ord!r} needs a matrix, got {A.array.ndim}D, dim={dim}"
        )
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


_MODES = (
    "use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist",
)  # fmt: skip
_MANY = 25  # rows beyond which the mode that PyTorch takes without one takes a product
# Differences that are there at once: a CPU keeps them in its cache, a GPU should be kept busy.
_BLOCKS, _LARGE = {"cpu": 1 << 19}, 1 << 24


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The ``p``-norm distances of all rows of ``x1`` from all of ``x2``, (..., P, R).

    With p = 2 and more than 25 rows they come from a matrix product, in which those of near rows
    lose digits; ``compute_mode`` is 'use_mm_for_euclid_dist_if_necessary' for that,
    'use_mm_for_euclid_dist' for always, 'donot_use_mm_for_euclid_dist' for never.

    Semantics: torch.cdist.
    """
    if precision.active:
        x1, x2 = precision.cast("cdist", x1, x2)
    check_tensor("cdist", "x1", x1)
    check_tensor("cdist", "x2", x2)
    if compute_mode is not None and compute_mode not in _MODES:
        raise error(ValueError, f"cdist: {compute_mode} is not a valid value for compute_mode")
    a, b = x1.array.shape, x2.array.shape
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-1] or p < 0:
        raise error(
            RuntimeError,
            "cdist: x1 and x2 must have at least two dimensions and the same number of columns, "
            f"and p must not be negative, got x1={a}, x2={b}, p={p}",
        )
    check_dtype("cdist", x1, "f")
    check_device("cdist", x1, x2)
    broadcast_shape("cdist", a[:-2], b[:-2])
    kind = result_type(x1, x2).numpy
    x1, x2 = to_dtype(x1, kind), to_dtype(x2, kind)
    always, never = compute_mode == _MODES[1], compute_mode == _MODES[2]
    by_product = always or (max(a[-2], b[-2]) > _MANY and not never)
    if p == 2 and by_product and kind != np.float16:
        out = x1.backend.distances(x1.array, x2.array)
        return record(out, euclidean_dist_vjp, (x1, x2), save=(x1, x2, OUT))
    with no_grad():
        parts = [p_norm(gap, p, -1) for _, gap in _gaps(x1, x2)]
    out = cat(parts, -2).array if len(parts) > 1 else parts[0].array
    return record(out, cdist_vjp, (x1, x2), (float(p),), save=(x1, x2, OUT))


def _gaps(x1: Tensor, x2: Tensor) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Differences of some rows (first, count) of ``x1`` and all of ``x2``, never all at once."""
    rows, beside = x1.array.shape[-2], unsqueeze(x2, -3)
    batch = broadcast_shape("cdist", x1.array.shape[:-2], x2.array.shape[:-2])
    size = max(1, product(batch) * product(x2.array.shape[-2:]))
    step = max(1, _BLOCKS.get(x1.backend.device.type, _LARGE) // size)
    for first in range(0, max(rows, 1), step):
        count = min(step, rows - first)
        yield (first, count), unsqueeze(narrow(x1, -2, first, count), -2) - beside


def cdist_vjp(node: Node, grad: Tensor, p: float) -> tuple[Tensor | None, ...]:
    x1, x2, out, grad = widened(*node.saved_tensors, grad)
    if p == 0:
        return None, None  # a count
    needs, firsts, second = node.needs_input_grad, [], None
    for (first, count), gap in _gaps(x1, x2):
        part = unsqueeze(narrow(out, -2, first, count), -1)
        slope = norm_slope(gap, part, unsqueeze(narrow(grad, -2, first, count), -1), p, (-1,))
        if needs[0]:
            firsts.append(sum(slope, -2))
        if needs[1]:
            total = sum(slope, -3)
            second = total if second is None else second + total
    own = None
    if needs[0]:
        own = cat(firsts, -2) if len(firsts) > 1 else firsts[0]
    return own, None if second is None else -second


def euclidean_dist_vjp(node: Node, grad: Tensor) -> tuple[Tensor | None, ...]:
    x1, x2, out = node.saved_tensors
    share = where(out == 0, 0.0, grad / out)
    first = second = None
    if node.needs_input_grad[0]:
        first = x1 * sum(share, -1, keepdim=True) - matmul(share, x2)
    if node.needs_input_grad[1]:
        turned = share.transpose(-1, -2)
        second = x2 * sum(turned, -1, keepdim=True) - matmul(turned, x1)
    return first, second


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Slices along ``dim`` scaled down to a ``p``-norm of ``maxnorm`` where theirs is larger.

    Semantics: torch.renorm.
    """
    if precision.active:
        (input,) = precision.cast("renorm", input)
    check_tensor("renorm", "input", input)
    check_dtype("renorm", input, "f")
    dims = input.array.ndim
    if dims < 2 or p <= 0 or maxnorm < 0:
        raise error(
            RuntimeError,
            "renorm: needs at least 2 dimensions, a positive norm-degree and maxnorm >= 0, "
            f"got {dims}, p={p}, maxnorm={maxnorm}",
        )
    axis = wrap_dim("renorm", dim, dims)
    size = p_norm(input, p, tuple(d for d in range(dims) if d != axis), True)
    return input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
