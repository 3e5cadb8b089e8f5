"""Order: sort, argsort and topk, differentiable in the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.ops.common import as_int, check_tensor, wrap_dim
from lucidlite.ops.indexing import take_along_dim
from lucidlite.tape import wrap

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


class Sorted(NamedTuple):
    """``values`` in order and their ``indices`` before."""

    values: Any
    indices: Any


def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> Tensor:
    """The order that sorts ``input`` along ``dim``; always stable. Semantics: torch.argsort."""
    check_tensor("argsort", "input", input)
    del stable  # every sort here is
    dim = wrap_dim("argsort", dim, input.array.ndim)
    array = input.array if input.array.ndim else input.array.reshape(1)
    if descending:
        # Sorting the reversed array and reading the order backwards keeps equal values in order;
        # NaN, which sorts last, then comes first as in PyTorch.
        reverse = tuple(slice(None, None, -1 if d == dim else None) for d in range(array.ndim))
        order = input.backend.xp.argsort(array[reverse], axis=dim, kind="stable")[reverse]
        order = array.shape[dim] - 1 - order
    else:
        order = input.backend.xp.argsort(array, axis=dim, kind="stable")
    return wrap(order.astype("int64").reshape(input.array.shape), input.backend)


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False
) -> Sorted:
    """(values, indices) in order along ``dim``; always stable. Semantics: torch.sort."""
    order = argsort(input, dim, descending, stable)
    if not input.array.ndim:
        return Sorted(input.clone(), order)
    return Sorted(take_along_dim(input, order, dim), order)


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Sorted:
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
    order = argsort(input, dim, largest)
    if not input.array.ndim:
        return Sorted(input.clone(), order)
    best = order[(slice(None),) * dim + (slice(k),)]
    return Sorted(take_along_dim(input, best, dim), best)
