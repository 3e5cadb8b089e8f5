"""Norms of vectors and matrices, as ``lucidlite.linalg`` has them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.dtypes import as_dtype
from lucidlite.ops.choose import where
from lucidlite.ops.common import SCALARS, check_dtype, check_tensor, to_dtype, wrap_dim
from lucidlite.ops.extremes import amax, amin
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import Dim, sum
from lucidlite.ops.shape import unsqueeze
from lucidlite.ops.statistics import norm as p_norm
from lucidlite.ops.unary import abs

if TYPE_CHECKING:
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


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The ``p``-norm distances of all rows of ``x1`` from all of ``x2``, (..., P, R).

    ``compute_mode`` says how PyTorch computes them; here it is always directly.

    Semantics: torch.cdist.
    """
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist",
             "donot_use_mm_for_euclid_dist")  # fmt: skip
    if precision.active:
        x1, x2 = precision.cast("cdist", x1, x2)
    check_tensor("cdist", "x1", x1)
    check_tensor("cdist", "x2", x2)
    if compute_mode is not None and compute_mode not in modes:
        raise error(ValueError, f"cdist: {compute_mode} is not a valid value for compute_mode")
    a, b = x1.array.shape, x2.array.shape
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-1] or p < 0:
        raise error(
            RuntimeError,
            "cdist: x1 and x2 must have at least two dimensions and the same number of columns, "
            f"and p must not be negative, got x1={a}, x2={b}, p={p}",
        )
    check_dtype("cdist", x1, "f")
    return p_norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1)


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
