"""What losses share, and the squared error."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.hints import for_same_shape
from lucidlite.ops.common import check_broadcast, check_tensor, operands, to_dtype, widened
from lucidlite.ops.elementwise import sub
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import mean, sum
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def reduced(op: str, loss: Tensor, reduction: str) -> Tensor:
    """A loss a sample as its mean, its sum or as it is."""
    check_reduction(op, reduction)
    return mean(loss) if reduction == "mean" else sum(loss) if reduction == "sum" else loss


def as_one(op: str, result: Tensor) -> Tensor:
    """What several operations made, under its own name on the tape."""
    return record(result.array, as_one_vjp, (result,), name=op)


def as_one_vjp(node: Node, grad: Tensor) -> Tensor:
    return grad


def check_reduction(op: str, reduction: Any) -> None:
    """Refuse what isn't 'none', 'mean' or 'sum'."""
    if reduction not in ("none", "mean", "sum"):
        raise error(ValueError, f"{op}: {reduction} is not a valid value for reduction")


def refuse_deprecated(op: str, size_average: Any, reduce: Any) -> None:
    """Refuse the arguments that ``reduction`` replaced."""
    if size_average is not None or reduce is not None:
        # A loss's class called with scores and targets takes these for its settings.
        given = ["a Tensor" if hasattr(v, "array") else v for v in (size_average, reduce)]
        raise error(
            TypeError,
            f"{op}: size_average and reduce are deprecated in PyTorch and not supported; "
            f"use reduction, got size_average={given[0]}, reduce={given[1]}",
            f"make the loss first: {op}()(x, target)" if hasattr(size_average, "array") else "",
        )


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared difference, averaged by default. Semantics: torch.nn.functional.mse_loss."""
    refuse_deprecated("mse_loss", size_average, reduce)
    check_reduction("mse_loss", reduction)
    if precision.active:
        input, target, weight = precision.cast("mse_loss", input, target, weight)
    check_tensor("mse_loss", "input", input)
    check_tensor("mse_loss", "target", target)
    if input.array.dtype.kind != "f" and target.array.dtype.kind != "f":
        check_scores("mse_loss", input)
    if input.array.shape != target.array.shape:
        hint = for_same_shape(input.array.shape, target.array.shape)
        warnings.warn(
            f"mse_loss: input and target have different sizes, {tuple(input.array.shape)} and "
            f"{tuple(target.array.shape)}: broadcasting may give a wrong result"
            + (f"; {hint}" if hint else ""),
            stacklevel=2,
        )
    if weight is None:
        return _mse_loss(input, target, reduction)
    off = input - target
    loss = off * off
    if weight.array.shape != input.array.shape:
        raise error(
            ValueError,
            "mse_loss: weights and input must have the same size, "
            f"got weight={tuple(weight.array.shape)}, input={tuple(input.array.shape)}",
        )
    if reduction == "mean":
        return sum(loss * weight) / sum(weight)
    return reduced("mse_loss", loss * weight, reduction)


def _mse_loss(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    x, y = operands("mse_loss", input, target)
    check_broadcast("mse_loss", x, y)
    with no_grad():
        off, _ = widened(sub(x, y), x)
        out = to_dtype(reduced("mse_loss", off * off, reduction), x.array.dtype)
    factor = 2.0 / max(off.array.size, 1) if reduction == "mean" else 2.0
    return record(out.array, mse_loss_vjp, (x, y), (factor,), save=(x, y))


def mse_loss_vjp(node: Node, grad: Tensor, factor: float) -> tuple[Tensor | None, ...]:
    x, y, grad = widened(*node.saved_tensors, grad)
    dx = grad * ((x - y) * factor)
    return dx, -dx if node.needs_input_grad[1] else None


def check_scores(op: str, input: Tensor) -> None:
    """Refuse scores that are not floating point."""
    if input.array.dtype.kind != "f":
        raise error(NotImplementedError, f"{op}: not implemented for {input.dtype}; use float()")
