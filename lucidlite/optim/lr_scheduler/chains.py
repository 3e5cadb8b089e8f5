"""Schedules made of other schedules, or of a measured value."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.lr_scheduler.base import LRScheduler, check_optimizer
from lucidlite.optim.optimizer import Optimizer


class SequentialLR(LRScheduler):
    """One schedule after another: at each epoch in ``milestones`` the next one starts.

    ``schedulers`` all belong to ``optimizer`` and are one more than the milestones (ValueError).

    >>> import lucidlite
    >>> from lucidlite.optim import lr_scheduler
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=1.0)
    >>> warm_up = lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> decay = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> schedule = lr_scheduler.SequentialLR(optimizer, [warm_up, decay], milestones=[2])
    >>> for epoch in range(4):
    ...     print(schedule.get_last_lr()); optimizer.step(); schedule.step()
    [0.5]
    [0.75]
    [1.0]
    [0.5]

    Semantics: torch.optim.lr_scheduler.SequentialLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        if not schedulers:
            raise error(ValueError, "SequentialLR expects at least one scheduler, got none")
        for number, scheduler in enumerate(schedulers):
            if isinstance(scheduler, ReduceLROnPlateau):
                raise error(
                    ValueError,
                    "SequentialLR does not support ReduceLROnPlateau, whose step needs a metric, "
                    f"got one at index {number}",
                )
            if scheduler.optimizer is not optimizer:
                raise error(
                    ValueError,
                    "SequentialLR expects all schedulers to belong to the same optimizer, "
                    f"got another one's at index {number}",
                )
        if len(milestones) != len(schedulers) - 1:
            raise error(
                ValueError,
                "SequentialLR expects one scheduler more than milestones, "
                f"got {len(schedulers)} schedulers and {len(milestones)} milestones",
            )
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # Every schedule set its own first rate when it was made: start over from the initial ones.
        for group in optimizer.param_groups:
            self._assign(group, group["initial_lr"])
        self._undo()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def _undo(self) -> None:
        for scheduler in self._schedulers:
            if isinstance(scheduler, SequentialLR):
                scheduler._undo()
            else:
                scheduler.last_epoch -= 1

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch. ``epoch`` can't be given (TypeError)."""
        if epoch is not None:
            raise error(TypeError, f"SequentialLR: step takes no epoch, got epoch={epoch}")
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        for scheduler, saved in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        super().load_state_dict(state)


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
        self.min_lrs = lows
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self.last_epoch = 0
        self._last_lr = self._rates()

    def step(self, metrics: Any) -> None:  # type: ignore[override]  # as PyTorch's
        """Take the latest value (a number or 1-element Tensor); shrink the rates if it is time."""
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            pairs = zip(self.optimizer.param_groups, self.min_lrs, strict=True)
            for (group, low), rate in zip(pairs, self._rates(), strict=True):
                new = max(rate * self.factor, low)
                if rate - new > self.eps:
                    self._assign(group, new)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _is_better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            bound = self.best * (1.0 + sign * self.threshold)
        else:
            bound = self.best + sign * self.threshold
        return value > bound if self.mode == "max" else value < bound
