"""Losses that ask for a margin: between scores, classes or distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.choose import clamp, clamp_min, minimum, where
from lucidlite.ops.common import check_device, check_tensor, to_dtype
from lucidlite.ops.cumulative import cumprod
from lucidlite.ops.distance import pairwise_distance
from lucidlite.ops.gather import gather
from lucidlite.ops.loss import as_one, check_reduction, check_scores, reduced, refuse_deprecated
from lucidlite.ops.pair_losses import checked
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import any as some
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import reshape, unsqueeze
from lucidlite.ops.unary import sqrt
from lucidlite.ops.units import logsigmoid
from lucidlite.tape import wrap

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def _three(op: str, reduction: str, **tensors: Any) -> tuple[Any, ...]:
    check_reduction(op, reduction)
    for name, tensor in tensors.items():
        check_tensor(op, name, tensor)
    given = tuple(tensors.values())
    check_device(op, *given)
    return precision.cast(op, *given) if precision.active else given


def _shapes(**tensors: Any) -> str:
    return ", ".join(f"{name}={tuple(t.array.shape)}" for name, t in tensors.items())


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Distances ``input`` where target is 1, ``max(0, margin - input)`` where it is -1.

    Semantics: torch.nn.functional.hinge_embedding_loss.
    """
    op = "hinge_embedding_loss"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction)
    short = to_dtype(float(margin) - input, input.array.dtype)
    apart = where(target != 1, clamp(short, min=0), 0)
    return reduced(op, apart + where(target != -1, input, 0), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -target * (input1 - input2) + margin)``: with target 1 the first should be larger.

    Semantics: torch.nn.functional.margin_ranking_loss.
    """
    op = "margin_ranking_loss"
    refuse_deprecated(op, size_average, reduce)
    given = {"input1": input1, "input2": input2, "target": target}
    input1, input2, target = _three(op, reduction, **given)
    if not input1.array.ndim == input2.array.ndim == target.array.ndim:
        raise error(
            RuntimeError,
            f"{op}: all input tensors should have same dimension, got {_shapes(**given)}",
        )
    return reduced(op, clamp_min(-target * (input1 - input2) + float(margin), 0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` where target is 1, ``max(0, cos - margin)`` where it is -1.

    cos is that of the angle between rows of ``input1`` and ``input2``. Shapes: (N, D) with target
    (N), or (D) with (). Semantics: torch.nn.functional.cosine_embedding_loss.
    """
    op = "cosine_embedding_loss"
    refuse_deprecated(op, size_average, reduce)
    given = {"input1": input1, "input2": input2, "target": target}
    input1, input2, target = _three(op, reduction, **given)
    dim = target.array.ndim
    if dim > 1:
        raise error(
            RuntimeError,
            f"{op}: 0D or 1D target tensor expected, multi-target not supported, "
            f"got {_shapes(**given)}",
        )
    if not input1.array.ndim == input2.array.ndim == dim + 1:
        raise error(
            RuntimeError,
            f"{op}: {dim}D target tensor expects {dim + 1}D input tensors, got {_shapes(**given)}",
        )
    one, other = (sum(x * x, dim) + 1e-12 for x in (input1, input2))
    cosine = sum(input1 * input2, dim) / sqrt(one * other)
    near = where(target == 1, 1 - cosine, 0)
    return reduced(op, near + where(target == -1, clamp(cosine - margin, min=0), 0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))``, d the ``p``-distance of rows.

    ``swap`` takes d(positive, negative) for the last where that is less.

    Semantics: torch.nn.functional.triplet_margin_loss. Source: Balntas et al., 2016.
    """
    refuse_deprecated("triplet_margin_loss", size_average, reduce)

    def apart(x1: Tensor, x2: Tensor) -> Tensor:
        return pairwise_distance(x1, x2, p, eps)

    given = {"anchor": anchor, "positive": positive, "negative": negative}
    return _triplet("triplet_margin_loss", given, apart, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with any distance; without one, ``pairwise_distance``.

    Semantics: torch.nn.functional.triplet_margin_with_distance_loss.
    """
    op = "triplet_margin_with_distance_loss"
    given = {"anchor": anchor, "positive": positive, "negative": negative}
    return _triplet(op, given, distance_function or pairwise_distance, margin, swap, reduction)


def _triplet(
    op: str,
    given: dict[str, Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    anchor, positive, negative = _three(op, reduction, **given)
    if margin <= 0:
        raise error(ValueError, f"{op}: margin must be greater than 0, got margin={margin}")
    if not anchor.array.ndim == positive.array.ndim == negative.array.ndim:
        raise error(
            RuntimeError,
            f"{op}: the anchor, positive, and negative tensors are expected to have the same "
            f"number of dimensions, got {_shapes(**given)}",
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(op, clamp_min(margin + near - far, 0), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """The logistic loss of each class (last dim) against targets 0 or 1, averaged over classes.

    Semantics: torch.nn.functional.multilabel_soft_margin_loss.
    """
    op = "multilabel_soft_margin_loss"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(op, sum(loss, -1) / input.array.shape[-1], reduction)


def _rows(op: str, input: Tensor) -> Tensor:
    """Scores (N, C), or (C) as one row."""
    check_scores(op, input)
    shape = input.array.shape
    if len(shape) > 2 or not all(shape[-1:]):
        raise error(
            RuntimeError,
            f"{op}: expected non-empty vector or matrix with optional 0-dim batch size, "
            f"got input={tuple(shape)}",
        )
    return reshape(input, (-1 if len(shape) < 2 else shape[0], shape[-1] if shape else 1))


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over other classes c of ``max(0, margin - input[target] + input[c]) ** p``.

    Shapes: input (N, C) or (C), target (N) or () of int64 classes, weight (C), by target.

    Semantics: torch.nn.functional.multi_margin_loss.
    """
    op = "multi_margin_loss"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction)
    if p not in (1, 2):
        raise error(ValueError, f"{op}: only p == 1 and p == 2 supported, got p={p}")
    if weight is not None and weight.array.ndim != 1:
        raise error(
            ValueError, f"{op}: weight must be one-dimensional, got {tuple(weight.array.shape)}"
        )
    rows = _rows(op, input)
    count, classes = rows.array.shape
    labels = _labels(op, target, (count,), input)
    input.backend.check_index(
        labels.array, 0, classes, RuntimeError, f"{op}: target {{}} out of range [0, {classes})"
    )
    if weight is not None and weight.array.size != classes:
        raise error(
            RuntimeError,
            f"{op}: inconsistent weight size, got {weight.array.size} for {classes} classes",
        )
    index = unsqueeze(labels, 1)
    short = clamp(margin - gather(rows, 1, index) + rows, min=0)
    cost = short if p == 1 else short * short
    if weight is not None:
        cost = cost * unsqueeze(weight[labels], 1)
    others = index != wrap(input.backend.xp.arange(classes), input.backend)
    each = sum(where(others, cost, 0), 1) / classes
    each = each if input.array.ndim == 2 else reshape(each, target.array.shape)
    return as_one(op, reduced(op, each, reduction))


def _labels(op: str, target: Tensor, shape: tuple[int, ...], input: Tensor) -> Tensor:
    """int64 targets as ``shape``, which is (1, ...) for an input without a batch."""
    if target.array.dtype != np.int64:
        raise error(RuntimeError, f"{op}: expected target of dtype int64, got {target.dtype}")
    single = input.array.ndim < 2 and target.array.size == np.prod(shape)
    if target.array.shape != shape and not single:
        raise error(
            RuntimeError,
            f"{op}: inconsistent target size: {list(target.array.shape)} for input of size: "
            f"{list(input.array.shape)}",
        )
    return reshape(target, shape)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum of ``max(0, 1 - input[t] + input[c])`` over targets t and other classes c, over C.

    Shapes: input and target (N, C) or (C); a row of targets ends before its first -1.

    Semantics: torch.nn.functional.multilabel_margin_loss.
    """
    op = "multilabel_margin_loss"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction)
    rows = _rows(op, input)
    classes = rows.array.shape[1]
    labels = _labels(op, target, rows.array.shape, input)
    input.backend.check_index(
        labels.array, -1, classes, RuntimeError, f"{op}: target {{}} out of range [-1, {classes})"
    )
    there = cumprod((labels >= 0).long(), 1) != 0
    named = where(there, labels, 0)
    every = wrap(input.backend.xp.arange(classes), input.backend)
    hits = some((unsqueeze(named, 2) == every) & unsqueeze(there, 2), 1)
    short = clamp(1 - unsqueeze(gather(rows, 1, named), 2) + unsqueeze(rows, 1), min=0)
    counts = unsqueeze(there, 2) & ~unsqueeze(hits, 1)
    each = sum(where(counts, short, 0), (1, 2)) / classes
    each = each if input.array.ndim == 2 else reshape(each, ())
    return as_one(op, reduced(op, each, reduction))
