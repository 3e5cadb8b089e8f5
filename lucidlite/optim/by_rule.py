"""What the optimizers share whose step is one of the backend's rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from lucidlite.optim.optimizer import Optimizer
from lucidlite.optim.options import compute_loss
from lucidlite.optim.state import host_number, state_like
from lucidlite.tensor import Tensor


class RuleOptimizer(Optimizer):
    """Base: a subclass names its rule, its state and the numbers of a step.

    ``_rule`` is a name in ``backends.kernels.optim_rules``. State is made at a parameter's first
    step: "step", the scalars, and arrays like the parameter.
    """

    _rule = ""
    # Scalars beside "step" that are read and written on the host, and their first values.
    _scalars: tuple[tuple[str, float], ...] = ()

    def _arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        """The names of the rule's state arrays, in its order; None for one not wanted."""
        raise NotImplementedError

    def _numbers(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:
        """The numbers of step number ``step`` (the first is 1)."""
        raise NotImplementedError

    def _first(self, name: str, group: dict[str, Any]) -> float:  # noqa: ARG002
        """What a state array is full of at first."""
        return 0.0

    def _begin(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter, with whatever it lacks made."""
        state: dict[str, Any] = self.state[p]
        if not state:
            state["step"] = host_number(0.0)
            for name, value in self._scalars:
                state[name] = host_number(value)
        for array in self._arrays(group):
            if array is not None and array not in state:
                state[array] = state_like(p, self._first(array, group))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for entry in self.state.values():
            for name in ("step", *(name for name, _ in self._scalars)):
                if isinstance(entry.get(name), int | float):  # as old checkpoints have them
                    entry[name] = host_number(entry[name])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns the closure's loss."""
        loss = compute_loss(closure)
        for group in self.param_groups:
            decay = float(group["weight_decay"]) if "weight_decay" in self.defaults else 0.0
            options = {"weight_decay": decay, "maximize": group["maximize"]}
            if group.get("decoupled_weight_decay"):
                options["weight_decay"] = 0.0
                options["shrink"] = 1 - float(group["lr"]) * decay
            steps: defaultdict[Any, list[Any]] = defaultdict(list)
            written: list[Tensor] = []
            for p in group["params"]:
                grad = p.grad
                if grad is None:
                    continue
                state = self._begin(p, group)
                written += [p, *(value for value in state.values() if isinstance(value, Tensor))]
                number = float(state["step"].array) + 1.0
                state["step"].array[...] = number
                arrays = [None if n is None else state[n].array for n in self._arrays(group)]
                numbers = self._numbers(group, state, number)
                steps[p.backend].append((p.array, grad.array, arrays, numbers))
            try:
                for backend, items in steps.items():
                    backend.rule_steps(self._rule, items, **options)
            finally:  # a step that is interrupted has written too
                for tensor in written:
                    tensor.bump_version()
        return loss
