"""Schedules made of other schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.lr_scheduler.base import LRScheduler, check_optimizer
from lucidlite.optim.lr_scheduler.plateau import ReduceLROnPlateau
from lucidlite.optim.optimizer import Optimizer


class _Composite(LRScheduler):
    """What schedules made of others share."""

    _schedulers: Sequence[LRScheduler]

    def _check(self, optimizer: Optimizer, schedulers: Sequence[Any]) -> None:
        name = type(self).__name__
        for number, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise error(
                    TypeError,
                    f"{name} at index {number} should have `optimizer` as its attribute, "
                    f"got {type(scheduler).__name__}",
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise error(
                    ValueError,
                    f"{name} does not support ReduceLROnPlateau, whose step needs a metric, "
                    f"got one at index {number}",
                )
            if scheduler.optimizer is not optimizer:
                raise error(
                    ValueError,
                    f"{name} expects all schedulers to belong to the same optimizer, "
                    f"got another one's at index {number}",
                )

    def _undo(self) -> None:
        for scheduler in self._schedulers:
            if isinstance(scheduler, _Composite):
                scheduler._undo()
            else:
                scheduler.last_epoch -= 1

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        for scheduler, saved in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        super().load_state_dict(state)


class SequentialLR(_Composite):
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
        self._check(optimizer, schedulers)
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

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch. ``epoch`` can't be given (TypeError)."""
        if epoch is not None:
            raise error(TypeError, f"SequentialLR: step takes no epoch, got epoch={epoch}")
        self._check_place()
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composite):
    """Several schedules at once: every step is one of each, in order, on the same rates.

    All belong to ``optimizer`` (the first one's, where None), or ValueError.

    >>> import lucidlite
    >>> from lucidlite.optim import lr_scheduler
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=1.0)
    >>> warm_up = lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> decay = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> schedule = lr_scheduler.ChainedScheduler([warm_up, decay])
    >>> for epoch in range(3):
    ...     print(schedule.get_last_lr()); optimizer.step(); schedule.step()
    [0.5]
    [0.25]
    [0.25]

    Semantics: torch.optim.lr_scheduler.ChainedScheduler.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise error(
                ValueError,
                "ChainedScheduler expects at least one scheduler to be chained, got none",
            )
        if optimizer is None:
            optimizer = getattr(schedulers[0], "optimizer", None)
        self._check(optimizer, schedulers)  # type: ignore[arg-type]  # None only with a wrong one
        self._schedulers = schedulers
        self.optimizer = schedulers[0].optimizer
        self._last_lr = self._rates()

    def step(self, epoch: int | None = None) -> None:
        """One step of each schedule. ``epoch`` can't be given (TypeError)."""
        if epoch is not None:
            raise error(TypeError, f"ChainedScheduler: step takes no epoch, got epoch={epoch}")
        self._check_place()
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._rates()
