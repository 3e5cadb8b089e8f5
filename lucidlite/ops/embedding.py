"""Rows of a table at indices: embedding, and sums, means and maxima of bags of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import HINT, error
from lucidlite.hints import ROWS
from lucidlite.ops.choose import where
from lucidlite.ops.common import as_int, check_device, check_dtype, check_tensor
from lucidlite.ops.extremes import amax, max
from lucidlite.ops.indexing import index_put_add
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import reshape, unsqueeze
from lucidlite.ops.statistics import norm
from lucidlite.tape import record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


_ROWS = HINT + ROWS


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Row ``input[i]`` of ``weight`` at each place i: the vectors of words, say.

    Shapes: input (...) of int64 or int32, weight (rows, D), result (..., D). Row ``padding_idx``
    has no gradient. Rows longer than ``max_norm`` (by the norm ``norm_type``) are first shortened
    to it, in ``weight`` itself. ``scale_grad_by_freq`` divides a row's gradient by how often it is
    named. IndexError for an index outside [0, rows); there are no sparse gradients.

    >>> import lucidlite
    >>> table = lucidlite.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> lucidlite.nn.functional.embedding(lucidlite.tensor([1, 0, 1]), table)
    tensor([[2., 3.],
            [0., 1.],
            [2., 3.]])

    Semantics: torch.nn.functional.embedding.
    """
    check_table("embedding", input, weight, sparse)
    if weight.array.ndim != 2:
        raise error(
            RuntimeError, f"embedding: 'weight' must be 2-D, got shape={tuple(weight.array.shape)}"
        )
    rows = weight.array.shape[0]
    skipped = -1 if padding_idx is None else padding_row("embedding", padding_idx, rows)
    rule = f"embedding: index out of range in self, got {{}} for a weight of {rows} rows{_ROWS}"
    input.backend.check_index(input.array, 0, rows, IndexError, rule)
    if max_norm is not None:
        _shorten_rows(weight, input, max_norm, norm_type)
    return _rows(input, weight, skipped, scale_grad_by_freq)


def check_table(op: str, input: Any, weight: Any, sparse: bool) -> None:
    """Refuse what can't be an index and a table."""
    check_tensor(op, "input", input)
    check_tensor(op, "weight", weight)
    check_device(op, weight, input)
    if sparse:
        raise error(
            NotImplementedError,
            f"{op}: sparse gradients are not supported, got sparse=True; use sparse=False",
        )
    if input.array.dtype not in (np.int64, np.int32):
        raise error(
            RuntimeError,
            f"{op}: expected 'indices' to have one of the scalar types Long, Int, "
            f"got dtype={input.dtype}",
            "x.long()",
        )
    check_dtype(op, weight, "fiub")


def padding_row(op: str, padding_idx: Any, rows: int) -> int:
    """``padding_idx`` counted from the front; AssertionError, as in PyTorch, outside the table."""
    row = as_int(op, "padding_idx", padding_idx)
    if not -rows <= row < rows:
        raise error(
            AssertionError,
            f"{op}: Padding_idx must be within num_embeddings, got padding_idx={row}, rows={rows}",
        )
    return row + rows if row < 0 else row


def _rows(input: Tensor, weight: Tensor, padding_idx: int, by_count: bool) -> Tensor:
    out = weight.backend.take(weight.array, (input.array,))
    args = (padding_idx, by_count, weight.array.shape)
    return record(out, embedding_vjp, (weight, None), args, save=(input,))


def embedding_vjp(
    node: Node, grad: Tensor, padding_idx: int, by_count: bool, shape: tuple[int, ...]
) -> Gradients:
    (index,) = node.saved_tensors
    backend = grad.backend
    if padding_idx >= 0:
        grad = where(wrap((index.array != padding_idx)[..., None], backend), grad, 0)
    if by_count:
        flat = index.array.reshape(-1)
        ones = backend.xp.ones(flat.shape, grad.array.dtype)
        counts = backend.index_add(shape[:1], grad.array.dtype, (flat,), ones)
        grad = grad / wrap(backend.take(counts, (index.array,))[..., None], backend)
    return _placed(grad, index, shape), None


def _placed(rows: Tensor, index: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros of ``shape`` with ``rows`` added at ``index``."""
    return index_put_add(rows, ((0,),), (index,), shape)


def _shorten_rows(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are named and too long, in place; nothing is recorded."""
    backend, flat = weight.backend, input.array.reshape(-1)
    rows = wrap(weight.array, backend)
    ones = backend.xp.ones(flat.shape, rows.array.dtype)
    times = backend.index_add(rows.array.shape[:1], ones.dtype, (flat,), ones)
    length = norm(rows, norm_type, 1, keepdim=True)
    wrong = wrap(times[:, None] > 0, backend) & (length > max_norm)
    try:
        weight.array[...] = where(wrong, rows * (max_norm / (length + 1e-7)), rows).array
    finally:
        weight.bump_version()


MODES = ("sum", "mean", "max")


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The 'sum', 'mean' or 'max' of the rows that each bag of indices names.

    input (B, N) holds B bags; a 1-dim input is cut at ``offsets`` (B), where each bag begins (with
    ``include_last_offset`` the last one is where the last bag ends). ``per_sample_weights``, of
    input's shape, multiply the rows of a sum. ``padding_idx`` doesn't count. The result is (B, D),
    zeros for an empty bag. With offsets, 'max' makes the host wait for a GPU.

    >>> import lucidlite
    >>> bags, table = lucidlite.tensor([[0, 1], [1, 1]]), lucidlite.tensor([[1.0], [3.0]])
    >>> lucidlite.nn.functional.embedding_bag(bags, table)
    tensor([[2.],
            [3.]])

    Semantics: torch.nn.functional.embedding_bag.
    """
    check_table("embedding_bag", input, weight, sparse)
    _check_bags(input, offsets, mode, per_sample_weights, scale_grad_by_freq)
    flat, shape = reshape(input, (-1,)), input.array.shape
    rows = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    # Rows that count, as a column: None where all do.
    kept = None
    if padding_idx is not None:
        row = padding_row("embedding_bag", padding_idx, weight.array.shape[0])
        kept = unsqueeze(flat != row, 1)
    if per_sample_weights is not None:
        rows = rows * unsqueeze(reshape(per_sample_weights, (-1,)), 1)
    if offsets is None and mode == "max":
        rows = reshape(rows, (*shape, weight.array.shape[1]))
        return _largest(rows, None if kept is None else reshape(kept, (*shape, 1)))
    if offsets is None:
        bag = input.backend.xp.arange(shape[0]).repeat(shape[1])
        count = shape[0]
    else:
        bag, count = _bag_of_each(input, offsets, include_last_offset)
    if mode == "max":
        return _largest_of_bags(rows, kept, bag, count)
    if kept is not None:
        rows = where(kept, rows, 0)
    total = _placed(rows, wrap(bag, input.backend), (count, weight.array.shape[1]))
    if mode == "sum":
        return total
    one = input.backend.xp.ones((len(bag), 1), rows.array.dtype)
    if kept is not None:
        one = one * kept.array
    size = input.backend.index_add((count, 1), rows.array.dtype, (bag,), one)
    return total / wrap(input.backend.map("maximum", size, one.dtype.type(1)), input.backend)


def _check_bags(
    input: Tensor, offsets: Tensor | None, mode: str, weights: Tensor | None, by_count: bool
) -> None:
    shape = tuple(input.array.shape)
    if len(shape) not in (1, 2):
        raise error(
            ValueError, f"embedding_bag: input has to be 1D or 2D Tensor, got shape={shape}"
        )
    if len(shape) == 2 and offsets is not None:
        raise error(
            ValueError,
            "embedding_bag: if input is 2D, then offsets has to be None, as input is treated as a "
            f"mini-batch of fixed length sequences, got input={shape}, "
            f"offsets={tuple(offsets.array.shape)}",
        )
    if len(shape) == 1 and offsets is None:
        raise error(
            ValueError, "embedding_bag: offsets has to be a 1D Tensor where input is 1D, got None"
        )
    if offsets is not None and offsets.array.ndim != 1:
        found = tuple(offsets.array.shape)
        raise error(ValueError, f"embedding_bag: offsets has to be a 1D Tensor, got shape={found}")
    if mode not in MODES:
        raise error(
            ValueError, f"embedding_bag: mode has to be one of sum, mean or max, got mode={mode!r}"
        )
    if mode == "max" and by_count:
        raise error(
            ValueError, "embedding_bag: max mode does not support scaling the gradient by frequency"
        )
    if weights is None:
        return
    check_tensor("embedding_bag", "per_sample_weights", weights)
    if mode != "sum":
        raise error(
            NotImplementedError,
            f"embedding_bag: per_sample_weights is only supported for mode='sum', got {mode=}",
        )
    if tuple(weights.array.shape) != shape:
        raise error(
            ValueError,
            "embedding_bag: per_sample_weights must have the shape of input, "
            f"got {tuple(weights.array.shape)} and {shape}",
        )


def _bag_of_each(input: Tensor, offsets: Tensor, last: bool) -> tuple[Any, int]:
    """Which bag each index is in, from where the bags begin; and how many there are."""
    backend, n = input.backend, input.array.size
    starts = offsets.array
    if not starts.size:
        raise error(
            RuntimeError, "embedding_bag: offsets must name the beginning of a bag, got none"
        )
    rule = "embedding_bag: offsets[0] has to be 0, i.e., the first sequence has to start at 0, "
    backend.check_index(starts[:1], 0, 1, RuntimeError, rule + "got {}")
    rule = f"embedding_bag: offsets must lie within the input's length {n}, got {{}}"
    backend.check_index(starts, 0, n + 1, RuntimeError, rule)
    count = int(starts.size) - (1 if last else 0)
    begins = backend.xp.ones(count, np.int64)
    steps = backend.index_add((n + 1,), np.dtype(np.int64), (starts[:count],), begins)
    return backend.xp.cumsum(steps)[:n] - 1, count


def _largest(rows: Tensor, kept: Tensor | None) -> Tensor:
    """The largest of each bag's rows (B, N, D); those not kept don't count."""
    if not rows.array.shape[1]:
        return sum(rows, 1)
    if kept is None:
        return max(rows, 1)[0]  # type: ignore[no-any-return]
    some = amax(kept, 1)
    found = max(where(kept, rows, float("-inf")), 1)[0]
    return where(some, found, 0)


def _largest_of_bags(rows: Tensor, kept: Tensor | None, bag: Any, count: int) -> Tensor:
    """The same for bags of any size: rows laid out with the longest bag's length."""
    backend = rows.backend
    host = backend.to_numpy(bag)
    sizes = np.bincount(host, minlength=count) if host.size else np.zeros(count, np.int64)
    longest = int(sizes.max(initial=0))
    if not longest:
        return _placed(rows, wrap(bag, backend), (count, rows.array.shape[1]))
    place = np.arange(host.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    flat = wrap(backend.asarray(host * longest + place), backend)
    shape = (count * longest, rows.array.shape[1])
    laid = reshape(_placed(rows, flat, shape), (count, longest, shape[1]))
    there = backend.xp.zeros((count * longest, 1), bool)
    there[flat.array] = True if kept is None else kept.array
    return _largest(laid, wrap(there.reshape(count, longest, 1), backend))
