"""Losses of classifiers: the likelihood of each sample's class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends import cpu
from lucidlite.callsite import HINT, error
from lucidlite.grad_mode import grad_mode, no_grad
from lucidlite.hints import CLASSES, ONE_SCORE, for_class_dtype, for_class_shape, for_one_hot
from lucidlite.ops.activation import log_softmax, softmax
from lucidlite.ops.choose import where
from lucidlite.ops.common import check_device, check_tensor, to_dtype
from lucidlite.ops.gather import gather, scatter_add
from lucidlite.ops.loss import as_one, check_reduction, check_scores, refuse_deprecated
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import reshape, squeeze, unsqueeze
from lucidlite.tape import needs_grad, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def _checked_targets(op: str, input: Tensor, target: Any) -> Tensor:
    """Classes (N, ...) for scores (N, C, ...), (N) for (N, C), () for (C): in shape and dtype."""
    check_tensor(op, "input", input)
    check_tensor(op, "target", target)
    check_device(op, input, target)
    x, t = input.array.shape, target.array.shape
    if not x:
        raise error(ValueError, f"{op}: expected 1 or more dimensions, got input={x}")
    want = () if len(x) == 1 else (x[0], *x[2:])
    if len(x) == 1 and t == (1,):
        target, t = reshape(target, ()), ()
    if t != want:
        if len(x) > 1 and (not t or t[0] != x[0]):
            raise error(
                ValueError,
                f"{op}: expected input batch_size ({x[0]}) to match target batch_size "
                f"({t[0] if t else 0}), got input={x}, target={t}",
                for_class_shape(x, t),
            )
        rule = f"{op}: expected target size {want}, got input={x}, target={t}"
        raise error(RuntimeError, rule, for_class_shape(x, t))
    if target.array.dtype.kind not in "iu" or target.array.dtype.itemsize not in (8, 1):
        raise error(
            RuntimeError,
            f"{op}: expected target of class indices to have dtype int64, got {target.dtype}",
            for_class_dtype(target.dtype),
        )
    return target  # type: ignore[no-any-return]


def _classes(input: Tensor) -> int:
    x = input.array.shape
    return int(x[0] if len(x) == 1 else x[1])


def _out_of_bounds(op: str, classes: int) -> str:
    hint = ONE_SCORE if classes == 1 else CLASSES
    return f"{op}: target {{}} is out of bounds, got {classes} classes{HINT}{hint}"


def _check_classes(op: str, input: Tensor, target: Tensor, ignore_index: int) -> bool:
    """IndexError for a target that is no class; whether it was seen that none is ignored."""
    classes = _classes(input)
    rule = _out_of_bounds(op, classes)
    every = input.backend.check_index(target.array, 0, classes, IndexError, rule, ignore_index)
    return every and not 0 <= ignore_index < classes


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of each target class, from log-probabilities.

    Shapes: input (N, C), (C) or (N, C, d1, ...), target (N), () or (N, d1, ...) of int64 classes,
    weight (C). Targets equal to ``ignore_index`` count for nothing; 'mean' divides by the weights
    of those that count. IndexError for a target outside [0, C).

    >>> import lucidlite
    >>> x = lucidlite.log_softmax(lucidlite.zeros(2, 4), 1)
    >>> lucidlite.nn.functional.nll_loss(x, lucidlite.tensor([0, 3]))
    tensor(1.3863)

    Semantics: torch.nn.functional.nll_loss.
    """
    refuse_deprecated("nll_loss", size_average, reduce)
    check_reduction("nll_loss", reduction)
    if precision.active:
        input, weight = precision.cast("nll_loss", input, weight)
    target = _checked_targets("nll_loss", input, target)
    _check_classes("nll_loss", input, target, ignore_index)
    check_scores("nll_loss", input)
    return _nll_loss("nll_loss", input, target, weight, ignore_index, reduction)


def _nll_loss(
    op: str, input: Tensor, target: Tensor, weight: Any, ignore_index: int, reduction: str
) -> Tensor:
    dim = 0 if input.array.ndim == 1 else 1
    with no_grad():
        picked, factors, kept = _picked(op, input, target, weight, ignore_index)
        out, scale = -(picked * factors), factors
        if reduction != "none":
            out = sum(out)
        if reduction == "mean":
            total = sum(factors)
            out, scale = out / total, where(kept, factors / total, 0.0)
        index = unsqueeze(where(kept, to_dtype(target, np.dtype(np.int64)), 0), dim)
    name = "cross_entropy_2d" if input.array.ndim > 2 else ""
    args = (dim, input.array.shape)
    return record(out.array, nll_loss_vjp, (input,), args, save=(index, scale), name=name)


def nll_loss_vjp(node: Node, grad: Tensor, dim: int, shape: tuple[int, ...]) -> Tensor:
    index, scale = node.saved_tensors
    zero = wrap(grad.backend.xp.zeros(shape, grad.array.dtype), grad.backend)
    return scatter_add(zero, dim, index, unsqueeze(-(grad * scale), dim))


def _picked(
    op: str, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The score of each target, the weight it counts with, and whether it counts."""
    dim = 0 if input.array.ndim == 1 else 1
    kept = target != ignore_index
    index = where(kept, to_dtype(target, np.dtype(np.int64)), 0)
    picked = squeeze(gather(input, dim, unsqueeze(index, dim)), dim)
    picked = where(kept, picked, 0.0)
    _check_weight(op, input, weight)
    if weight is None:
        return picked, to_dtype(kept, input.array.dtype), kept
    return picked, where(kept, reshape(weight[reshape(index, (-1,))], index.array.shape), 0.0), kept


def _check_weight(op: str, input: Tensor, weight: Tensor | None) -> None:
    """One weight a class, of the scores' dtype."""
    if weight is None:
        return
    classes = input.array.shape[0 if input.array.ndim == 1 else 1]
    if weight.array.shape != (classes,):
        raise error(
            RuntimeError,
            f"{op}: weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.array.shape)}",
        )
    if weight.array.dtype != input.array.dtype:
        raise error(
            RuntimeError,
            f"{op}: expected weight of the scores' dtype, got input={input.dtype}, "
            f"weight={weight.dtype}",
        )


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``nll_loss`` of ``log_softmax(input)``: the usual loss of a classifier, from raw scores.

    Shapes: input (N, C), (C) or (N, C, d1, ...); target int64 classes (N), () or (N, d1, ...), or
    class probabilities of input's shape; weight (C). ``label_smoothing`` in [0, 1] moves that share
    of each target evenly to all classes. IndexError for a class outside [0, C).

    >>> import lucidlite
    >>> lucidlite.nn.functional.cross_entropy(lucidlite.zeros(2, 4), lucidlite.tensor([0, 3]))
    tensor(1.3863)

    Semantics: torch.nn.functional.cross_entropy.
    """
    refuse_deprecated("cross_entropy", size_average, reduce)
    check_reduction("cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise error(
            RuntimeError,
            "cross_entropy: label_smoothing must be between 0.0 and 1.0, "
            f"got label_smoothing={label_smoothing}",
        )
    if precision.active:
        input, target, weight = precision.cast("cross_entropy", input, target, weight)
    check_tensor("cross_entropy", "input", input)
    check_tensor("cross_entropy", "target", target)
    if target.array.shape == input.array.shape:
        if target.array.dtype.kind != "f":
            raise error(
                RuntimeError,
                "cross_entropy: expected floating point type for target with class probabilities, "
                f"got {target.dtype}",
                for_one_hot(input.array.shape),
            )
        if ignore_index >= 0:
            raise error(
                RuntimeError,
                "cross_entropy: ignore_index is not supported for floating point target, "
                f"got ignore_index={ignore_index}",
            )
        _check_weight("cross_entropy", input, weight)
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    target = _checked_targets("cross_entropy", input, target)
    if input.array.ndim == 2 and weight is None and not label_smoothing and reduction != "none":
        return _cross_entropy(input, target, ignore_index, reduction == "mean")
    _check_classes("cross_entropy", input, target, ignore_index)
    check_scores("cross_entropy", input)
    dim = 0 if input.array.ndim == 1 else 1
    logp = log_softmax(input, dim)
    loss = _nll_loss("cross_entropy", logp, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return loss
    _, factors, kept = _picked("cross_entropy", logp, target, weight, ignore_index)
    smooth = -(logp if weight is None else logp * _by_class(weight, logp, dim))
    smooth = where(kept, sum(smooth, dim), 0.0)
    if reduction != "none":
        smooth = sum(smooth)
    if reduction == "mean":
        smooth = smooth / sum(factors)
    share: float = label_smoothing / input.array.shape[dim]
    return (1.0 - label_smoothing) * loss + share * smooth


def _by_class(weight: Tensor, like: Tensor, dim: int) -> Tensor:
    shape = [1] * like.array.ndim
    shape[dim] = -1
    return reshape(weight, shape)


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    dim = 0 if input.array.ndim == 1 else 1
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / input.array.shape[dim]
    terms = log_softmax(input, dim) * target
    if weight is not None:
        terms = terms * _by_class(weight, terms, dim)
    if reduction == "none":
        return -sum(terms, dim)
    total = -sum(terms)
    if reduction == "sum":
        return total
    samples: float = input.array.size / max(input.array.shape[dim], 1)
    return as_one("cross_entropy_soft", total / samples)


def _cross_entropy(input: Tensor, target: Tensor, ignore_index: int, mean: bool) -> Tensor:
    """The usual case as one kernel, which may look at the targets itself."""
    backend = input.backend
    skip: int | None = ignore_index
    alarm = backend.alarm(IndexError, _out_of_bounds("cross_entropy", _classes(input)))
    if not alarm and _check_classes("cross_entropy", input, target, ignore_index):
        skip = None
    check_scores("cross_entropy", input)
    keep, looks = needs_grad(input)[0], (alarm,) if alarm else ()
    loss, state = backend.cross_entropy(input.array, target.array, skip, mean, keep, *looks)
    args = (skip, mean)
    return record(loss, cross_entropy_vjp, (input, None), args, (input, target), state)


def cross_entropy_vjp(
    node: Node, grad: Tensor, ignore_index: int | None, mean: bool
) -> tuple[Tensor | None, ...]:
    x, target = node.saved_tensors
    if not grad_mode.enabled:
        state, backend = node.kernel_state(), grad.backend
        if backend is cpu and grad.array == 1:  # the usual seed
            return wrap(state, backend), None
        arrays = x.array, target.array
        out = backend.cross_entropy_backward(grad.array, state, *arrays, ignore_index)
        return wrap(out, backend), None
    kept = target == target if ignore_index is None else target != ignore_index
    scale = to_dtype(kept, x.array.dtype)
    if mean:
        scale = where(kept, 1.0 / sum(scale), 0.0)
    classes = wrap(x.backend.xp.arange(x.array.shape[1]), x.backend)
    hot = to_dtype(unsqueeze(target, 1) == classes, x.array.dtype)
    return (softmax(x, 1) - hot) * unsqueeze(scale * grad, 1), None
