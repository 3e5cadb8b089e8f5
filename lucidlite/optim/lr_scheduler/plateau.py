"""A schedule that follows a measured value."""

from __future__ import annotations

import math
from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.lr_scheduler.base import LRScheduler, check_optimizer
from lucidlite.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rates by ``factor`` when the value given to ``step`` stopped getting better.

    ``mode`` "min" or "max" says what better is; a value is better by more than ``threshold``, a
    fraction of the best ("rel") or an amount ("abs"). After more than ``patience`` steps without
    one, the rates shrink, not below ``min_lr`` (a number, or one per group) nor by less than
    ``eps``, and ``cooldown`` steps pass before counting again.

    >>> import lucidlite
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=1.0)
    >>> schedule = lucidlite.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     optimizer.step(); schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]

    Semantics: torch.optim.lr_scheduler.ReduceLROnPlateau.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        groups = len(optimizer.param_groups)
        lows = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        if factor >= 1.0:
            raise error(ValueError, f"Factor should be < 1.0, got factor={factor}")
        if len(lows) != groups:
            raise error(ValueError, f"expected {groups} min_lrs, got {len(lows)}")
        if mode not in ("min", "max"):
            raise error(ValueError, f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise error(ValueError, f"threshold mode {threshold_mode} is unknown!")
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = lows
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = 0
        self._last_lr = self._rates()
        self._reset()

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether steps pass without counting."""
        return self.cooldown_counter > 0

    def step(  # type: ignore[override]  # as PyTorch's
        self, metrics: Any, epoch: int | None = None
    ) -> None:
        """Take the latest value (a number or 1-element Tensor); shrink the rates if it is time.

        ``epoch`` sets ``last_epoch``; as in PyTorch it is deprecated (UserWarning).
        """
        self._check_place()
        value = float(metrics)
        if epoch is not None:
            self._warn_of_epoch()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):  # groups were added since
            if self.default_min_lr is None:
                raise error(
                    RuntimeError,
                    f"ReduceLROnPlateau: the optimizer has {len(groups)} param groups, expected "
                    f"{len(self.min_lrs)} as min_lrs has: append the new group's",
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, low, rate in zip(groups, self.min_lrs, self._rates(), strict=True):
            new = max(rate * self.factor, low)
            if rate - new > self.eps:
                self._assign(group, new)

    def _is_better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            bound = self.best * (1.0 + sign * self.threshold)
        else:
            bound = self.best + sign * self.threshold
        return value > bound if self.mode == "max" else value < bound
