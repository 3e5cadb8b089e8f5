"""Values put at places named one by one, in place of what is there or together with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.choose import where
from lucidlite.ops.common import (
    SCALARS,
    check_device,
    check_tensor,
    no_derivative_vjp,
    number_array,
    wrap_dim,
)
from lucidlite.ops.gather import along, as_row, gather, scatter_add
from lucidlite.ops.indexing import index_put_add
from lucidlite.saved import OUT
from lucidlite.tape import record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]

_FUNCTIONS = {
    "sum": "add", "mean": "add", "prod": "multiply", "amax": "maximum", "amin": "minimum",
}  # fmt: skip


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """``input`` with ``src`` (or one number) at the places ``index`` names along ``dim``.

    ``out[index[i][j]][j] = src[i][j]`` for dim 0, and so on; of equal places one value stays.
    ``reduce``, 'add' or 'multiply', combines with what is there, without a gradient.

    Semantics: torch.scatter.
    """
    src = value if src is None else src
    check_tensor("scatter", "input", input)
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise error(
                RuntimeError, f"scatter: reduce argument must be add or multiply, got {reduce!r}"
            )
        out = _folded("scatter", input, dim, index, src, "sum" if reduce == "add" else "prod", True)
        inputs = (input, None, src if isinstance(src, TensorBase) else None)
        return record(out, no_derivative_vjp, inputs, ("scatter",), name="not_implemented")
    dim = wrap_dim("scatter", dim, input.array.ndim)
    places = along("scatter", input, dim, index)
    part = _part("scatter", input, index, src)
    if places is None:
        return input.clone()
    out = input.backend.scatter_put(as_row(input.array), dim, places, part)
    out = out.reshape(input.array.shape)
    scalar = not isinstance(src, TensorBase)
    args = (dim, None if scalar else src.array.shape)
    inputs, name = (input, None, None if scalar else src), "scatter_value" if scalar else ""
    return record(out, scatter_vjp, inputs, args, save=(index,), name=name)


def scatter_vjp(node: Node, grad: Tensor, dim: int, shape: tuple[int, ...] | None) -> Gradients:
    (index,) = node.saved_tensors
    needs = node.needs_input_grad
    kept = scatter(grad, dim, index, 0) if needs[0] else None
    if shape is None or not needs[2]:
        return kept, None, None
    return kept, None, _taken(grad, dim, index, shape)


def _taken(grad: Tensor, dim: int, index: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What ``gather`` takes, with zeros where ``shape`` goes beyond ``index``."""
    found = gather(grad, dim, index)
    if found.array.shape == shape:
        return found
    part = tuple(slice(n) for n in index.array.shape)
    return index_put_add(found, part, (), shape) if shape else found.reshape(())


def _part(op: str, input: Tensor, index: Tensor, src: Any) -> Any:
    """The array of ``src`` that ``index`` has places for."""
    sizes = index.array.shape or (1,)
    if not isinstance(src, TensorBase):
        if not isinstance(src, SCALARS):
            raise error(
                TypeError, f"{op}: src must be a Tensor or a number, got {type(src).__name__}"
            )
        return number_array(op, src, input)
    check_device(op, input, src)
    if src.array.dtype != input.array.dtype:
        raise error(
            RuntimeError,
            f"{op}: expected self.dtype to be equal to src.dtype, "
            f"got {input.dtype} and {src.dtype}",
        )
    whole = as_row(src.array)
    if not index.array.size:
        return whole
    if len(sizes) != whole.ndim or any(n > m for n, m in zip(sizes, whole.shape, strict=True)):
        raise error(
            RuntimeError,
            f"{op}: expected index {sizes} to be no larger than src {tuple(whole.shape)} in any "
            "dimension",
        )
    return whole[tuple(map(slice, sizes))]


def _folded(
    op: str, input: Tensor, dim: int, index: Tensor, src: Any, reduce: str, include: bool
) -> Any:
    """``input``'s array with ``src`` folded in; without ``include`` only ``src`` counts."""
    dim = wrap_dim(op, dim, input.array.ndim)
    places = along(op, input, dim, index)
    part = _part(op, input, index, src)
    if places is None:
        return input.array.copy()
    backend, start = input.backend, as_row(input.array)
    kind = start.dtype
    if not include:
        first = {"prod": 1, "amax": _limit(kind, -1), "amin": _limit(kind, 1)}.get(reduce, 0)
        start = backend.scatter_put(start, dim, places, backend.constant(first, kind))
    part = part if part.ndim else backend.xp.broadcast_to(part, places.shape)
    out = backend.fold_at(_FUNCTIONS[reduce], start, dim, places, part)
    if reduce == "mean":
        count = backend.xp.full(start.shape, int(include), np.int64)
        ones = backend.xp.ones(places.shape, np.int64)
        count = backend.fold_at("add", count, dim, places, ones)
        count = backend.map("maximum", count, backend.constant(1, np.dtype(np.int64)))
        divide = "divide" if kind.kind == "f" else "floor_divide"
        out = backend.map(divide, out, count.astype(kind))
    return out.reshape(input.array.shape)


def _limit(kind: Any, sign: int) -> Any:
    if kind.kind == "f":
        return sign * np.inf
    if kind.kind == "b":
        return sign > 0
    return np.iinfo(kind).max if sign > 0 else np.iinfo(kind).min


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``input`` with ``src`` summed, multiplied, averaged or compared into the places in ``index``.

    ``reduce`` is 'sum', 'prod', 'mean', 'amax' or 'amin'; without ``include_self`` what was there
    doesn't count.

    Semantics: torch.scatter_reduce.
    """
    check_tensor("scatter_reduce", "input", input)
    check_tensor("scatter_reduce", "src", src)
    if reduce not in _FUNCTIONS:
        raise error(
            RuntimeError,
            "scatter_reduce: reduce argument must be either sum, prod, mean, amax or amin, "
            f"got {reduce!r}",
        )
    out = _folded("scatter_reduce", input, dim, index, src, reduce, include_self)
    args = (wrap_dim("scatter_reduce", dim, input.array.ndim), reduce, include_self)
    inputs = (input, None, src)
    return record(out, scatter_reduce_vjp, inputs, args, save=(input, index, src, OUT))


def scatter_reduce_vjp(node: Node, grad: Tensor, dim: int, reduce: str, include: bool) -> Gradients:
    x, index, src, out = node.saved_tensors
    if not index.array.size:
        return grad, None, src * 0
    kept, shape = grad, src.array.shape
    if reduce == "sum":
        into = _taken(grad, dim, index, shape)
    elif reduce == "mean":
        ones, fill = src.detach() * 0 + 1, x.detach() * 0
        count = scatter_add(fill + 1 if include else fill, dim, index, ones)
        kept = grad / count.clamp(min=1)
        into = _taken(kept, dim, index, shape)
    elif reduce == "prod":
        kept, into = _prod_gradients(x, index, src, out, grad, dim, include)
    else:
        best = _taken(out, dim, index, shape)
        hits = (src == best).to(grad.dtype)
        own = (x == out).to(grad.dtype)
        # As in PyTorch, what was there counts here even if it doesn't in the result.
        share = grad / scatter_add(own, dim, index, hits)
        kept, into = own * share, hits * _taken(share, dim, index, shape)
    if not include:
        kept = scatter(grad if reduce not in ("amax", "amin") else kept, dim, index, 0)
    return kept, None, into


def _prod_gradients(
    x: Tensor, index: Tensor, src: Tensor, out: Tensor, grad: Tensor, dim: int, include: bool
) -> tuple[Tensor, Tensor]:
    """A factor's gradient is the product of the others: the whole one by it, where it isn't 0."""
    shape = src.array.shape

    def product_of(a: Tensor, b: Tensor) -> Tensor:
        return scatter_reduce(a, dim, index, b, "prod", include_self=include)

    known = where(x == 0, 1.0, x)
    own = grad * product_of(known, src) / known
    zeros = src == 0
    none = wrap(x.backend.xp.zeros(x.array.shape, x.array.dtype), x.backend)
    count = _taken(scatter_add(none, dim, index, zeros.to(x.dtype)), dim, index, shape)
    single = zeros & (count == 1)  # what is beside it counts, but not it
    others = product_of(x, where(single, 1.0, src))
    alone = _taken(grad * others, dim, index, shape)
    shared = _taken(grad * out, dim, index, shape) / where(zeros, 1.0, src)
    return own, where(single, alone, shared)
