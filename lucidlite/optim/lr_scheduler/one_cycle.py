"""The one-cycle schedule."""

from __future__ import annotations

import math
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


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to ``max_lr``, then down to (initial lr) / final_div_factor.

    Step it after every batch: ``total_steps`` of them (or epochs * steps_per_epoch), of which the
    fraction ``pct_start`` goes up; one more raises ValueError. ``three_phase`` comes down to the
    initial rate as slowly as it went up, then anneals. ``anneal_strategy`` is "cos" or "linear".
    ``cycle_momentum`` moves momentum (or Adam's first beta) the other way, between ``max_momentum``
    and ``base_momentum``. ``max_lr`` and the momenta may be lists, one value per group.

    >>> import lucidlite
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=0.1, momentum=0.9)
    >>> schedule = lucidlite.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> for batch in range(9):
    ...     optimizer.step(); schedule.step()
    >>> round(schedule.get_last_lr()[0], 6)
    4e-06

    Semantics: torch.optim.lr_scheduler.OneCycleLR (Smith and Topin 2018).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        if total_steps is not None:
            self.total_steps = _positive("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            steps_per_epoch = _positive("steps_per_epoch", steps_per_epoch)
            self.total_steps = _positive("epochs", epochs) * steps_per_epoch
        else:
            raise error(
                ValueError, "You must define either total_steps OR (epochs AND steps_per_epoch)"
            )
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise error(
                ValueError, f"Expected float between 0 and 1 pct_start, but got {pct_start}"
            )
        if anneal_strategy not in ("cos", "linear"):
            raise error(
                ValueError,
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}",
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        groups = optimizer.param_groups
        peaks = per_group("max_lr", groups, max_lr)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = has_betas(optimizer)
            high = per_group("max_momentum", groups, max_momentum)
            low = per_group("base_momentum", groups, base_momentum)
        if last_epoch == -1:
            for number, group in enumerate(groups):
                group["initial_lr"] = peaks[number] / div_factor
                group["max_lr"] = peaks[number]
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group["max_momentum"] = high[number]
                    group["base_momentum"] = low[number]
                    set_momentum(group, high[number], self.use_beta1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        now = self.last_epoch
        if now > self.total_steps:
            raise error(
                ValueError,
                f"Tried to step {now} times. The specified number of total steps is "
                f"{self.total_steps}",
            )
        begin = 0.0
        phase = self._schedule_phases[-1]
        for phase in self._schedule_phases:
            if now <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            begin = phase["end_step"]
        length = phase["end_step"] - begin
        part = (now - begin) / length if length else 1.0  # a phase of one step is at its end
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group, phase["start_lr"], phase["end_lr"], part))
            if self.cycle_momentum:
                ends = phase["start_momentum"], phase["end_momentum"]
                set_momentum(group, self._anneal(group, *ends, part), self.use_beta1)
        return rates

    def _anneal(self, group: dict[str, Any], start: str, end: str, part: float) -> float:
        first, last = float(group[start]), float(group[end])
        if self._anneal_func_type == "linear":
            return (last - first) * part + first
        return last + (first - last) / 2.0 * (math.cos(math.pi * part) + 1)


def _phases(total_steps: int, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
    """Each phase: its last step, and the names of the group entries between which it moves."""
    peak = float(pct_start * total_steps) - 1
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    rows: list[tuple[Any, ...]]
    rows = [(peak, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
    if three_phase:
        back = float(2 * pct_start * total_steps) - 2
        rows += [
            (back, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
            (total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
        ]
    else:
        rows += [(total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise error(ValueError, f"Expected positive integer {name}, but got {value}")
    return value
