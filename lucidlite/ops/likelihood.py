"""Losses that are the likelihood of a distribution: its parameters predicted, its values given."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.ops.choose import clamp, masked_fill
from lucidlite.ops.common import check_tensor
from lucidlite.ops.inplace import assign
from lucidlite.ops.loss import check_reduction, reduced, refuse_deprecated
from lucidlite.ops.pair_losses import checked
from lucidlite.ops.pairs import xlogy
from lucidlite.ops.reduce import any, sum
from lucidlite.ops.shape import unsqueeze
from lucidlite.ops.unary import exp, log

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """``target * (log(target) - input)``: the divergence of log-probabilities ``input``.

    With ``log_target`` the target is log-probabilities too. reduction 'batchmean' divides the sum
    by the size of dim 0, which is the divergence; 'mean' divides by the number of elements.

    Semantics: torch.nn.functional.kl_div.
    """
    refuse_deprecated("kl_div", size_average, reduce)
    batch = reduction == "batchmean"
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. "
            "'batchmean' divides only by the batch size, and is the KL divergence.",
            stacklevel=2,
        )
    input, target = checked("kl_div", input, target, "sum" if batch else reduction)
    for name, tensor in (("input", input), ("target", target)):
        if tensor.array.dtype.kind != "f":
            raise error(
                RuntimeError, f"kl_div: integral inputs not supported, got {name}={tensor.dtype}"
            )
    loss = _divergence(input, target, log_target)
    if not batch:
        return reduced("kl_div", loss, reduction)
    return sum(loss) / input.array.shape[0] if input.array.ndim else sum(loss)


def _divergence(input: Tensor, target: Tensor, log_target: bool) -> Tensor:
    if log_target:
        return exp(target) * (target - input)
    return xlogy(target, target) - target * input  # in two terms: the target may be 0


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``exp(input) - target * input`` for counts ``target`` of which ``input`` is the log-mean.

    Without ``log_input``, input is the mean: ``input - target * log(input + eps)``. ``full`` adds
    Stirling's approximation to ``log(target!)`` for targets over 1.

    Semantics: torch.nn.functional.poisson_nll_loss.
    """
    op = "poisson_nll_loss"
    refuse_deprecated(op, size_average, reduce)
    input, target = checked(op, input, target, reduction)
    rate, logs = (exp(input), input) if log_input else (input, log(input + eps))
    loss = rate - target * logs
    if full:
        stirling = target * log(target) - target + 0.5 * log(target * (2 * math.pi))
        loss = loss + masked_fill(stirling, target <= 1, 0)
    return reduced(op, loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """``(log(var) + (input - target)**2 / var) / 2``: input the mean, var the variance.

    Shapes: target broadcasts; var as input, without its last dim, with one of its dims 1, or a
    number. Variances are no less than ``eps``; ``full`` adds log(2 pi) / 2. ValueError for a
    negative one.

    Semantics: torch.nn.functional.gaussian_nll_loss. Source: Nix and Weigend, 1994.
    """
    op = "gaussian_nll_loss"
    check_tensor(op, "input", input)
    check_tensor(op, "target", target)
    negative = f"{op}: var has negative entry/entries"
    if isinstance(var, float):
        if var < 0:
            raise error(ValueError, f"{negative}, got var={var}")
        var = (input.detach() * 0 + 1) * var
    else:
        check_tensor(op, "var", var)
        if any(var < 0):
            raise error(ValueError, negative)
    x, v = input.array.shape, var.array.shape
    if v != x:
        if v == x[:-1]:
            var = unsqueeze(var, -1)
        elif len(v) != len(x) or _only_differing_size(x, v) != 1:
            raise error(
                ValueError, f"{op}: var is of incorrect size, got input={tuple(x)}, var={tuple(v)}"
            )
    check_reduction(op, reduction)
    var = var.clone()
    with no_grad():  # the limit holds back no gradient, as in PyTorch
        assign(op, var, lambda old: clamp(old, min=eps))
    loss = 0.5 * (log(var) + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(op, loss, reduction)


def _only_differing_size(x: tuple[int, ...], v: tuple[int, ...]) -> int:
    """The sum of the sizes in which ``v`` differs from ``x``: 1 if that is one dim of size 1."""
    total = 0
    for n, m in zip(x, v, strict=True):
        total += m if n != m else 0
    return total
