"""LRScheduler: what every learning-rate schedule shares."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lucidlite.callsite import error
from lucidlite.notes import watch
from lucidlite.optim.optimizer import Optimizer
from lucidlite.tensor import Tensor


class LRScheduler:
    """Base class: sets ``group["lr"]`` of an optimizer's groups at the start and at every ``step``.

    A subclass defines ``get_lr()``, the rates at ``last_epoch``, usually from the current
    ``group["lr"]`` and from ``base_lrs`` (each group's "initial_lr", noted here the first time),
    and optionally ``_get_closed_form_lr()``, the same from ``base_lrs`` alone, for ``step(epoch)``.
    ``last_epoch=-1`` starts a schedule; another value resumes one and needs "initial_lr" in every
    group (KeyError). Rates are floats; an ``lr`` that is a Tensor is written in place.

    Call ``optimizer.step()`` first, then ``scheduler.step()``; UserWarning where the first calls
    come the other way round.

    Semantics: torch.optim.lr_scheduler.LRScheduler.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(optimizer)
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _rate(group))
            elif "initial_lr" not in group:
                raise error(
                    KeyError,
                    f"param 'initial_lr' is not specified in param_groups[{number}] when resuming "
                    f"a scheduler, got last_epoch={last_epoch}: load the optimizer's state first",
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr: list[float] = []
        self._start()

    def _start(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_last_lr(self) -> list[float]:
        """The rates now in force, one for each group."""
        return self._last_lr

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``. For subclasses to define; users want ``get_last_lr``."""
        raise error(NotImplementedError, f"{type(self).__name__}: define get_lr()")

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch (or batch) of the schedule and set the rates.

        ``epoch``, as in PyTorch deprecated (UserWarning), jumps there instead.
        """
        self._check_place()
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first value "
                "of the schedule is skipped. Call optimizer.step() first.",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            self._warn_of_epoch()
        self._update_lr(epoch)

    @staticmethod
    def _warn_of_epoch() -> None:
        warnings.warn(
            "The epoch parameter in `scheduler.step()` is deprecated: call step() without it.",
            UserWarning,
            stacklevel=3,
        )

    def _check_place(self) -> None:
        """A step of a schedule inside a CUDA graph would happen once, while it is captured."""
        if watch.notes is not None and not self._is_initial:
            raise error(
                RuntimeError,
                "make_graphed_step: a captured step can't change learning rates; call "
                f"{type(self).__name__}.step() after it, and the next one has the new rates",
            )

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._stepping():
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                rates = getattr(self, "_get_closed_form_lr", self.get_lr)()
        self._put(rates)

    def _put(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            self._assign(group, rate)
        self._last_lr = self._rates()

    @staticmethod
    def _assign(group: dict[str, Any], rate: float) -> None:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(float(rate))
        else:
            group["lr"] = rate

    @contextmanager
    def _stepping(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _rates(self) -> list[float]:
        return [_rate(group) for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [rate * factor for rate in self._rates()]

    def _warn_unless_stepping(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, use `get_last_lr()`: "
                "get_lr() computes the next one.",
                UserWarning,
                stacklevel=3,
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, under PyTorch's names."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a ``state_dict()``; the rates themselves are in the optimizer's."""
        self.__dict__.update(state_dict)


_LRScheduler = LRScheduler  # its name in scripts of before 2022


def check_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer itself; TypeError for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise error(TypeError, f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def per_group(name: str, groups: list[dict[str, Any]], value: Any) -> list[float]:
    """A value for each group, from one for all or a list; ValueError for a list too long."""
    if not isinstance(value, list | tuple):
        return [value] * len(groups)
    if len(value) != len(groups):
        raise error(
            ValueError,
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} "
            f"values, param_groups has {len(groups)}.",
        )
    return list(value)


def has_betas(optimizer: Optimizer) -> bool:
    """Whether the optimizer's momentum is its first beta; ValueError without any."""
    options = optimizer.defaults
    if "momentum" not in options and "betas" not in options:
        raise error(
            ValueError,
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled, "
            f"got {type(optimizer).__name__}",
        )
    return "betas" in options


def set_momentum(group: dict[str, Any], value: float, beta: bool) -> None:
    """Write a group's momentum, or its first beta."""
    if beta:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def _rate(group: dict[str, Any]) -> float:
    lr = group["lr"]
    return float(lr) if isinstance(lr, Tensor) else lr
