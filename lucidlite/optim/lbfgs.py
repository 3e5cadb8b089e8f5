"""L-BFGS: a quasi-Newton method that looks at the loss several times in a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import zeros_like
from lucidlite.grad_mode import enable_grad, no_grad
from lucidlite.ops.join import cat
from lucidlite.optim.optimizer import Optimizer, Params
from lucidlite.optim.options import check_rate
from lucidlite.optim.wolfe import strong_wolfe
from lucidlite.tensor import Tensor


class LBFGS(Optimizer):
    """Steps along the gradient times an inverse Hessian guessed from the last gradients.

    ``step(closure)`` needs the closure: it calls it up to ``max_eval`` times (default
    max_iter * 5 / 4) in up to ``max_iter`` iterations, and stops where the largest gradient is
    at most ``tolerance_grad`` or loss or parameters change by less than ``tolerance_change``.
    ``history_size`` past steps are kept, each as large as all parameters. ``line_search_fn`` is
    "strong_wolfe", or None for steps of ``lr``. One parameter group, on one device (ValueError).

    >>> import lucidlite
    >>> w = lucidlite.tensor([3.0, -2.0], requires_grad=True)
    >>> optimizer = lucidlite.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2 * lucidlite.tensor([1.0, 10.0])).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    94.0
    >>> bool(lucidlite.allclose(w, lucidlite.ones(2), atol=1e-4))
    True

    Semantics: torch.optim.LBFGS (Nocedal and Wright 2006, algorithm 7.4; minFunc's line search).
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_rate("LBFGS", lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise error(
                ValueError,
                "LBFGS doesn't support per-parameter options (parameter groups), "
                f"got {len(self.param_groups)} groups",
            )

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]  # as PyTorch's
        """Minimize from here; returns the loss before. ``closure`` computes loss and gradients."""
        if len(self.param_groups) != 1:
            raise error(
                AssertionError, f"LBFGS: expected one param_group, got {len(self.param_groups)}"
            )
        if not callable(closure):
            raise error(
                TypeError,
                "LBFGS: step needs a closure that computes the loss and its gradients, "
                f"got {type(closure).__name__}",
            )
        (group,) = self.param_groups
        search = group["line_search_fn"]
        if search not in (None, "strong_wolfe"):
            raise error(
                RuntimeError, f"only 'strong_wolfe' is supported, got line_search_fn={search!r}"
            )
        run = _Run(group, self.state[group["params"][0]], enable_grad()(closure))
        return run.minimize()


class _Run:
    """One call of ``step``. All state is the first parameter's, under PyTorch's names."""

    def __init__(self, group: dict[str, Any], state: dict[str, Any], closure: Any) -> None:
        self.group, self.state, self.closure = group, state, closure
        self.params: list[Tensor] = group["params"]
        self.lr = float(group["lr"])
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

    def minimize(self) -> Any:
        state, group = self.state, self.group
        tolerance = group["tolerance_change"]
        first_loss = self.closure()
        loss = float(first_loss)
        calls = 1
        state["func_evals"] += 1
        grad = self.gradient()
        if self.flat_enough(grad):
            return first_loss
        done = 0
        d, t, before = state.get("d"), state.get("t"), state.get("prev_loss")
        while done < group["max_iter"]:
            done += 1
            state["n_iter"] += 1
            d = self.direction(grad, d, t)
            if state.get("prev_flat_grad") is None:
                state["prev_flat_grad"] = grad.clone()
            else:
                state["prev_flat_grad"].copy_(grad)
            before = loss
            t = self.lr
            if state["n_iter"] == 1:  # nothing is known of the scale yet
                most_first: Any = 1.0 / grad.abs().sum()
                t = min(1.0, most_first) * self.lr
            slope = grad.dot(d)
            if slope > -tolerance:
                break
            used, still = 0, False
            if group["line_search_fn"] is not None:
                start = [p.detach().clone() for p in self.params]

                def look(t: Any, d: Tensor = d, start: list[Tensor] = start) -> Any:
                    self.move(t, d)
                    found = float(self.closure()), self.gradient()
                    for p, value in zip(self.params, start, strict=True):
                        p.copy_(value)
                    return found

                most = group["max_eval"] - calls
                loss, grad, t, used = strong_wolfe(look, t, d, loss, grad, slope, most)
                self.move(t, d)
                still = self.flat_enough(grad)
            else:
                self.move(t, d)
                if done != group["max_iter"]:  # nobody would look at it after the last
                    loss = float(self.closure())
                    grad = self.gradient()
                    still = self.flat_enough(grad)
                    used = 1
            calls += used
            state["func_evals"] += used
            if done == group["max_iter"] or calls >= group["max_eval"] or still:
                break
            if (d * t).abs().max() <= tolerance or abs(loss - before) < tolerance:
                break
        state.update(d=d, t=t, prev_loss=before)
        return first_loss

    def gradient(self) -> Tensor:
        """All gradients in one vector; zeros for a parameter without one."""
        grads = [zeros_like(p) if p.grad is None else p.grad.detach() for p in self.params]
        return cat([g.reshape(-1) for g in grads], 0)

    def flat_enough(self, grad: Tensor) -> bool:
        return bool(grad.abs().max() <= self.group["tolerance_grad"])

    def move(self, t: Any, d: Tensor) -> None:
        """All parameters by ``t`` times the direction."""
        start = 0
        for p in self.params:
            part = d[start : start + p.numel()].reshape(p.shape)
            p.add_(part * t)
            start += p.numel()

    def direction(self, grad: Tensor, d: Any, t: Any) -> Tensor:
        """Minus the guessed inverse Hessian times ``grad``; ``d`` and ``t`` made the last step."""
        state = self.state
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -grad
        changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y = grad - state["prev_flat_grad"]
        s = d * t
        curvature = y.dot(s)
        if curvature > 1e-10:
            if len(changes) == self.group["history_size"]:
                for past in (changes, steps, ro):
                    past.pop(0)
            changes.append(y)
            steps.append(s)
            ro.append(1.0 / curvature)
            state["H_diag"] = curvature / y.dot(y)
        al = state.setdefault("al", [None] * self.group["history_size"])
        q = -grad
        for i in reversed(range(len(changes))):
            al[i] = steps[i].dot(q) * ro[i]
            q.sub_(changes[i] * al[i])
        q.mul_(state["H_diag"])
        for i, (y, s) in enumerate(zip(changes, steps, strict=True)):
            q.add_(s * (al[i] - y.dot(q) * ro[i]))
        return q
