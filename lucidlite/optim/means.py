"""Optimizers that divide by the size of past gradients: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.by_rule import RuleOptimizer
from lucidlite.optim.optimizer import Params
from lucidlite.optim.options import check_not_negative, check_rate
from lucidlite.tensor import Tensor


class RMSprop(RuleOptimizer):
    """Steps divided by the root of a running average of the squared gradient.

    v = alpha v + (1 - alpha) g^2; p -= lr * g / (sqrt(v) + eps). ``centered`` takes the square of
    the average gradient off v; with ``momentum`` the quotients go into a buffer first.
    ``weight_decay`` adds weight_decay * p to g, ``maximize`` climbs. Raises ValueError for negative
    options. ``foreach`` changes nothing; ``capturable`` and ``differentiable`` raise RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.RMSprop([w], lr=0.5, alpha=0.75)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); w
    tensor([ 0., -1.], requires_grad=True)

    Semantics: torch.optim.RMSprop (Hinton's lecture notes, Graves 2013 for centered).
    """

    _rule = "rmsprop"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate("RMSprop", lr)
        check_not_negative("Invalid epsilon value", eps)
        check_not_negative("Invalid momentum value", momentum)
        check_not_negative("Invalid weight_decay value", weight_decay)
        check_not_negative("Invalid alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return (
            "square_avg",
            "momentum_buffer" if group["momentum"] > 0 else None,
            "grad_avg" if group["centered"] else None,
        )

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:  # noqa: ARG002
        return {name: float(group[name]) for name in ("lr", "alpha", "eps", "momentum")}


class Adagrad(RuleOptimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

    p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(sum) + eps); the sum starts at
    ``initial_accumulator_value``. ``weight_decay`` adds weight_decay * p to g, ``maximize`` climbs.
    State is there from the start. Raises ValueError for negative options. ``foreach`` and ``fused``
    change nothing; ``differentiable=True`` raises RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); w
    tensor([ 0.5000, -1.5000], requires_grad=True)

    Semantics: torch.optim.Adagrad (Duchi et al. 2011).
    """

    _rule = "adagrad"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate("Adagrad", lr)
        check_not_negative("Invalid lr_decay value", lr_decay)
        check_not_negative("Invalid weight_decay value", weight_decay)
        check_not_negative("Invalid initial_accumulator_value value", initial_accumulator_value)
        check_not_negative("Invalid epsilon value", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self._begin(p, group)

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:  # noqa: ARG002
        return ("sum",)

    def _first(self, name: str, group: dict[str, Any]) -> float:  # noqa: ARG002
        return float(self.defaults["initial_accumulator_value"])

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:  # noqa: ARG002
        lr = float(group["lr"]) / (1 + (step - 1) * float(group["lr_decay"]))
        return {"lr": lr, "eps": float(group["eps"])}


class Adadelta(RuleOptimizer):
    """Steps of the size that past steps had: no learning rate to set (``lr`` scales them).

    v = rho v + (1 - rho) g^2; step = g * sqrt(u + eps) / sqrt(v + eps); p -= lr * step, and u
    averages step^2 as v does g^2. ``weight_decay`` adds weight_decay * p to g, ``maximize`` climbs.
    Raises ValueError for options out of range. ``foreach`` changes nothing; ``capturable`` and
    ``differentiable`` raise RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.Adadelta([w], rho=0.75, eps=1.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); round(w.item(), 4)
    -0.4142

    Semantics: torch.optim.Adadelta (Zeiler 2012).
    """

    _rule = "adadelta"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate("Adadelta", lr)
        if not 0.0 <= rho <= 1.0:
            raise error(ValueError, f"Invalid rho value: {rho}")
        check_not_negative("Invalid epsilon value", eps)
        check_not_negative("Invalid weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:  # noqa: ARG002
        return ("square_avg", "acc_delta")

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:  # noqa: ARG002
        return {name: float(group[name]) for name in ("lr", "rho", "eps")}
