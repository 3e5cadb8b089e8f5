"""Running products, extremes and sums of exponentials along a dim, and differences.

Running sums are in ``reduce.py``: other operations there are made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.choose import where
from lucidlite.ops.common import (
    as_int,
    check_dtype,
    check_tensor,
    widened,
    wrap_dim,
)
from lucidlite.ops.compare import logical_xor
from lucidlite.ops.extremes import Found, found_type
from lucidlite.ops.gather import pick
from lucidlite.ops.indexing import narrow, select
from lucidlite.ops.join import cat, flip, stack
from lucidlite.ops.reduce import cumsum, summable
from lucidlite.ops.unary import exp, log
from lucidlite.saved import OUT
from lucidlite.tape import record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

_TYPES = {"cummax": found_type("cummax"), "cummin": found_type("cummin")}


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running products along ``dim``. Semantics: torch.cumprod."""
    input = summable("cumprod", input, dtype)
    check_dtype("cumprod", input, "fiu")
    dim = wrap_dim("cumprod", dim, input.array.ndim)
    if not input.array.ndim:
        return record(input.array.copy(), cumprod_scalar_vjp, (input,), name="cumprod")
    backend, array = input.backend, input.array
    if array.dtype == np.float16:
        array = backend.cast(array, np.dtype(np.float32))
    out = backend.cast(backend.call("cumprod", array, axis=dim), input.array.dtype)
    return record(out, cumprod_vjp, (input,), (dim,), save=(input, OUT))


def cumprod_scalar_vjp(node: Node, grad: Tensor) -> Tensor:
    return grad


def cumprod_vjp(node: Node, grad: Tensor, dim: int) -> Tensor:
    x, out, grad = widened(*node.saved_tensors, grad)
    if bool(x.array.all()):
        return _reverse_cumsum(grad * out, dim) / x
    # Beside zeros: each element's part of every product that it is in.
    n = x.array.shape[dim]
    rows, parts = [select(x, dim, i) for i in range(n)], []
    for i in range(n):
        product = select(out, dim, i - 1) if i else rows[0] * 0 + 1
        total = select(grad, dim, i) * product
        for j in range(i + 1, n):
            product = product * rows[j]
            total = total + select(grad, dim, j) * product
        parts.append(total)
    return stack(parts, dim)


def _reverse_cumsum(input: Tensor, dim: int) -> Tensor:
    return flip(cumsum(flip(input, (dim,)), dim), (dim,))


def cummax(input: Tensor, dim: int) -> Found:
    """The largest so far along ``dim``, as (values, indices). Semantics: torch.cummax."""
    return _running("cummax", input, dim)


def cummin(input: Tensor, dim: int) -> Found:
    """The smallest so far along ``dim``, as (values, indices). Semantics: torch.cummin."""
    return _running("cummin", input, dim)


def _running(op: str, input: Tensor, dim: int) -> Found:
    check_tensor(op, "input", input)
    dim = wrap_dim(op, dim, input.array.ndim)
    array = input.array if input.array.ndim else input.array.reshape(1)
    found = input.backend.running_extreme(array, dim, op == "cummax")
    places = wrap(found.reshape(input.array.shape), input.backend)
    return _TYPES[op](*pick(input, dim, places, True, op))  # type: ignore[no-any-return]


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """``log(cumsum(exp(input)))`` along ``dim``, no overflow. Semantics: torch.logcumsumexp."""
    check_tensor("logcumsumexp", "input", input)
    check_dtype("logcumsumexp", input, "f")
    x = input
    dim = wrap_dim("logcumsumexp", dim, x.array.ndim)
    if not x.array.ndim:
        return record(x.array.copy(), cumprod_scalar_vjp, (x,), name="logcumsumexp")
    out = x.backend.cumulative_logsumexp(x.array, dim)
    return record(out, logcumsumexp_vjp, (x,), (dim,), save=(x, OUT))


def logcumsumexp_vjp(node: Node, grad: Tensor, dim: int) -> Tensor:
    # d out_j / d x_i = exp(x_i - out_j): sums of grad_j exp(-out_j), positive and negative apart
    # and as logarithms, so that large numbers stay small.
    x, out, grad = widened(*node.saved_tensors, grad)
    up, down = (exp(_back_logsumexp(_logs(g) - out, dim) + x) for g in (grad, -grad))
    return up - down


def _logs(x: Tensor) -> Tensor:
    """The logarithms of what is positive, else a number whose exponential is 0."""
    positive = x > 0
    return where(positive, log(where(positive, x, 1.0)), float(np.finfo(x.array.dtype).min))


def _back_logsumexp(input: Tensor, dim: int) -> Tensor:
    return flip(logcumsumexp(flip(input, (dim,)), dim), (dim,))


def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """Differences of neighbours along ``dim``, taken ``n`` times. Semantics: torch.diff."""
    check_tensor("diff", "input", input)
    if not input.array.ndim:
        raise error(RuntimeError, "diff: expects input to be at least one-dimensional")
    if as_int("diff", "n", n) < 0:
        raise error(RuntimeError, f"diff: order must be non-negative, got n={n}")
    dim = wrap_dim("diff", dim, input.array.ndim)
    parts = [t for t in (prepend, input, append) if t is not None] if n else [input]
    out = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, out.array.shape[dim])):
        size = max(out.array.shape[dim] - 1, 0)
        first = min(1, out.array.shape[dim])
        later, earlier = narrow(out, dim, first, size), narrow(out, dim, 0, size)
        flags = out.array.dtype.kind == "b"
        out = logical_xor(later, earlier) if flags else later - earlier
    return out if n else record(out.array.copy(), cumprod_scalar_vjp, (out,), name="copy")
