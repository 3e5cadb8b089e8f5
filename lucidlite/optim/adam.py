"""Adam and AdamW."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.optimizer import Optimizer, Params
from lucidlite.optim.options import check_betas, check_not_negative, check_rate, compute_loss
from lucidlite.optim.state import host_number, state_like
from lucidlite.tensor import Tensor


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr * mhat / (sqrt(vhat) + eps), where
    mhat = m / (1 - b1^t), vhat = v / (1 - b2^t). ``weight_decay`` adds weight_decay * p to g (an L2
    penalty), or shrinks p by lr * weight_decay itself with ``decoupled_weight_decay``, which is
    AdamW. ``amsgrad`` divides by the largest v so far. ``maximize`` climbs instead. Parameters
    without a gradient are skipped. Raises ValueError for options out of range.

    ``foreach`` and ``fused`` change nothing (every step is fused already);
    ``capturable=True`` and ``differentiable=True`` raise RuntimeError.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step(); w
    tensor([ 0.5000, -1.5000], requires_grad=True)

    Semantics: torch.optim.Adam (Kingma and Ba 2015, Reddi et al. 2018 for amsgrad).
    """

    _by_backend = True

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        name = type(self).__name__
        check_rate(name, lr)
        check_not_negative("Invalid epsilon value", eps)
        check_betas(betas)
        for option, values in (("lr", (lr,)), ("betas[0]", betas)):
            if foreach and isinstance(values[0], Tensor):
                raise error(
                    ValueError,
                    f"{option} as a Tensor is not supported for capturable=False and foreach=True",
                )
        check_not_negative("Invalid weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for entry in self.state.values():
            # Old checkpoints count steps with a plain number.
            if isinstance(entry, dict) and isinstance(entry.get("step"), int | float):
                entry["step"] = host_number(entry["step"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns the closure's loss."""
        loss = compute_loss(closure)
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            options: dict[str, Any] = {
                "lr": float(group["lr"]),
                "beta1": float(beta1),
                "beta2": float(beta2),
                "eps": float(group["eps"]),
                "weight_decay": float(group["weight_decay"]),
                "decoupled": group["decoupled_weight_decay"],
                "maximize": group["maximize"],
            }
            steps: defaultdict[Any, list[Any]] = defaultdict(list)
            written = []
            for p in group["params"]:
                grad = p.grad
                if grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = host_number(0.0)
                    state["exp_avg"] = state_like(p)
                    state["exp_avg_sq"] = state_like(p)
                    if group["amsgrad"]:
                        state["max_exp_avg_sq"] = state_like(p)
                counter = state["step"]
                mean, square = state["exp_avg"], state["exp_avg_sq"]
                largest = state["max_exp_avg_sq"] if group["amsgrad"] else None
                number = float(counter.array) + 1.0
                counter.array[...] = number
                written += [p, counter, mean, square]
                if largest is not None:
                    written.append(largest)
                largest_array = None if largest is None else largest.array
                steps[p.backend].append(
                    (p.array, grad.array, mean.array, square.array, largest_array, number)
                )
            try:
                for backend, items in steps.items():
                    backend.adam_steps(items, **options)
            finally:  # a step that is interrupted has written too
                for tensor in written:
                    tensor.bump_version()
        return loss


class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr * weight_decay, outside the averages.

    Arguments as in Adam, with ``weight_decay`` 0.01 by default.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.AdamW([w], lr=0.5, weight_decay=0.2)
    >>> w.sum().backward()
    >>> optimizer.step(); round(w.item(), 4)
    0.4

    Semantics: torch.optim.AdamW (Loshchilov and Hutter 2019).
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            # Whatever the checkpoint's optimizer did, this one decouples.
            group["decoupled_weight_decay"] = True
