"""Reductions: sums, means, products, truth. Extremes, spreads and norms have files of their own."""

from __future__ import annotations

from math import prod as product
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.dtypes import as_dtype
from lucidlite.grad_mode import grad_mode
from lucidlite.ops.common import check_dtype, check_tensor, to_dtype, widened, wrap_dim, wrap_dims
from lucidlite.ops.indexing import select
from lucidlite.ops.join import flip, stack
from lucidlite.ops.precision import precision
from lucidlite.ops.shape import expand, reshape
from lucidlite.saved import OUT
from lucidlite.tape import needs_grad, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Dim = int | tuple[int, ...] | list[int] | None


def summable(op: str, input: Any, dtype: Any) -> Tensor:
    """``input`` in the dtype its sum has: the one asked for, int64 for integers and bools."""
    check_tensor(op, "input", input)
    if precision.active and dtype is None:
        (input,) = precision.cast(op, input)
    if dtype is not None:
        kind = as_dtype(dtype, op)
        if needs_grad(input)[0] and not kind.is_floating_point:
            raise error(
                RuntimeError, f"{op}: autograd does not support this dtype, got dtype={kind}"
            )
        return to_dtype(input, kind.numpy)
    if input.array.dtype.kind != "f":
        return to_dtype(input, np.dtype(np.int64))
    return input  # type: ignore[no-any-return]


def _total(name: str, input: Tensor, axis: Any, keepdim: bool = False) -> Any:
    """A sum (of float16 in float32) or a product, in ``input``'s dtype."""
    backend, array = input.backend, input.array
    if name == "sum" and array.dtype == np.float16 and not backend.sums_float16:
        array = backend.cast(array, np.dtype(np.float32))
    out = backend.reduce(name, array, axis, keepdim)
    return out if out.dtype == input.array.dtype else backend.cast(out, input.array.dtype)


def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over ``dim`` (all dims without it); integers and bools sum in int64.

    >>> import lucidlite
    >>> lucidlite.sum(lucidlite.tensor([[1, 2], [3, 4]]), dim=0)
    tensor([4, 6])

    Semantics: torch.sum.
    """
    input = summable("sum", input, dtype)
    dims = wrap_dims("sum", dim, input.array.ndim)
    out = _total("sum", input, dims, keepdim)
    name = "" if dim is None else "sum_dim"
    return record(out, sum_vjp, (input,), (input.array.shape, dims, keepdim), name=name)


def sum_vjp(
    node: Node, grad: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool
) -> Tensor:
    return spread(grad, shape, dims, keepdim)


def spread(grad: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduced tensor seen at full ``shape`` again (stride 0 along ``dims``)."""
    if not keepdim and grad.array.ndim != len(shape):
        grad = reshape(grad, tuple(1 if d in dims else n for d, n in enumerate(shape)))
    return expand(grad, shape)


def sum_to(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The sum over the dims along which ``shape`` was broadcast to ``input``'s shape."""
    lead = input.array.ndim - len(shape)
    dims = tuple(range(lead)) + tuple(
        lead + d for d, n in enumerate(shape) if n == 1 and input.array.shape[lead + d] != 1
    )
    out = sum(input, dims, keepdim=True) if dims else input
    return reshape(out, shape)


def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over ``dim`` (all dims without it) of a floating-point tensor.

    Semantics: torch.mean.
    """
    check_tensor("mean", "input", input)
    if dtype is not None:
        input = to_dtype(input, as_dtype(dtype, "mean").numpy)
    if input.array.dtype.kind != "f":
        raise error(
            RuntimeError,
            "mean: could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype, got dtype={input.dtype}",
            "x.float().mean()",
        )
    dims = wrap_dims("mean", dim, input.array.ndim)
    out = input.backend.mean(input.array, dims, keepdim)
    name = "" if dim is None else "mean_dim"
    return record(out, mean_vjp, (input,), (input.array.shape, dims, keepdim), name=name)


def mean_vjp(
    node: Node, grad: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool
) -> Tensor:
    if not grad_mode.enabled:
        kept = [1 if d in dims else n for d, n in enumerate(shape)]
        array = grad.backend.mean_grad(grad.array.reshape(kept), shape, dims)
        return wrap(array, grad.backend)
    count = product([shape[d] for d in dims])
    return spread(grad / count, shape, dims, keepdim)


def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The product over ``dim`` (all elements without it). Semantics: torch.prod."""
    if keepdim and dim is None:
        raise error(TypeError, "prod: keepdim needs a dim, got dim=None, keepdim=True")
    input = summable("prod", input, dtype)
    shape = input.array.shape
    axis = tuple(range(len(shape))) if dim is None else wrap_dim("prod", dim, len(shape))
    out = _total("prod", input, axis if shape else None, keepdim)
    name = "" if dim is None else "prod_dim"
    args = (None if dim is None or not shape else axis, keepdim)
    return record(out, prod_vjp, (input,), args, save=(input, OUT), name=name)


def prod_vjp(node: Node, grad: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    x, out, grad = widened(*node.saved_tensors, grad)
    if dim is None:
        if not grad_mode.enabled and int((x.array == 0).sum()) > 1:
            return wrap(x.backend.xp.zeros_like(x.array), x.backend)
        flat = reshape(x, (x.array.size,))
        return reshape(_prod_grad(grad, flat, out, 0, False), x.array.shape)
    return _prod_grad(grad, x, out, dim, keepdim)


def _prod_grad(grad: Tensor, x: Tensor, out: Tensor, dim: int, keepdim: bool) -> Tensor:
    full = spread(grad, x.array.shape, (dim,), keepdim)
    n = x.array.shape[dim]
    if not n:
        return full
    if bool(x.array.all()):
        return full * spread(out, x.array.shape, (dim,), keepdim) / x
    # Beside zeros the product of the others takes running products from both ends.
    rows = [select(x, dim, i) for i in range(n)]
    before, after = [rows[0] * 0 + 1], [rows[0] * 0 + 1]
    for i in range(n - 1):
        before.append(before[-1] * rows[i])
        after.append(after[-1] * rows[n - 1 - i])
    return full * stack([before[i] * after[n - 1 - i] for i in range(n)], dim)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sums along ``dim``. Semantics: torch.cumsum."""
    input = summable("cumsum", input, dtype)
    check_dtype("cumsum", input, "fiu")
    dim = wrap_dim("cumsum", dim, input.array.ndim)
    backend, array = input.backend, input.array
    if array.dtype == np.float16:
        array = backend.cast(array, np.dtype(np.float32))
    out = backend.call("cumsum", array, axis=dim if array.ndim else None)
    out = backend.cast(out.reshape(array.shape), input.array.dtype)
    return record(out, cumsum_vjp, (input,), (dim,))


def cumsum_vjp(node: Node, grad: Tensor, dim: int) -> Tensor:
    return flip(cumsum(flip(grad, (dim,)), dim), (dim,)) if grad.array.ndim else grad


def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether some element (over ``dim``) is nonzero. Semantics: torch.any."""
    return _truth("any", input, dim, keepdim)


def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether every element (over ``dim``) is nonzero. Semantics: torch.all."""
    return _truth("all", input, dim, keepdim)


def _truth(op: str, input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    check_tensor(op, "input", input)
    axes = wrap_dims(op, dim, input.array.ndim)
    if isinstance(dim, (tuple, list)) and not dim:  # here no dims are none, not all
        axes = ()
    out = input.backend.reduce(op, input.array, axes, keepdim)
    kind = np.uint8 if input.array.dtype == np.uint8 else np.bool_  # PyTorch keeps uint8
    return wrap(input.backend.cast(out, np.dtype(kind)), input.backend)
