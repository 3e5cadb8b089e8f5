"""Spreads and norms: var, std, norm, logsumexp."""

from __future__ import annotations

import math
from math import prod as product
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.dtypes import as_dtype
from lucidlite.ops.choose import where
from lucidlite.ops.common import (
    SCALARS,
    check_dtype,
    check_tensor,
    floating,
    to_dtype,
    widened,
    wrap_dims,
)
from lucidlite.ops.compare import isnan, logical_not
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import Dim, mean, spread, sum
from lucidlite.ops.unary import abs as absolute
from lucidlite.ops.unary import exp, sign
from lucidlite.saved import OUT
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Dims = tuple[int, ...]


def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over ``dim``: squared deviations over ``n - correction`` (1 by default).

    Semantics: torch.var.
    """
    out, args = _variance("var", input, dim, unbiased, keepdim, correction)
    return record(out, var_vjp, (input,), args, save=(input,))


def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The square root of ``var``. Semantics: torch.std."""
    out, args = _variance("std", input, dim, unbiased, keepdim, correction)
    return record(out, std_vjp, (input,), args, save=(input, OUT))


def _variance(
    op: str, input: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any
) -> tuple[Any, tuple[Dims, bool, float]]:
    """The array, and what its vjp wants: dims, keepdim and the divisor."""
    check_tensor(op, "input", input)
    if isinstance(dim, bool):  # var(x, False) means unbiased=False
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise error(
            TypeError,
            f"{op}: expected unbiased or correction, not both, "
            f"got unbiased={unbiased}, correction={correction}",
        )
    if input.array.dtype.kind != "f":
        raise error(
            RuntimeError,
            f"{op}: only support floating point and complex dtypes, got dtype={input.dtype}",
        )
    if correction is None:
        correction = 0 if unbiased is False else 1
    backend, x = input.backend, input.array
    dims = wrap_dims(op, dim, x.ndim)
    rest = product([x.shape[d] for d in dims]) - correction
    if x.dtype == np.float16:
        x = backend.cast(x, np.dtype(np.float32))
    off = backend.map("subtract", x, backend.mean(x, dims, True))
    total = backend.reduce("sum", backend.map("multiply", off, off), dims, keepdim)
    out = backend.map("divide", total, backend.constant(rest if rest > 0 else 0, x.dtype))
    if op == "std":
        out = backend.map("sqrt", out)
    return backend.cast(out, input.array.dtype), (dims, keepdim, rest)


def var_vjp(node: Node, grad: Tensor, dims: Dims, keepdim: bool, rest: float) -> Tensor:
    x, grad = widened(*node.saved_tensors, grad)
    return _var_grad(grad, x, dims, keepdim, rest)


def _var_grad(grad: Tensor, x: Tensor, dims: Dims, keepdim: bool, rest: float) -> Tensor:
    full, center = spread(grad, x.array.shape, dims, keepdim), mean(x, dims, True)
    if rest <= 0 and len(dims) == x.array.ndim:
        return full * where(x == center, math.nan, math.inf)
    return (2.0 / rest if rest else math.inf) * full * (x - center)


def std_vjp(node: Node, grad: Tensor, dims: Dims, keepdim: bool, rest: float) -> Tensor:
    x, out, grad = widened(*node.saved_tensors, grad)
    return _var_grad(where(out == 0, 0, grad / (out * 2)), x, dims, keepdim, rest)


def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(input)))`` over ``dim``, without overflow. Semantics: torch.logsumexp."""
    if precision.active:
        (input,) = precision.cast("logsumexp", input)
    x = floating("logsumexp", input)
    dims = wrap_dims("logsumexp", dim, x.array.ndim)
    out = x.backend.logsumexp(x.array, dims, keepdim)
    return record(out, logsumexp_vjp, (x,), (dims, keepdim), save=(x, OUT))


def logsumexp_vjp(node: Node, grad: Tensor, dims: Dims, keepdim: bool) -> Tensor:
    x, out, grad = widened(*node.saved_tensors, grad)
    shape = x.array.shape
    return spread(grad, shape, dims, keepdim) * exp(x - spread(out, shape, dims, keepdim))


def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """The p-norm of the elements over ``dim``; 'fro' is 2. Semantics: torch.norm.

    The nuclear norm is not there.
    """
    check_tensor("norm", "input", input)
    if precision.active and dtype is None:
        (input,) = precision.cast("norm", input)
    kind = input.dtype if dtype is None else as_dtype(dtype, "norm")
    if not input.is_floating_point() or kind.itemsize < input.dtype.itemsize:
        raise error(
            RuntimeError,
            "norm: expected a floating point or complex tensor as input, and a dtype that doesn't "
            f"narrow it, got input={input.dtype}, dtype={dtype}",
        )
    input = to_dtype(input, kind.numpy)
    order = 2.0 if p is None or p == "fro" else p
    if not isinstance(order, SCALARS):
        wrong = RuntimeError if isinstance(p, str) else TypeError
        raise error(wrong, f"norm: p must be a number or 'fro', got p={p!r}")
    dims = wrap_dims("norm", dim, input.array.ndim)
    empty = not product([input.array.shape[d] for d in dims])
    if empty and (order < 0 or order == math.inf):
        raise error(
            RuntimeError,
            f"norm: cannot compute the {order} norm on an empty tensor because the operation does "
            f"not have an identity, got shape={tuple(input.array.shape)}",
        )
    out = input.backend.norm(input.array, float(order), dims, keepdim)
    return record(out, norm_vjp, (input,), (float(order), dims, keepdim), save=(input, OUT))


def norm_vjp(node: Node, grad: Tensor, p: float, dims: Dims, keepdim: bool) -> Tensor | None:
    x, y, grad = widened(*node.saved_tensors, grad)
    shape = x.array.shape
    if p == 0:
        return None  # a count
    grad, y = spread(grad, shape, dims, keepdim), spread(y, shape, dims, keepdim)
    return norm_slope(x, y, grad, p, dims)


def norm_slope(x: Tensor, y: Tensor, grad: Tensor, p: float, dims: Dims) -> Tensor:
    """The gradient of ``x``, whose p-norms over ``dims`` are ``y``; all broadcast."""
    if p == 1:
        return sign(x) * grad
    if p == 2:
        return grad * where(y == 0, 0, x / y)
    size = absolute(x)
    if p in (math.inf, -math.inf):
        hits = ((size == y) | (size != size)).to(x.dtype)
        return sign(x) * (grad / sum(hits, dims, True) * hits)
    if p < 2:
        slope = size ** (p - 1)
        slope = where(x == 0, 0, slope) if p < 1 else slope
        return sign(x) * slope * grad * y ** (1 - p)
    return x * size ** (p - 2) * where(y == 0, 0, grad / y ** (p - 1))


def var_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """``var`` and ``mean`` together. Semantics: torch.var_mean."""
    dims: Any = None if isinstance(dim, bool) else dim
    spread_ = var(input, dim, unbiased, keepdim, correction=correction)
    return spread_, mean(input, dims, keepdim)


def std_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """``std`` and ``mean`` together. Semantics: torch.std_mean."""
    dims: Any = None if isinstance(dim, bool) else dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, dims, keepdim)


def nansum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of what isn't NaN. Semantics: torch.nansum."""
    check_tensor("nansum", "input", input)
    if input.array.dtype.kind != "f":
        return sum(input, dim, keepdim, dtype=dtype)
    x = input if dtype is None else to_dtype(input, as_dtype(dtype, "nansum").numpy)
    known = logical_not(isnan(x))
    total = sum(where(known, x, 0).detach(), dim, keepdim)
    dims = wrap_dims("nansum", dim, x.array.ndim)
    return record(total.array, nansum_vjp, (x,), (x.array.shape, dims, keepdim), save=(known,))


def nansum_vjp(node: Node, grad: Tensor, shape: Dims, dims: Dims, keepdim: bool) -> Tensor:
    (known,) = node.saved_tensors
    return spread(grad, shape, dims, keepdim) * known


def nanmean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of what isn't NaN. Semantics: torch.nanmean."""
    check_tensor("nanmean", "input", input)
    check_dtype("nanmean", input, "f")
    count = sum(logical_not(isnan(input)), dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / count


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The ``p``-norm of ``input - other``. Semantics: torch.dist."""
    if precision.active:
        input, other = precision.cast("dist", input, other)
    return norm(input - other, p)
