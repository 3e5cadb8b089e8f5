"""The losses of yes-or-no predictions: probabilities or scores against targets from 0 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import HINT, error
from lucidlite.hints import SCORES, for_binary_dtype, for_same_shape
from lucidlite.ops.activation import sigmoid
from lucidlite.ops.choose import clamp
from lucidlite.ops.common import broadcast_shape, check_device, to_dtype
from lucidlite.ops.loss import check_scores, refuse_deprecated
from lucidlite.ops.pair_losses import PairLoss, check_result, checked, constant, pair_loss
from lucidlite.ops.precision import precision
from lucidlite.ops.shape import expand
from lucidlite.ops.unary import log, log1p
from lucidlite.ops.units import logsigmoid

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def _logs(x: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of x and 1 - x, no less than -100: 0 and 1 have a finite loss."""
    return clamp(log(x), min=-100.0), clamp(log1p(-x), min=-100.0)


def _entropy(x: Tensor, y: Tensor) -> Tensor:
    yes, no = _logs(x)
    return (y - 1) * no - y * yes


def _entropy_target_slope(x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    return log1p(-x) - log(x)


def _logits(x: Tensor, y: Tensor, gain: Tensor | None = None) -> Tensor:
    cost = logsigmoid(x)
    return (1 - y) * x - (cost if gain is None else cost * ((gain - 1) * y + 1))


def _logits_slope(x: Tensor, y: Tensor, gain: Tensor | None = None) -> Tensor:
    if gain is None:
        return sigmoid(x) - y
    gained = gain * y
    return (gained + 1 - y) * sigmoid(x) - gained


def _logits_target_slope(x: Tensor, y: Tensor, gain: Tensor | None = None) -> Tensor:  # noqa: ARG001
    return -x if gain is None else logsigmoid(-x) - gain * logsigmoid(x)


ENTROPY = PairLoss(
    _entropy, lambda x, y: (x - y) / clamp((1 - x) * x, min=1e-12), _entropy_target_slope
)
LOGITS = PairLoss(_logits, _logits_slope, _logits_target_slope)


_SCORES = HINT + SCORES


def _same_size(op: str, input: Tensor, target: Tensor) -> None:
    if target.array.shape != input.array.shape:
        raise error(
            ValueError,
            f"{op}: target size ({tuple(target.array.shape)}) must be the same as input size "
            f"({tuple(input.array.shape)})",
            for_same_shape(input.array.shape, target.array.shape),
        )


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``-target * log(input) - (1 - target) * log(1 - input)`` of probabilities.

    Shapes: target as input, weight broadcasts. Logarithms are no less than -100. RuntimeError for
    an input outside [0, 1].

    >>> import lucidlite
    >>> F = lucidlite.nn.functional
    >>> F.binary_cross_entropy(lucidlite.tensor([0.5, 0.5]), lucidlite.tensor([0.0, 1.0]))
    tensor(0.6931)

    Semantics: torch.nn.functional.binary_cross_entropy.
    """
    op = "binary_cross_entropy"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction)
    place = input.backend.device.type
    if precision.active and place != "cpu" and precision.state.dtypes.get(place) is not None:
        raise error(
            RuntimeError,
            f"{op}: unsafe to autocast; use binary_cross_entropy_with_logits, which takes scores",
        )
    _same_size(op, input, target)
    check_device(op, input, target, weight)
    constant(op, weight=weight)
    for name, tensor in (("target", target), ("weight", weight)):
        if tensor is not None and tensor.array.dtype != input.array.dtype:
            raise error(
                RuntimeError,
                f"{op}: expected {name} of the input's dtype, got input={input.dtype}, "
                f"{name}={tensor.dtype}",
                for_binary_dtype(tensor.dtype),
            )
    check_scores(op, input)
    if weight is not None:
        weight = expand(weight, broadcast_shape(op, target.array.shape, weight.array.shape))
    backend, x = input.backend, input.array
    inside = backend.map(
        "logical_and",
        backend.map("greater_equal", x, backend.constant(0, x.dtype)),
        backend.map("less_equal", x, backend.constant(1, x.dtype)),
    )
    wrong = backend.cast(backend.map("logical_not", inside), np.dtype(np.int64))
    rule = f"{op}: all elements of input should be between 0 and 1{_SCORES}"
    backend.check_index(wrong, 0, 1, RuntimeError, rule)
    return pair_loss(op, ENTROPY, input, target, reduction, weight=weight)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``binary_cross_entropy`` of ``sigmoid(input)``, exact for scores of any size.

    Shapes: target as input; weight and pos_weight, which counts for the part of ``target``,
    broadcast.

    >>> import lucidlite
    >>> F = lucidlite.nn.functional
    >>> F.binary_cross_entropy_with_logits(lucidlite.zeros(2), lucidlite.tensor([0.0, 1.0]))
    tensor(0.6931)

    Semantics: torch.nn.functional.binary_cross_entropy_with_logits.
    """
    op = "binary_cross_entropy_with_logits"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction)
    _same_size(op, input, target)
    check_device(op, input, target, weight, pos_weight)
    constant(op, weight=weight, pos_weight=pos_weight)
    check_scores(op, input)
    check_result(op, input, target)
    loss = pair_loss(op, LOGITS, input, target, reduction, weight=weight, gain=pos_weight)
    return to_dtype(loss, target.array.dtype)  # PyTorch computes in the target's memory
