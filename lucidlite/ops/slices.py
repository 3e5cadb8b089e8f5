"""Slices added, copied or filled in at an index along a dim; elements put where a mask is True."""

from __future__ import annotations

from math import prod as product
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.choose import where
from lucidlite.ops.common import check_device, check_tensor, number_array, wrap_dim
from lucidlite.ops.gather import as_row
from lucidlite.ops.join import zeros_like_shape
from lucidlite.tape import record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def _places(op: str, input: Tensor, dim: int, index: Tensor) -> tuple[int, Any]:
    """``dim`` counted from the front, and ``index`` as a vector within bounds."""
    check_tensor(op, "input", input)
    check_tensor(op, "index", index)
    check_device(op, input, index)
    dim = wrap_dim(op, dim, input.array.ndim)
    if index.array.ndim > 1:
        raise error(
            IndexError if op != "index_fill" else RuntimeError,
            f"{op}: index should have dimension 1 or 0, got {index.array.ndim}",
        )
    if index.array.dtype not in ((np.int64, np.int32) if op == "index_add" else (np.int64,)):
        raise error(
            RuntimeError if op != "index_fill" else IndexError,
            f"{op}: expected dtype int64 for index (index_add: or int32), got dtype={index.dtype}",
        )
    places, size = index.array.reshape(-1), input.array.shape[dim] if input.array.ndim else 1
    rule = f"{op}: index {{}} is out of bounds for dimension {dim} with size {size}"
    low = -size if op == "index_fill" else 0
    wrong = RuntimeError if op == "index_add" else IndexError
    input.backend.check_index(places, low, size, wrong, rule)
    return dim, places


def _source(op: str, input: Tensor, dim: int, places: Any, source: Tensor) -> Any:
    """The array of a source that has one slice for each place."""
    check_tensor(op, "source", source)
    check_device(op, input, source)
    if source.array.dtype != input.array.dtype:
        raise error(
            RuntimeError,
            f"{op}: self and source expected to have the same dtype, "
            f"got {input.dtype} and {source.dtype}",
        )
    shape = list(input.array.shape or (1,))
    shape[dim] = places.size
    given = source.array
    one = given.size == product(shape) == 1 and (op == "index_copy" or not input.array.ndim)
    if given.shape != tuple(shape) and not one:
        alike = given.ndim == len(shape) and given.shape[dim] == shape[dim]
        wrong = IndexError if not given.ndim else RuntimeError
        raise error(
            wrong if alike or op == "index_add" else IndexError,
            f"{op}: source and destination shapes must match apart from dim {dim}, which has one "
            f"element for each index, got {tuple(given.shape)}, expected {tuple(shape)}",
        )
    return given.reshape(shape)


def _key(dim: int, places: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * dim, places)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """``input`` with ``alpha`` times the slices of ``source`` added at ``index`` along ``dim``.

    Semantics: torch.index_add.
    """
    dim, places = _places("index_add", input, dim, index)
    values = _source("index_add", input, dim, places, source)
    backend = input.backend
    if alpha != 1:
        values = backend.map("multiply", values, number_array("index_add", alpha, input))
    out = backend.index_add_to(as_row(input.array), _key(dim, places), values)
    args = (dim, alpha, source.array.shape)
    out = out.reshape(input.array.shape)
    return record(out, index_add_vjp, (input, None, source), args, save=(index,))


def index_add_vjp(
    node: Node, grad: Tensor, dim: int, alpha: Any, shape: tuple[int, ...]
) -> Gradients:
    (index,) = node.saved_tensors
    if not node.needs_input_grad[2]:
        return grad, None, None
    taken = grad.index_select(dim, index).reshape(shape)
    return grad, None, taken if alpha == 1 else taken * alpha


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``input`` with the slices of ``source`` at ``index`` along ``dim``.

    Semantics: torch.index_copy.
    """
    dim, places = _places("index_copy", input, dim, index)
    values = _source("index_copy", input, dim, places, source)
    out = as_row(input.array).copy()
    out[_key(dim, places)] = values
    args = (dim, source.array.shape)
    out = out.reshape(input.array.shape)
    return record(out, index_copy_vjp, (input, None, source), args, save=(index,))


def index_copy_vjp(node: Node, grad: Tensor, dim: int, shape: tuple[int, ...]) -> Gradients:
    (index,) = node.saved_tensors
    needs = node.needs_input_grad
    kept = index_fill(grad, dim, index, 0) if needs[0] else None
    return kept, None, grad.index_select(dim, index).reshape(shape) if needs[2] else None


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """``input`` with a number (or 0-dim tensor) at ``index`` along ``dim``.

    Semantics: torch.index_fill.
    """
    dim, places = _places("index_fill", input, dim, index)
    scalar = not isinstance(value, TensorBase)
    if not scalar and value.array.ndim:
        raise error(
            RuntimeError,
            "index_fill: only supports a 0-dimensional value tensor, "
            f"got {value.array.ndim} dimension(s)",
        )
    out = as_row(input.array).copy()
    kind = out.dtype
    number = number_array("index_fill", value, input) if scalar else value.array.astype(kind)
    out[_key(dim, places)] = number
    inputs = (input, None, None if scalar else value)
    name = "" if scalar else "index_fill_tensor"
    out = out.reshape(input.array.shape)
    return record(out, index_fill_vjp, inputs, (dim,), save=(index,), name=name)


def index_fill_vjp(node: Node, grad: Tensor, dim: int) -> Gradients:
    (index,) = node.saved_tensors
    needs = node.needs_input_grad
    kept = index_fill(grad, dim, index, 0) if needs[0] else None
    if len(needs) < 3 or not needs[2]:
        return kept, None, None
    nowhere = wrap(grad.backend.xp.zeros(grad.array.shape, bool), grad.backend)
    filled = index_fill(nowhere, dim, index, True)  # a place named twice counts once
    return kept, None, where(filled, grad, 0).sum()


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``input`` with the elements of ``source``, in order, where ``mask`` is True.

    Semantics: torch.masked_scatter.
    """
    for name, value in (("input", input), ("mask", mask), ("source", source)):
        check_tensor("masked_scatter", name, value)
    check_device("masked_scatter", input, mask, source)
    if mask.array.dtype.kind != "b" or source.array.dtype != input.array.dtype:
        raise error(
            RuntimeError,
            "masked_scatter: expected a bool mask and one dtype for input and source, "
            f"got mask={mask.dtype}, input={input.dtype}, source={source.dtype}",
        )
    shape = np.broadcast_shapes(input.array.shape, mask.array.shape)
    mask = mask.expand(shape)
    flat = mask.array.reshape(-1)
    places = flat.astype(np.int64).cumsum() - 1
    inside = input.backend.xp.where(flat, places, 0)
    rule = (
        "masked_scatter: expected the number of elements of source to be greater than or equal to "
        f"the number of ones in mask, got numel={source.array.size}"
    )
    if not source.array.size:
        source = zeros_like_shape(source, (1,))
        input.backend.check_index(flat.astype(np.int64), 0, 1, RuntimeError, rule)
    input.backend.check_index(inside, 0, source.array.size, RuntimeError, rule)
    taken = source.reshape(-1)[wrap(inside, input.backend)].reshape(shape)
    return where(mask, taken, input)
