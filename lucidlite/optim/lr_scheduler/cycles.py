"""Schedules that start over: the cyclic schedule and the cosine with warm restarts."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.lr_scheduler.base import (
    LRScheduler,
    check_optimizer,
    has_betas,
    per_group,
    set_momentum,
)
from lucidlite.optim.optimizer import Optimizer

# Mode: what x, the number of the cycle (or of the step), makes of the height, and which x is meant.
_MODES: dict[str, tuple[Callable[[float, float], float], str]] = {
    "triangular": (lambda x, gamma: 1.0, "cycle"),  # noqa: ARG005
    "triangular2": (lambda x, gamma: 1 / 2.0 ** (x - 1), "cycle"),  # noqa: ARG005
    "exp_range": (lambda x, gamma: gamma**x, "iterations"),
}


class CyclicLR(LRScheduler):
    """From ``base_lr`` up to ``max_lr`` and back, over and over; step it after every batch.

    A cycle has ``step_size_up`` steps up and ``step_size_down`` down (as many, where None).
    ``mode``: "triangular", "triangular2" (half as high each cycle) or "exp_range" (times
    gamma^step); or a ``scale_fn`` of one's own, of the cycle's or the step's number, as
    ``scale_mode`` "cycle" or "iterations" says. ``cycle_momentum`` moves momentum (or Adam's first
    beta) the other way, between ``max_momentum`` and ``base_momentum``. Rates and momenta may be
    lists, one value per group. Raises ValueError for an unknown mode and without a momentum.

    >>> import lucidlite
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=0.1, momentum=0.9)
    >>> schedule = lucidlite.optim.lr_scheduler.CyclicLR(optimizer, 0.5, 1.0, step_size_up=2)
    >>> for batch in range(4):
    ...     optimizer.step(); schedule.step(); print(schedule.get_last_lr())
    [0.75]
    [1.0]
    [0.75]
    [0.5]

    Semantics: torch.optim.lr_scheduler.CyclicLR (Smith 2017).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        groups = check_optimizer(optimizer).param_groups
        lows = per_group("base_lr", groups, base_lr)
        if last_epoch == -1:
            for low, group in zip(lows, groups, strict=True):
                self._assign(group, low)
        self.max_lrs = per_group("max_lr", groups, max_lr)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        if mode not in _MODES and scale_fn is None:
            raise error(ValueError, f"mode is invalid and scale_fn is None, got mode={mode!r}")
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else _MODES[mode][1]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = has_betas(optimizer)
            self.base_momentums = per_group("base_momentum", groups, base_momentum)
            self.max_momentums = per_group("max_momentum", groups, max_momentum)
            if last_epoch == -1:
                moments = zip(self.base_momentums, self.max_momentums, strict=True)
                for (low, high), group in zip(moments, groups, strict=True):
                    set_momentum(group, high, self.use_beta1)
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def scale_fn(self, x: float) -> float:
        """What the height of cycle (or step) number ``x`` is multiplied by."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return _MODES[self.mode][0](x, self.gamma)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        part = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            moments = zip(self.base_momentums, self.max_momentums, strict=True)
            for (low, high), group in zip(moments, self.optimizer.param_groups, strict=True):
                set_momentum(group, high - (high - low) * part * scale, self.use_beta1)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * part * scale for low, high in pairs]

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        own = state["_scale_fn_custom"]
        kept = own is not None and not isinstance(own, types.FunctionType)
        state["_scale_fn_custom"] = dict(own.__dict__) if kept else None
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        saved = state.pop("_scale_fn_custom")
        super().load_state_dict(state)
        if saved is not None:
            self._scale_fn_custom.__dict__.update(saved)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the initial rates to ``eta_min``, then from the top again.

    The first fall takes ``T_0`` epochs, each later one ``T_mult`` times as many. ``step(epoch)``
    goes to any epoch, also between two (``epoch + batch / batches``). Raises ValueError where T_0
    or T_mult isn't a positive integer.

    >>> import lucidlite
    >>> from lucidlite.optim import lr_scheduler
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=1.0)
    >>> schedule = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> for epoch in range(3):
    ...     optimizer.step(); schedule.step(); print(round(schedule.get_last_lr()[0], 6))
    0.5
    1.0
    0.5

    Semantics: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts (Loshchilov and Hutter 2017).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise error(ValueError, f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise error(ValueError, f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, int | float):
            raise error(
                ValueError,
                f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}",
            )
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to ``epoch``, which may be a fraction (not negative)."""
        self._check_place()
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise error(ValueError, f"Expected non-negative epoch, but got {epoch}")
            self._jump(epoch)
        self.last_epoch = math.floor(epoch)
        with self._stepping():
            rates = self.get_lr()
        self._put(rates)

    def _jump(self, epoch: float) -> None:
        first, times = self.T_0, self.T_mult
        if epoch < first:
            self.T_i, self.T_cur = first, epoch
        elif times == 1:
            self.T_cur = epoch % first
        else:
            falls = int(math.log(epoch / first * (times - 1) + 1, times))
            self.T_cur = epoch - first * (times**falls - 1) / (times - 1)
            self.T_i = first * times**falls
