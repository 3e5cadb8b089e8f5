"""Losses of a prediction and a target, element by element: values and slopes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.hints import for_binary_dtype
from lucidlite.ops.activation import sigmoid
from lucidlite.ops.choose import where
from lucidlite.ops.common import (
    check_broadcast,
    check_tensor,
    operands,
    result_type,
    to_dtype,
    widened,
)
from lucidlite.ops.loss import check_reduction, check_scores, reduced, refuse_deprecated
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.unary import abs as absolute
from lucidlite.ops.unary import exp, log1p, sign
from lucidlite.tape import needs_grad, record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


class PairLoss(NamedTuple):
    """A loss of prediction x and target y with its derivatives by x and y, all on tensors.

    ``differs``: it depends on x - y alone, so that one is the other's negative.
    """

    value: Callable[..., Tensor]
    slope: Callable[..., Tensor]
    target_slope: Callable[..., Tensor] | None = None
    differs: bool = False


def _smooth(x: Tensor, y: Tensor, beta: float) -> Tensor:
    off = absolute(x - y)
    return where(off < beta, off * off * (0.5 / beta), off - 0.5 * beta)


def _huber(x: Tensor, y: Tensor, delta: float) -> Tensor:
    off = absolute(x - y)
    return where(off <= delta, off * off * 0.5, (off - 0.5 * delta) * delta)


def _limited(off: Tensor, most: float, scale: float) -> Tensor:
    """``off / scale`` while less than ``most`` in size, then straight on."""
    return where((off > -most) & (off < most), off / scale, sign(off) * (most / scale))


SMOOTH = PairLoss(_smooth, lambda x, y, beta: _limited(x - y, beta, beta), differs=True)
HUBER = PairLoss(_huber, lambda x, y, delta: _limited(x - y, delta, 1.0), differs=True)
SOFT_MARGIN = PairLoss(lambda x, y: log1p(exp(-y * x)), lambda x, y: -y * sigmoid(-y * x))


def pair_loss(
    op: str,
    rule: PairLoss,
    input: Tensor,
    target: Tensor,
    reduction: str,
    args: tuple[float, ...] = (),
    weight: Tensor | None = None,
    gain: Tensor | None = None,
) -> Tensor:
    """One node for the whole loss: ``weight`` multiplies it, ``gain`` goes to its rule."""
    x, y = operands(op, input, target)
    check_scores(op, x)
    kind = x.array.dtype
    weight, gain = (None if t is None else to_dtype(t, kind) for t in (weight, gain))
    check_broadcast(op, *[t for t in (x, y, weight, gain) if t is not None])
    with no_grad():
        a, b, w, g = _wide(x, y, weight, gain)
        loss = rule.value(a, b, *args, *(() if g is None else (g,)))
        loss = loss if w is None else loss * w
        out = to_dtype(reduced(op, loss, reduction), kind)
    share = 1.0 / max(loss.array.size, 1) if reduction == "mean" else 1.0
    save = (x, y, weight, gain)
    return record(out.array, pair_loss_vjp, (x, y), (rule, args, share), save=save, name=op)


def _wide(*tensors: Tensor | None) -> list[Any]:
    return [None if t is None else widened(t)[0] for t in tensors]


def pair_loss_vjp(
    node: Node, grad: Tensor, rule: PairLoss, args: tuple[float, ...], share: float
) -> tuple[Tensor | None, ...]:
    x, y, weight, gain, grad = _wide(*node.saved_tensors, grad)
    needs = node.needs_input_grad
    given = (x, y, *args, *(() if gain is None else (gain,)))
    scaled = grad if share == 1.0 else grad * share
    scaled = scaled if weight is None else scaled * weight
    dx = scaled * rule.slope(*given) if needs[0] or rule.differs else None
    if not needs[1]:
        return dx, None
    if rule.differs:
        return dx, -dx  # type: ignore[operator]
    if rule.target_slope is None:
        return dx, None
    return dx, scaled * rule.target_slope(*given)


def constant(op: str, **tensors: Tensor | None) -> None:
    """Refuse to differentiate for what PyTorch has no derivative for."""
    for name, tensor in tensors.items():
        if tensor is not None and needs_grad(tensor)[0]:
            raise error(RuntimeError, f"{op}: the derivative for '{name}' is not implemented")


def checked(
    op: str, input: Tensor, target: Tensor, reduction: str, sizes: bool = False
) -> tuple[Tensor, Tensor]:
    """Input and target as autocast wants them; with ``sizes`` a warning where those differ."""
    check_reduction(op, reduction)
    check_tensor(op, "input", input)
    check_tensor(op, "target", target)
    if precision.active:
        input, target = precision.cast(op, input, target)
    if sizes and input.array.shape != target.array.shape:
        warnings.warn(
            f"{op}: Using a target size ({tuple(target.array.shape)}) that is different to the "
            f"input size ({tuple(input.array.shape)}): broadcasting may give a wrong result",
            stacklevel=3,
        )
    return input, target


def check_result(op: str, input: Tensor, output: Tensor) -> None:
    """Refuse a result that doesn't fit the kind of number of the tensor it is computed in."""
    kind = result_type(input, output)
    if kind.category > output.dtype.category:
        raise error(
            RuntimeError,
            f"{op}: result type {kind} can't be cast to the desired output type {output.dtype}",
            for_binary_dtype(output.dtype) if op.startswith("binary") else "",
        )


def _weighted(op: str, loss: Tensor, input: Tensor, weight: Tensor) -> Tensor:
    if weight.array.shape != input.array.shape:
        raise error(
            ValueError,
            f"{op}: weights and input must have the same size, "
            f"got weight={tuple(weight.array.shape)}, input={tuple(input.array.shape)}",
        )
    return loss * weight


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute difference, averaged by default. Semantics: torch.nn.functional.l1_loss."""
    op = "l1_loss"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction, sizes=True)
    loss = absolute(input - target)
    if weight is None:
        return reduced(op, loss, reduction)
    loss = _weighted(op, loss, input, weight)
    return sum(loss) / sum(weight) if reduction == "mean" else reduced(op, loss, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """The difference squared, over ``2 * beta``, up to ``beta``; then absolute, less ``beta / 2``.

    Semantics: torch.nn.functional.smooth_l1_loss. Source: Girshick, Fast R-CNN, 2015.
    """
    op = "smooth_l1_loss"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction, sizes=True)
    if beta < 0:
        raise error(RuntimeError, f"{op}: does not support negative values for beta, got {beta=}")
    if beta == 0:
        return reduced(op, absolute(input - target), reduction)
    return pair_loss(op, SMOOTH, input, target, reduction, (float(beta),))


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Half the squared difference up to ``delta``, then ``delta`` times its absolute growth.

    Semantics: torch.nn.functional.huber_loss. Source: Huber, 1964.
    """
    op = "huber_loss"
    input, target = checked(op, input, target, reduction, sizes=True)
    if delta <= 0:
        raise error(
            RuntimeError, f"{op}: does not support non-positive values for delta, got {delta=}"
        )
    check_result(op, target, input)
    kind, args = input.array.dtype, (float(delta),)
    if weight is None:
        return to_dtype(pair_loss(op, HUBER, input, target, reduction, args), kind)
    loss = to_dtype(pair_loss(op, HUBER, input, target, "none", args), kind)
    return reduced(op, _weighted(op, loss, input, weight), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-target * input))`` for targets 1 and -1.

    Semantics: torch.nn.functional.soft_margin_loss.
    """
    op = "soft_margin_loss"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction)
    constant(op, target=target)
    if input.array.dtype.kind != "f":
        raise error(
            RuntimeError,
            f"{op}: result type float can't be cast to the desired output type {input.dtype}",
        )
    loss = pair_loss(op, SOFT_MARGIN, input, target, reduction)
    return to_dtype(loss, input.array.dtype)
