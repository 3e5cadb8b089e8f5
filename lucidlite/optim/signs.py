"""Rprop, which looks at signs, and ASGD, which averages: both for whole batches."""

from __future__ import annotations

from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.by_rule import RuleOptimizer
from lucidlite.optim.optimizer import Params
from lucidlite.optim.options import check_not_negative, check_rate
from lucidlite.optim.state import host_number
from lucidlite.tensor import Tensor


class Rprop(RuleOptimizer):
    """Steps by the gradient's sign: longer while it stays the same, shorter where it turns.

    Every element has a step size of its own, first ``lr``; ``etas`` multiply it where the sign
    turned and where it stayed, between the two ``step_sizes``. Where it turned nothing moves.
    ``maximize`` climbs. Raises ValueError for options out of range. ``foreach`` changes nothing;
    ``capturable`` and ``differentiable`` raise RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.Rprop([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); w
    tensor([ 0.5000, -1.5000], requires_grad=True)

    Semantics: torch.optim.Rprop (Riedmiller and Braun 1993).
    """

    _rule = "rprop"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate("Rprop", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise error(ValueError, f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:  # noqa: ARG002
        return ("prev", "step_size")

    def _first(self, name: str, group: dict[str, Any]) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:  # noqa: ARG002
        slower, faster = group["etas"]
        least, most = group["step_sizes"]
        return {"slower": slower, "faster": faster, "least": least, "most": most}


class ASGD(RuleOptimizer):
    """Descent at a falling rate, and the average of the parameters on the way (state "ax").

    The rate is lr / (1 + lambd lr t)^alpha; the average runs from step ``t0`` on, the last value
    before. p decays by lambd times the rate; ``weight_decay`` adds weight_decay * p to g;
    ``maximize`` climbs. Raises ValueError for negative lr or weight_decay. ``foreach`` changes
    nothing; ``capturable`` and ``differentiable`` raise RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.ASGD([w], lr=0.25, lambd=0)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); w.tolist(), optimizer.state[w]["ax"].tolist()
    ([0.5, -1.0], [0.5, -1.0])

    Semantics: torch.optim.ASGD (Polyak and Juditsky 1992).
    """

    _rule = "asgd"
    _scalars = (("eta", 0.0), ("mu", 1.0))
    _host_state = frozenset({"step", "eta", "mu"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_rate("ASGD", lr)
        check_not_negative("Invalid weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _begin(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        new = not self.state[p]
        state = super()._begin(p, group)
        if new:
            state["eta"].array[...] = float(group["lr"])
        return state

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:  # noqa: ARG002
        return ("ax",)

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:
        eta, mu = state["eta"].array, state["mu"].array
        lambd, lr = float(group["lambd"]), float(group["lr"])
        numbers = {"eta": float(eta), "mu": float(mu), "lambd": lambd}
        # Rounded to the default dtype on their way, whatever dtype a checkpoint gave them.
        eta[...] = host_number(lr / (1 + lambd * lr * step) ** float(group["alpha"])).array
        mu[...] = host_number(1 / max(1, step - float(group["t0"]))).array
        return numbers
