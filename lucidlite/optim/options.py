"""What every optimizer's options and closure go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lucidlite.callsite import error
from lucidlite.grad_mode import enable_grad
from lucidlite.tensor import Tensor


def refuse_unsupported(name: str, options: Mapping[str, Any]) -> None:
    """Raise for PyTorch's options that have no counterpart here; called for every group.

    ``foreach`` and ``fused`` choose among implementations of the same update, and every update
    here is fused: any value is taken, both at once refused as in PyTorch.
    """
    if options.get("fused") and options.get("foreach"):
        raise error(RuntimeError, f"{name}: `fused` and `foreach` cannot be `True` together.")
    instead = {
        "capturable": "cuda.make_graphed_step captures every step, leave it False",
        "differentiable": "a step is not recorded, leave it False and write the update with ops",
    }
    for option, advice in instead.items():
        if options.get(option):
            raise error(
                RuntimeError, f"{name}: {option} is not supported ({advice}), got {option}=True"
            )


def compute_loss(closure: Callable[[], Any] | None) -> Any:
    """What ``step`` returns: the closure's value, computed with gradients on."""
    if closure is None:
        return None
    with enable_grad():
        return closure()


def check_rate(name: str, lr: Any) -> None:
    """A learning rate is a number or a 1-element Tensor, not negative."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise error(ValueError, f"{name}: Tensor lr must be 1-element, got shape={tuple(lr.shape)}")
    if not float(lr) >= 0.0:
        raise error(ValueError, f"Invalid learning rate: {lr}")


def check_not_negative(text: str, value: float) -> None:
    """``text`` begins the message: 'Invalid weight_decay value'."""
    if not value >= 0.0:
        raise error(ValueError, f"{text}: {value}")


def check_betas(betas: Any) -> None:
    """Weights of running averages: numbers in [0, 1), or 1-element Tensors of such."""
    if len({isinstance(beta, Tensor) for beta in betas}) > 1:
        raise error(ValueError, "betas must be either both floats or both Tensors")
    for index, beta in enumerate(betas):
        if isinstance(beta, Tensor) and beta.numel() != 1:
            raise error(
                ValueError,
                f"Tensor betas[{index}] must be 1-element, got shape={tuple(beta.shape)}",
            )
        if not 0.0 <= float(beta) < 1.0:
            raise error(ValueError, f"Invalid beta parameter at index {index}: {beta}")
