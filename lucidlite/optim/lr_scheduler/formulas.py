"""Schedules that are formulas of the epoch, by PyTorch's recurrences: rates agree to the bit."""

from __future__ import annotations

import math
import types
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.optim.lr_scheduler.base import LRScheduler, check_optimizer
from lucidlite.optim.optimizer import Optimizer


class _ByFunction(LRScheduler):
    """Rates by functions of the epoch, one for all groups or one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(check_optimizer(optimizer).param_groups)
        given = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(given) != groups:
            raise error(ValueError, f"Expected {groups} lr_lambdas, but got {len(given)}")
        for function in given:
            if not callable(function):
                raise error(
                    TypeError,
                    f"lr_lambda should be a function, but got {type(function).__name__}",
                )
        self.lr_lambdas: list[Any] = given
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["lr_lambdas"] = [
            None if isinstance(f, types.FunctionType) else dict(f.__dict__) for f in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        for function, saved in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if saved is not None:
                function.__dict__.update(saved)
        super().load_state_dict(state)


class LambdaLR(_ByFunction):
    """Each group's initial rate times ``lr_lambda(last_epoch)`` (one function, or one per group).

    Functions are not part of ``state_dict()``; callable objects are, through their ``__dict__``.
    Semantics: torch.optim.lr_scheduler.LambdaLR.
    """

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        pairs = zip(self.lr_lambdas, self.base_lrs, strict=True)
        return [base * function(self.last_epoch) for function, base in pairs]


class MultiplicativeLR(_ByFunction):
    """Each group's rate so far times ``lr_lambda(last_epoch)`` (one function, or one per group).

    State as in LambdaLR. Semantics: torch.optim.lr_scheduler.MultiplicativeLR.
    """

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        if self._is_initial:
            return self._rates()
        pairs = zip(self.lr_lambdas, self._rates(), strict=True)
        return [rate * function(self.last_epoch) for function, rate in pairs]


class StepLR(LRScheduler):
    """Multiply the rates by ``gamma`` every ``step_size`` epochs.

    >>> import lucidlite
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=1.0)
    >>> scheduler = lucidlite.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for epoch in range(4):
    ...     optimizer.step(); scheduler.step(); print(scheduler.get_last_lr())
    [1.0]
    [0.5]
    [0.5]
    [0.25]

    Semantics: torch.optim.lr_scheduler.StepLR.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._rates()
        return self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[float]:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base * factor for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Multiply the rates by ``gamma`` at each epoch in ``milestones`` (a repeat counts again).

    Semantics: torch.optim.lr_scheduler.MultiStepLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        if self.last_epoch not in self.milestones:
            return self._rates()
        return self._scaled(self.gamma ** self.milestones[self.last_epoch])

    def _get_closed_form_lr(self) -> list[float]:
        # A checkpoint may bring them back as a plain dict.
        passed = bisect_right(sorted(Counter(self.milestones).elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Multiply the rates by ``gamma`` every epoch.

    Semantics: torch.optim.lr_scheduler.ExponentialLR.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        return self._rates() if self._is_initial else self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rates to ``eta_min`` in ``T_max`` epochs (and back up after).

    Each rate follows from the one before, so that other changes to ``group["lr"]`` persist.

    >>> import lucidlite
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=1.0)
    >>> scheduler = lucidlite.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> for epoch in range(2):
    ...     optimizer.step(); scheduler.step(); print(round(scheduler.get_last_lr()[0], 6))
    0.5
    0.0

    Semantics: torch.optim.lr_scheduler.CosineAnnealingLR (Loshchilov and Hutter 2017, no restarts).
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        now, period, low = self.last_epoch, self.T_max, self.eta_min
        if self._is_initial:
            return self._rates()
        if self._step_count == 1 and now > 0:
            return self._get_closed_form_lr()
        if (now - 1 - period) % (2 * period) == 0:  # the rate before is eta_min: no ratio to take
            rise = (1 - math.cos(math.pi / period)) / 2
            pairs = zip(self.base_lrs, self._rates(), strict=True)
            return [rate + (base - low) * rise for base, rate in pairs]
        ratio = (1 + math.cos(math.pi * now / period)) / (
            1 + math.cos(math.pi * (now - 1) / period)
        )
        return [ratio * (rate - low) + low for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """``factor`` times the rates for the first ``total_iters`` epochs, the rates after them.

    Raises ValueError for a factor outside [0, 1]. Semantics: torch.optim.lr_scheduler.ConstantLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1.0:
            raise error(
                ValueError,
                "Constant multiplicative factor expected to be between 0 and 1, "
                f"got factor={factor}",
            )
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        return self._scaled(1.0 / self.factor if self.last_epoch == self.total_iters else 1.0)

    def _get_closed_form_lr(self) -> list[float]:
        factor = self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)
        return [base * factor for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """From the rates down to 0 in ``total_iters`` epochs: times (1 - epoch / total) ** ``power``.

    Each rate follows from the one before. Semantics: torch.optim.lr_scheduler.PolynomialLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        now, whole = self.last_epoch, self.total_iters
        if self._is_initial or now > whole:
            return self._rates()
        return self._scaled(((1.0 - now / whole) / (1.0 - (now - 1) / whole)) ** self.power)

    def _get_closed_form_lr(self) -> list[float]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


class LinearLR(LRScheduler):
    """Warm-up: the rates grow in a line from ``start_factor`` to ``end_factor`` times themselves.

    The line takes ``total_iters`` steps; the rates stay at its end after it. Raises ValueError for
    factors outside (0, 1] and [0, 1]. Semantics: torch.optim.lr_scheduler.LinearLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1.0:
            raise error(
                ValueError,
                "Starting multiplicative factor expected to be greater than 0 and less or equal "
                f"to 1, got start_factor={start_factor}",
            )
        if not 0 <= end_factor <= 1.0:
            raise error(
                ValueError,
                "Ending multiplicative factor expected to be between 0 and 1, "
                f"got end_factor={end_factor}",
            )
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1.0 + rise / before)

    def _get_closed_form_lr(self) -> list[float]:
        rise = self.end_factor - self.start_factor
        factor = (
            self.start_factor + rise * min(self.total_iters, self.last_epoch) / self.total_iters
        )
        return [base * factor for base in self.base_lrs]
