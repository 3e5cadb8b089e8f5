"""The value in a given place of the order: medians, k-th smallest, quantiles; the most frequent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.choose import where
from lucidlite.ops.common import as_int, check_dtype, check_tensor, wrap_dim
from lucidlite.ops.compare import isnan
from lucidlite.ops.elementwise import lerp
from lucidlite.ops.extremes import Found, found_type, max_vjp
from lucidlite.ops.gather import pick
from lucidlite.ops.indexing import index_select, narrow
from lucidlite.ops.precision import precision
from lucidlite.ops.shape import movedim, reshape, squeeze, unsqueeze
from lucidlite.ops.sorting import argsort, sort
from lucidlite.saved import OUT
from lucidlite.tape import record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

_TYPES = {op: found_type(op) for op in ("median", "nanmedian", "kthvalue", "mode")}


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle value, of two the lower; with ``dim``, (values, indices). NaN where one is.

    >>> import lucidlite
    >>> lucidlite.median(lucidlite.tensor([4.0, 1.0, 3.0, 2.0]))
    tensor(2.)

    Semantics: torch.median.
    """
    return _median("median", input, dim, keepdim)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The ``median`` of what isn't NaN. Semantics: torch.nanmedian."""
    return _median("nanmedian", input, dim, keepdim)


def _median(op: str, input: Tensor, dim: int | None, keepdim: bool) -> Any:
    check_tensor(op, "input", input)
    check_dtype(op, input, "fiu")
    if dim is None:
        if keepdim:
            raise error(TypeError, f"{op}: keepdim needs a dim, got dim=None, keepdim=True")
        xp, flat = input.backend.xp, input.array.reshape(-1)
        if not flat.size:  # NaN, or PyTorch's stand-in for it
            nothing = np.nan if flat.dtype.kind == "f" else np.iinfo(flat.dtype).min
            out = xp.full((), nothing, flat.dtype)
            return record(out, max_vjp, (input,), save=(input, OUT), name=op)
        place = _middle(op, wrap(flat, input.backend), 0)
        out = input.backend.gather(flat, 0, place).reshape(())
        return record(out, max_vjp, (input,), save=(input, OUT), name=op)
    axis = wrap_dim(op, dim, input.array.ndim)
    _check_size(op, input, axis)
    found = wrap(_middle(op, input, axis), input.backend)
    return _TYPES[op](*pick(input, axis, found, keepdim, f"{op}_dim"))


def _check_size(op: str, input: Tensor, axis: int) -> None:
    if input.array.ndim and not input.array.shape[axis]:
        raise error(
            IndexError,
            f"{op}: expected reduction dim {axis} to have non-zero size, "
            f"got shape={tuple(input.array.shape)}",
        )


def _middle(op: str, input: Tensor, axis: int) -> Any:
    """Where the median is along an axis, which stays with size 1."""
    backend, array = input.backend, input.array
    if not array.ndim:
        return backend.xp.zeros((), np.int64)
    order = argsort(input.detach(), axis).array
    n = array.shape[axis]
    if array.dtype.kind != "f":
        return _part(order, axis, (n - 1) // 2)
    known = backend.map("equal", array, array)
    count = backend.reduce("sum", known.astype(np.int64), axis, True)
    if op == "median":  # the first NaN, if there is one
        some = backend.map("less", count, backend.constant(n, np.dtype(np.int64)))
        place = backend.select(some, count, backend.constant((n - 1) // 2, np.dtype(np.int64)))
    else:
        place = backend.map("maximum", count - 1, backend.constant(0, np.dtype(np.int64))) // 2
    return backend.gather(order, axis, place)


def _part(array: Any, axis: int, place: int) -> Any:
    return array[(slice(None),) * axis + (slice(place, place + 1),)]


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Found:
    """The ``k``-th smallest value along ``dim`` (from 1), as (values, indices).

    Semantics: torch.kthvalue.
    """
    check_tensor("kthvalue", "input", input)
    check_dtype("kthvalue", input, "fiu")
    axis = wrap_dim("kthvalue", dim, input.array.ndim)
    size = input.array.shape[axis] if input.array.ndim else 1
    _check_size("kthvalue", input, axis)
    k = as_int("kthvalue", "k", k)
    if not 1 <= k <= size:
        raise error(
            RuntimeError, f"kthvalue: selected number k out of range, got k={k}, size={size}"
        )
    order = argsort(input.detach(), axis).array
    found = wrap(_part(order, axis, k - 1) if input.array.ndim else order, input.backend)
    return _TYPES["kthvalue"](*pick(input, axis, found, keepdim, "kthvalue"))  # type: ignore[no-any-return]


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Found:
    """The most frequent value along ``dim``, of several the smallest, and where it is last.

    Semantics: torch.mode.
    """
    check_tensor("mode", "input", input)
    axis = wrap_dim("mode", dim, input.array.ndim)
    _check_size("mode", input, axis)
    backend, xp = input.backend, input.backend.xp
    order = argsort(input.detach(), axis).array
    if input.array.ndim:
        n = input.array.shape[axis]
        places = xp.arange(n).reshape([n if d == axis else 1 for d in range(input.array.ndim)])
        places = xp.broadcast_to(places, order.shape)
        ranked = backend.gather(input.array, axis, order)
        after = (slice(None),) * axis + (slice(1, None),)
        before = (slice(None),) * axis + (slice(None, -1),)
        starts = xp.zeros(order.shape, np.int64)
        new = backend.map("not_equal", ranked[after], ranked[before])
        starts[after] = backend.map("multiply", places[after], new.astype(np.int64))
        run = places - backend.gather(starts, axis, backend.running_extreme(starts, axis, True))
        longest = xp.expand_dims(xp.argmax(run, axis=axis), axis)
        order = backend.gather(order, axis, longest)
    found = wrap(order, backend)
    return _TYPES["mode"](*pick(input, axis, found, keepdim, "mode"))  # type: ignore[no-any-return]


def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The values below which the shares ``q`` (a number or a vector) lie, along ``dim``.

    Semantics: torch.quantile.
    """
    check_tensor("quantile", "input", input)
    if precision.active:
        input, q = precision.cast("quantile", input, q)
    check_dtype("quantile", input, "f")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise error(
            RuntimeError,
            "quantile: interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"got {interpolation!r}",
        )
    if isinstance(q, TensorBase):
        if q.array.dtype != input.array.dtype:
            raise error(
                RuntimeError,
                "quantile: q tensor must be same dtype as the input tensor, "
                f"got q={q.dtype}, input={input.dtype}",
            )
        q_host = q.backend.to_numpy(q.array)
    else:
        q_host = q
    # PyTorch finds the rank in the input's dtype: 0.1 of 11 values is the second one, and no more.
    shares = np.asarray(q_host, np.float64 if input.array.dtype == np.float64 else np.float32)
    if shares.ndim > 1 or not ((shares >= 0) & (shares <= 1)).all():
        raise error(
            RuntimeError,
            f"quantile: q must be a scalar or 1D tensor of values in the range [0, 1], got q={q}",
        )
    if not input.array.size:
        raise error(RuntimeError, "quantile: input tensor must be non-empty")
    dims = input.array.ndim
    axis = 0 if dim is None else wrap_dim("quantile", dim, dims)
    x = reshape(input, (-1,)) if dim is None or not dims else movedim(input, axis, -1)
    ranked = sort(x, -1).values
    ranks = shares.reshape(-1) * shares.dtype.type(x.array.shape[-1] - 1)
    if interpolation in ("lower", "higher", "nearest"):
        ranks = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}[interpolation](ranks)
    backend = input.backend
    low, high = (
        index_select(ranked, -1, wrap(backend.asarray(f(ranks).astype(np.int64)), backend))
        for f in (np.floor, np.ceil)
    )
    share = ranks - np.floor(ranks) if interpolation != "midpoint" else 0.5 * (ranks % 1 != 0)
    weight = wrap(backend.asarray(share.astype(x.array.dtype)), backend)
    if isinstance(q, TensorBase) and q.requires_grad and interpolation == "linear":
        steps = reshape(q, (-1,)) * (x.array.shape[-1] - 1)  # type: ignore[arg-type]
        weight = weight + (steps - steps.detach())
        out = lerp(low, high, weight)
    else:
        out = low if not share.any() else lerp(low, high, weight)
    last = narrow(ranked, -1, x.array.shape[-1] - 1, 1)
    out = where(isnan(last), last, out)  # NaN is last in order
    out = movedim(out, -1, 0)  # q first
    if keepdim and dims:
        for d in range(dims) if dim is None else [axis]:
            out = unsqueeze(out, d + 1)
    return out if shares.ndim else squeeze(out, 0)
