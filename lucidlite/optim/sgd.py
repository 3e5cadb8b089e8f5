"""Stochastic gradient descent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.optimizer import Optimizer, Params
from lucidlite.optim.options import check_not_negative, check_rate, compute_loss
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Nesterov's too) and weight decay.

    g = grad + weight_decay * p;  b = momentum * b + (1 - dampening) * g (the first time b = g);
    p -= lr * b, or lr * (g + momentum * b) with ``nesterov``. ``maximize`` climbs instead.
    Parameters without a gradient are skipped. Options may differ by group. Raises ValueError for
    negative options and for nesterov without momentum or with dampening.

    ``foreach`` and ``fused`` change nothing (every step is fused already);
    ``differentiable=True`` raises RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=0.5, momentum=0.9)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); w.tolist()
    [0.0, 0.0]

    Semantics: torch.optim.SGD.
    """

    _by_backend = True

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate("SGD", lr)
        check_not_negative("Invalid momentum value", momentum)
        check_not_negative("Invalid weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise error(
                ValueError,
                "Nesterov momentum requires a momentum and zero dampening, "
                f"got momentum={momentum}, dampening={dampening}",
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns the closure's loss."""
        loss = compute_loss(closure)
        for group in self.param_groups:
            options: dict[str, Any] = {
                "lr": float(group["lr"]),
                "momentum": float(group["momentum"]),
                "dampening": float(group["dampening"]),
                "weight_decay": float(group["weight_decay"]),
                "nesterov": group["nesterov"],
                "maximize": group["maximize"],
            }
            steps: defaultdict[Any, list[Any]] = defaultdict(list)
            written = []
            for p in group["params"]:
                grad = p.grad
                if grad is None:
                    continue
                written.append(p)
                array, first = None, False
                if options["momentum"]:
                    state = self.state[p]
                    buffer = state.get("momentum_buffer")
                    first = buffer is None
                    if buffer is None:
                        empty = p.backend.xp.empty_like(p.array, order="C")
                        buffer = state["momentum_buffer"] = wrap(empty, p.backend)
                    written.append(buffer)
                    array = buffer.array
                steps[p.backend].append((p.array, grad.array, array, first))
            try:
                for backend, items in steps.items():
                    backend.sgd_steps(items, **options)
            finally:  # a step that is interrupted has written too
                for tensor in written:
                    tensor.bump_version()
        return loss
