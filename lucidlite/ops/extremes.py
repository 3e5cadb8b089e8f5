"""The largest and the smallest values, and where they are."""

from __future__ import annotations

from math import prod as product
from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.ops.choose import maximum, minimum, where
from lucidlite.ops.common import check_tensor, wrap_dim, wrap_dims
from lucidlite.ops.gather import pick
from lucidlite.ops.reduce import Dim, spread, sum
from lucidlite.saved import OUT
from lucidlite.tape import record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


class Found(NamedTuple):
    """``values`` and their ``indices`` along a dim. Each op that returns them has a subclass."""

    values: Any
    indices: Any

    def __repr__(self) -> str:
        name = f"torch.return_types.{type(self).__name__}"
        return f"{name}(\nvalues={self.values!r},\nindices={self.indices!r})"


def found_type(op: str) -> Any:
    """The subclass of ``Found`` that ``op`` returns, named as it prints."""
    return type(op, (Found,), {"__slots__": ()})


_TYPES = {"max": found_type("max"), "min": found_type("min")}


class Limits(NamedTuple):
    """The smallest and the largest value."""

    min: Any
    max: Any

    def __repr__(self) -> str:
        return f"torch.return_types.aminmax(\nmin={self.min!r},\nmax={self.max!r})"


def amax(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The largest value over ``dim``; ties share the gradient. Semantics: torch.amax."""
    return _extreme("amax", "max", input, dim, keepdim)


def amin(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The smallest value over ``dim``; ties share the gradient. Semantics: torch.amin."""
    return _extreme("amin", "min", input, dim, keepdim)


def _extreme(op: str, function: str, input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    check_tensor(op, "input", input)
    shape = input.array.shape
    dims = wrap_dims(op, dim, len(shape))
    if not product([shape[d] for d in dims]):
        raise error(
            IndexError if dim or dim == 0 else RuntimeError,
            f"{op}: expected reduction dim to have non-zero size, got shape={tuple(shape)}",
        )
    out = input.backend.reduce(function, input.array, dims, keepdim)
    if op in ("max", "min"):
        return record(out, max_vjp, (input,), save=(input, OUT), name=op)
    return record(out, amax_vjp, (input,), (dims, keepdim), save=(input, OUT), name=op)


def amax_vjp(node: Node, grad: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    x, y = node.saved_tensors
    hits = (x == spread(y, x.array.shape, dims, keepdim)).to(x.dtype)
    share = hits / sum(hits, dims, True) if dims else hits
    return spread(grad, x.array.shape, dims, keepdim) * share


def max_vjp(node: Node, grad: Tensor) -> Tensor:
    # As amax's, except that NaN counts as the value it is.
    x, y = node.saved_tensors
    hits = (x == y) | ((x != x) & (y != y))
    return where(hits, grad / sum(hits.to(x.dtype)), 0)


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with ``dim``, (values, indices); with a tensor, ``maximum``.

    >>> import lucidlite
    >>> x = lucidlite.tensor([[1.0, 5.0], [7.0, 2.0]])
    >>> lucidlite.max(x), lucidlite.max(x, dim=1).indices
    (tensor(7.), tensor([1, 0]))

    Semantics: torch.max.
    """
    other = dim if hasattr(dim, "array") else other
    if other is not None:
        return maximum(input, other)
    if dim is None:
        return _whole("max", input, keepdim)
    return _found("max", "argmax", input, dim, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; with ``dim``, (values, indices); with a tensor, ``minimum``.

    Semantics: torch.min.
    """
    other = dim if hasattr(dim, "array") else other
    if other is not None:
        return minimum(input, other)
    if dim is None:
        return _whole("min", input, keepdim)
    return _found("min", "argmin", input, dim, keepdim)


def _whole(op: str, input: Tensor, keepdim: bool) -> Tensor:
    if keepdim:
        raise error(TypeError, f"{op}: keepdim needs a dim, got dim=None, keepdim=True")
    return _extreme(op, op, input, None, False)


def _found(op: str, function: str, input: Tensor, dim: Any, keepdim: bool) -> Found:
    check_tensor(op, "input", input)
    dim = wrap_dim(op, dim, input.array.ndim)
    indices = _arg(op, function, input, dim, True)
    return _TYPES[op](*pick(input, dim, indices, keepdim, f"{op}_dim"))  # type: ignore[no-any-return]


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
    array = input.array
    if op == function and array.dtype.kind == "b":
        raise error(RuntimeError, f"{op}: does not support bool input")
    ndim = array.ndim
    axis = None if dim is None else wrap_dim(op, dim, ndim)
    if not (array.size if axis is None else array.shape[axis] if ndim else 1):
        raise error(
            IndexError,
            f"{op}: expected reduction dim to have non-zero size, got shape={tuple(array.shape)}, "
            f"dim={dim}",
        )
    out = input.backend.reduce(function, array, axis if ndim else None)
    if keepdim and ndim:
        out = out.reshape([1 if axis in (None, d) else n for d, n in enumerate(array.shape)])
    return wrap(out.astype("int64", copy=False), input.backend)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Limits:
    """The smallest and the largest value, as (min, max). Semantics: torch.aminmax."""
    dims: Any = () if dim is None else dim
    return Limits(amin(input, dims, keepdim), amax(input, dims, keepdim))
