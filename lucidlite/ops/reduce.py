"""Reductions over dims: sums, means, spreads, extremes."""

from __future__ import annotations

from math import prod as product
from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.dtypes import as_dtype, from_numpy_dtype
from lucidlite.ops.common import check_tensor, to_dtype, wrap_dim, wrap_dims
from lucidlite.ops.choose import maximum, minimum, where
from lucidlite.ops.indexing import select, take_along_dim
from lucidlite.ops.join import flip, stack
from lucidlite.ops.shape import expand, reshape
from lucidlite.ops.unary import abs as absolute
from lucidlite.ops.unary import exp, log, sqrt
from lucidlite.tape import OUT, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Dim = int | tuple[int, ...] | list[int] | None


class MinMax(NamedTuple):
    """``values`` and their ``indices`` along the dim reduced."""

    values: Any
    indices: Any

    def __repr__(self) -> str:
        return f"torch.return_types.max(\nvalues={self.values!r},\nindices={self.indices!r})"


def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over ``dim`` (all dims without it); integers and bools sum in int64.

    >>> import lucidlite
    >>> lucidlite.sum(lucidlite.tensor([[1, 2], [3, 4]]), dim=0)
    tensor([4, 6])

    Semantics: torch.sum.
    """
    check_tensor("sum", "input", input)
    if dtype is not None:
        input = to_dtype(input, as_dtype(dtype, "sum").numpy)
    elif input.array.dtype.kind != "f":
        input = wrap(input.array.astype("int64"), input.backend)
    dims = wrap_dims("sum", dim, input.array.ndim)
    out = input.backend.reduce("sum", input.array, dims, keepdim)
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
        )
    dims = wrap_dims("mean", dim, input.array.ndim)
    out = input.backend.mean(input.array, dims, keepdim)
    name = "" if dim is None else "mean_dim"
    return record(out, mean_vjp, (input,), (input.array.shape, dims, keepdim), name=name)


def mean_vjp(
    node: Node, grad: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool
) -> Tensor:
    count = product([shape[d] for d in dims])
    return spread(grad / count, shape, dims, keepdim)


def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over ``dim``: squared deviations over ``n - correction`` (1 by default).

    Semantics: torch.var.
    """
    if isinstance(dim, bool):  # var(x, False) means unbiased=False
        dim, unbiased = None, dim
    check_tensor("var", "input", input)
    if input.array.dtype.kind != "f":
        raise error(RuntimeError, f"var: only support floating point dtypes, got {input.dtype}")
    dims = wrap_dims("var", dim, input.array.ndim)
    less = (1 if unbiased else 0) if correction is None else correction
    count = product([input.array.shape[d] for d in dims])
    center = input.backend.mean(input.array, dims, True)
    off = input.backend.map("subtract", input.array, center)
    total = input.backend.reduce("sum", input.backend.map("multiply", off, off), dims, keepdim)
    rest = max_of(count - less, 0.0)
    out = input.backend.map("divide", total, input.backend.asarray(rest, total.dtype))
    return record(out, var_vjp, (input,), (dims, keepdim, rest), save=(input,))


def max_of(a: float, b: float) -> float:
    return a if a > b else b


def var_vjp(
    node: Node, grad: Tensor, dims: tuple[int, ...], keepdim: bool, rest: float
) -> Tensor:
    (x,) = node.saved_tensors
    full = spread(grad, x.array.shape, dims, keepdim)
    return full * (x - mean(x, dims, True)) * (2.0 / rest if rest else float("inf"))


def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The square root of ``var``. Semantics: torch.std."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    check_tensor("std", "input", input)
    if input.array.dtype.kind != "f":
        raise error(RuntimeError, f"std: only support floating point dtypes, got {input.dtype}")
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction))


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product over ``dim`` (all elements without it). Semantics: torch.prod."""
    check_tensor("prod", "input", input)
    if dtype is not None:
        input = to_dtype(input, as_dtype(dtype, "prod").numpy)
    elif input.array.dtype.kind != "f":
        input = wrap(input.array.astype("int64"), input.backend)
    if dim is None:
        flat = reshape(input, (input.array.size,))
        out = flat.backend.reduce("prod", flat.array, 0)
        return record(out, prod_vjp, (flat,), (0, False), save=(flat,))
    dim = wrap_dim("prod", dim, input.array.ndim)
    if not input.array.ndim:
        return prod(input)
    out = input.backend.reduce("prod", input.array, dim, keepdim)
    return record(out, prod_vjp, (input,), (dim, keepdim), save=(input,))


def prod_vjp(node: Node, grad: Tensor, dim: int, keepdim: bool) -> Tensor:
    # The product of the others, by running products from both ends: right also with zeros.
    (x,) = node.saved_tensors
    n = x.array.shape[dim]
    rows = [select(x, dim, i) for i in range(n)]
    before, after = [rows[0] * 0 + 1] if n else [], [rows[0] * 0 + 1] if n else []
    for i in range(n - 1):
        before.append(before[-1] * rows[i])
        after.append(after[-1] * rows[n - 1 - i])
    others = [before[i] * after[n - 1 - i] for i in range(n)]
    full = spread(grad, x.array.shape, (dim,), keepdim)
    return full if not n else full * stack(others, dim)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sums along ``dim``. Semantics: torch.cumsum."""
    check_tensor("cumsum", "input", input)
    if dtype is not None:
        input = to_dtype(input, as_dtype(dtype, "cumsum").numpy)
    elif input.array.dtype.kind != "f":
        input = wrap(input.array.astype("int64"), input.backend)
    dim = wrap_dim("cumsum", dim, input.array.ndim)
    if not input.array.ndim:
        return input.clone()
    return record(input.backend.call("cumsum", input.array, axis=dim), cumsum_vjp, (input,), (dim,))


def cumsum_vjp(node: Node, grad: Tensor, dim: int) -> Tensor:
    return flip(cumsum(flip(grad, dim), dim), dim)


def _nonempty(op: str, input: Tensor, dims: tuple[int, ...]) -> None:
    check_tensor(op, "input", input)
    if product([input.array.shape[d] for d in dims] or [1]) == 0 and dims:
        raise error(
            RuntimeError if len(dims) == input.array.ndim else IndexError,
            f"{op}: expected reduction dim to have non-zero size, got shape={input.shape}",
        )


def amax(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The largest value over ``dim``; ties share the gradient. Semantics: torch.amax."""
    return _extreme("amax", "max", input, dim, keepdim)


def amin(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The smallest value over ``dim``; ties share the gradient. Semantics: torch.amin."""
    return _extreme("amin", "min", input, dim, keepdim)


def _extreme(op: str, function: str, input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    check_tensor(op, "input", input)
    dims = wrap_dims(op, dim, input.array.ndim)
    _nonempty(op, input, dims)
    out = input.backend.reduce(function, input.array, dims, keepdim)
    return record(out, amax_vjp, (input,), (dims, keepdim), save=(input, OUT), name=op)


def amax_vjp(node: Node, grad: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    x, y = node.saved_tensors
    shape = x.array.shape
    top = spread(y, shape, dims, keepdim)
    hits = ((x == top) | ((x != x) & (top != top))).to(x.dtype)
    share = hits / sum(hits, dims, True) if dims else hits
    return spread(grad, shape, dims, keepdim) * share


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with ``dim``, (values, indices); with a tensor, ``maximum``.

    >>> import lucidlite
    >>> x = lucidlite.tensor([[1.0, 5.0], [7.0, 2.0]])
    >>> lucidlite.max(x), lucidlite.max(x, dim=1).indices
    (tensor(7.), tensor([1, 0]))

    Semantics: torch.max.
    """
    if hasattr(dim, "array"):
        return maximum(input, dim)
    if dim is None:
        return _extreme("max", "max", input, None, False)
    return _pair("max", "argmax", input, dim, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with ``dim``, (values, indices); with a tensor, ``minimum``.

    Semantics: torch.min.
    """
    if hasattr(dim, "array"):
        return minimum(input, dim)
    if dim is None:
        return _extreme("min", "min", input, None, False)
    return _pair("min", "argmin", input, dim, keepdim)


def _pair(op: str, function: str, input: Tensor, dim: int, keepdim: bool) -> MinMax:
    check_tensor(op, "input", input)
    dim = wrap_dim(op, dim, input.array.ndim)
    indices = _arg(op, function, input, dim, True)
    if input.array.ndim:
        values = take_along_dim(input, indices, dim)
    else:
        values = input.clone()
    if not keepdim and input.array.ndim:
        values, indices = values.squeeze(dim), indices.squeeze(dim)
    return MinMax(values, indices)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the (first) largest value, in the flat tensor or along ``dim``.

    Semantics: torch.argmax.
    """
    return _arg("argmax", "argmax", input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the (first) smallest value, in the flat tensor or along ``dim``.

    Semantics: torch.argmin.
    """
    return _arg("argmin", "argmin", input, dim, keepdim)


def _arg(op: str, function: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    check_tensor(op, "input", input)
    ndim = input.array.ndim
    if dim is None:
        _nonempty(op, input, tuple(range(ndim)))
        out = input.backend.reduce(function, input.array, None)
        out = out.reshape((1,) * ndim) if keepdim else out
    else:
        dim = wrap_dim(op, dim, ndim)
        if ndim and not input.array.shape[dim]:
            raise error(
                IndexError,
                f"{op}: expected reduction dim {dim} to have non-zero size, got {input.shape}",
            )
        array = input.array if ndim else input.array.reshape(1)
        out = input.backend.reduce(function, array, dim, keepdim)
        out = out if ndim else out.reshape(())
    return wrap(out.astype("int64"), input.backend)


def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether some element (over ``dim``) is nonzero. Semantics: torch.any."""
    return _truth("any", input, dim, keepdim)


def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether every element (over ``dim``) is nonzero. Semantics: torch.all."""
    return _truth("all", input, dim, keepdim)


def _truth(op: str, input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    check_tensor(op, "input", input)
    dims = wrap_dims(op, dim, input.array.ndim)
    out = input.backend.reduce(op, input.array, dims, keepdim)
    if from_numpy_dtype(input.array.dtype).name == "uint8":
        out = out.astype("uint8")  # PyTorch keeps uint8
    return wrap(out, input.backend)


def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(input)))`` over ``dim``, without overflow. Semantics: torch.logsumexp."""
    dims = wrap_dims("logsumexp", dim, input.array.ndim)
    top = amax(input.detach(), dims, True)
    top = where(top.isfinite(), top, 0.0)
    out = log(sum(exp(input - top), dims, True)) + top
    if keepdim:
        return out
    return reshape(out, tuple(n for d, n in enumerate(input.array.shape) if d not in dims))


def norm(
    input: Tensor, p: float | str | None = "fro", dim: Dim = None, keepdim: bool = False
) -> Tensor:
    """The p-norm of the elements over ``dim``; 'fro' is 2. Semantics: torch.norm."""
    check_tensor("norm", "input", input)
    if p == "fro" or p is None:
        p = 2.0
    if isinstance(p, str):
        raise error(RuntimeError, f"norm: p must be a number or 'fro', got p={p!r}")
    dims = wrap_dims("norm", dim, input.array.ndim)
    if p == float("inf"):
        return amax(absolute(input), dims, keepdim)
    if p == float("-inf"):
        return amin(absolute(input), dims, keepdim)
    if p == 0:
        return sum((input != 0).to(input.dtype), dims, keepdim)
    if p == 1:
        return sum(absolute(input), dims, keepdim)
    if p == 2:
        out = sqrt(sum(input * input, dims, keepdim).detach())
        return record(out.array, norm_vjp, (input,), (dims, keepdim), save=(input, OUT))
    return sum(absolute(input) ** p, dims, keepdim) ** (1.0 / p)


def norm_vjp(node: Node, grad: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    # At 0 the subgradient 0 is taken.
    x, y = node.saved_tensors
    scale = where(y == 0, 0.0, grad / y)
    return x * spread(scale, x.array.shape, dims, keepdim)
