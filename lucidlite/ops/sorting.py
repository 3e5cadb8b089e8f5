"""Order: sort, argsort and topk, differentiable in the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lucidlite.callsite import error
from lucidlite.ops.common import as_int, check_tensor, wrap_dim
from lucidlite.ops.extremes import Found, found_type
from lucidlite.ops.gather import pick
from lucidlite.tape import wrap

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

_Sorted, _Top = found_type("sort"), found_type("topk")


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The order that sorts ``input`` along ``dim``; always stable. Semantics: torch.argsort."""
    check_tensor("argsort", "input", input)
    del stable  # every sort here is
    return _order("argsort", input, dim, descending)


def _order(op: str, input: Tensor, dim: int, descending: bool) -> Tensor:
    dim = wrap_dim(op, dim, input.array.ndim)
    array = input.array if input.array.ndim else input.array.reshape(1)
    if descending:
        # Sorting the reversed array and reading the order backwards keeps equal values in order;
        # NaN, which sorts last, then comes first as in PyTorch.
        reverse = tuple(slice(None, None, -1 if d == dim else None) for d in range(array.ndim))
        order = input.backend.xp.argsort(array[reverse], axis=dim, kind="stable")[reverse]
        order = array.shape[dim] - 1 - order
    else:
        order = input.backend.xp.argsort(array, axis=dim, kind="stable")
    return wrap(order.astype("int64", copy=False).reshape(input.array.shape), input.backend)


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None
) -> Found:
    """(values, indices) in order along ``dim``; always stable. Semantics: torch.sort."""
    check_tensor("sort", "input", input)
    order = _order("sort", input, dim, descending)
    dim = wrap_dim("sort", dim, input.array.ndim)
    name = "sort" if stable is None else "sort_stable"
    return _Sorted(*pick(input, dim, order, True, name))  # type: ignore[no-any-return]


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Found:
    """The ``k`` largest (or smallest) values along ``dim`` with their indices, in order.

    >>> import lucidlite
    >>> lucidlite.topk(lucidlite.tensor([1.0, 9.0, 5.0]), 2).indices
    tensor([1, 2])

    Semantics: torch.topk.
    """
    check_tensor("topk", "input", input)
    del sorted  # in order either way
    dim = wrap_dim("topk", dim, input.array.ndim)
    size = input.array.shape[dim] if input.array.ndim else 1
    k = as_int("topk", "k", k)
    if not 0 <= k <= size:
        raise error(RuntimeError, f"topk: selected index k out of range, got k={k}, size={size}")
    order = _order("topk", input, dim, largest)
    if input.array.ndim:
        order = order[(slice(None),) * dim + (slice(k),)]
    return _Top(*pick(input, dim, order, True, "topk"))  # type: ignore[no-any-return]


def msort(input: Tensor) -> Tensor:
    """``input`` in order along dim 0. Semantics: torch.msort."""
    return sort(input, 0).values  # type: ignore[no-any-return]
