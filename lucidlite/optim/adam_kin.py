"""Adam's relatives: Adamax, NAdam, RAdam."""

from __future__ import annotations

from typing import Any

from lucidlite.optim.by_rule import RuleOptimizer
from lucidlite.optim.optimizer import Params
from lucidlite.optim.options import check_betas, check_not_negative, check_rate
from lucidlite.tensor import Tensor


class Adamax(RuleOptimizer):
    """Adam with the largest gradient of late in place of the root of the mean square.

    m = b1 m + (1 - b1) g; u = max(b2 u, |g| + eps); p -= lr / (1 - b1^t) * m / u. ``weight_decay``
    adds weight_decay * p to g, ``maximize`` climbs. Raises ValueError for options out of range.
    ``foreach`` changes nothing; ``capturable`` and ``differentiable`` raise RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.Adamax([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); w
    tensor([ 0.5000, -1.5000], requires_grad=True)

    Semantics: torch.optim.Adamax (Kingma and Ba 2015).
    """

    _rule = "adamax"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        _check("Adamax", lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:  # noqa: ARG002
        return ("exp_avg", "exp_inf")

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:  # noqa: ARG002
        numbers = _averages(group)
        return {**numbers, "rate": float(group["lr"]) / (1 - numbers["beta1"] ** step)}


class NAdam(RuleOptimizer):
    """Adam with Nesterov's momentum, which grows as mu_t = b1 (1 - 0.96^(t momentum_decay) / 2).

    ``weight_decay`` adds weight_decay * p to g, or shrinks p itself with
    ``decoupled_weight_decay``; ``maximize`` climbs. Raises ValueError for options out of range.
    ``foreach`` changes nothing; ``capturable`` and ``differentiable`` raise RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.NAdam([w], lr=0.5)
    >>> for _ in range(20):
    ...     optimizer.zero_grad(); (w * w).sum().backward(); optimizer.step()
    >>> float(w.detach().abs().max()) < 1
    True

    Semantics: torch.optim.NAdam (Dozat 2016).
    """

    _rule = "nadam"
    _scalars = (("mu_product", 1.0),)
    _host_state = frozenset({"step", "mu_product"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check("NAdam", lr, betas, eps, weight_decay)
        check_not_negative("Invalid momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:  # noqa: ARG002
        return ("exp_avg", "exp_avg_sq")

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:
        numbers, lr = _averages(group), float(group["lr"])
        decay, beta1 = float(group["momentum_decay"]), numbers["beta1"]
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * decay))
        product = state["mu_product"].array
        product *= mu  # in its own precision, as PyTorch has it
        return {
            **numbers,
            "correction": 1 - numbers["beta2"] ** step,
            "now": lr * (1.0 - mu) / (1.0 - float(product)),
            "ahead": lr * mu_next / (1.0 - float(product) * mu_next),
        }


class RAdam(RuleOptimizer):
    """Adam whose first steps, before the mean square means much, are not divided by it.

    A factor that grows to 1 rectifies the steps after that. ``weight_decay`` adds
    weight_decay * p to g, or shrinks p itself with ``decoupled_weight_decay``; ``maximize`` climbs.
    Raises ValueError for options out of range. ``foreach`` changes nothing; ``capturable`` and
    ``differentiable`` raise RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.RAdam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); w
    tensor([ 0.5000, -1.0000], requires_grad=True)

    Semantics: torch.optim.RAdam (Liu et al. 2020).
    """

    _rule = "radam"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check("RAdam", lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:  # noqa: ARG002
        return ("exp_avg", "exp_avg_sq")

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:  # noqa: ARG002
        numbers = _averages(group)
        beta1, beta2 = numbers["beta1"], numbers["beta2"]
        correction = 1 - beta2**step
        # How many values the mean square is worth, in the long run and now.
        most = 2 / (1 - beta2) - 1
        worth = most - 2 * step * beta2**step / correction
        rectify = 0.0
        if worth > 5.0:
            gain = (worth - 4) * (worth - 2) * most / ((most - 4) * (most - 2) * worth)
            rectify = gain**0.5
        return {
            **numbers,
            "lr": float(group["lr"]),
            "correction1": 1 - beta1**step,
            "correction2": correction,
            "rectify": rectify,
        }


def _averages(group: dict[str, Any]) -> dict[str, float]:
    beta1, beta2 = group["betas"]
    return {"beta1": float(beta1), "beta2": float(beta2), "eps": float(group["eps"])}


def _check(name: str, lr: Any, betas: Any, eps: float, weight_decay: float) -> None:
    check_rate(name, lr)
    check_not_negative("Invalid epsilon value", eps)
    check_betas(betas)
    check_not_negative("Invalid weight_decay value", weight_decay)
