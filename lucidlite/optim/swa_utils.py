"""Averages of a model's weights over its training: SWA, and exponential averages (EMA)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import tensor
from lucidlite.dtypes import int64
from lucidlite.grad_mode import no_grad
from lucidlite.nn.module import Module
from lucidlite.nn.norm import _BatchNorm
from lucidlite.optim.lr_scheduler.base import LRScheduler, check_optimizer, per_group
from lucidlite.optim.optimizer import Optimizer
from lucidlite.tensor import Tensor

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Tensor, Tensor, Any], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``avg_fn`` for an exponential average: decay * average + (1 - decay) * value.

    Raises ValueError for a decay outside [0, 1]. Semantics: torch.optim.swa_utils.get_ema_avg_fn.
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(average: Tensor, value: Tensor, num_averaged: Any) -> Tensor:  # noqa: ARG001
        mean: Tensor = decay * average + (1 - decay) * value
        return mean

    return ema_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """``multi_avg_fn`` for an exponential average; it writes to the averages.

    Raises ValueError for a decay outside [0, 1].
    Semantics: torch.optim.swa_utils.get_ema_multi_avg_fn.
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(
        averages: Sequence[Tensor],
        values: Sequence[Tensor],
        num_averaged: Any,  # noqa: ARG001
    ) -> None:
        if averages[0].dtype.is_floating_point:
            _lerp(averages, values, 1 - decay)
            return
        for average, value in zip(averages, values, strict=True):
            average.copy_(average * decay + value * (1 - decay))

    return ema_update


def get_swa_avg_fn() -> Average:
    """``avg_fn`` for the plain mean. Semantics: torch.optim.swa_utils.get_swa_avg_fn."""

    @no_grad()
    def swa_update(average: Tensor, value: Tensor, num_averaged: Any) -> Tensor:
        mean: Tensor = average + (value - average) / (num_averaged + 1)
        return mean

    return swa_update


def get_swa_multi_avg_fn() -> MultiAverage:
    """``multi_avg_fn`` for the plain mean; it writes to the averages.

    Semantics: torch.optim.swa_utils.get_swa_multi_avg_fn.
    """

    @no_grad()
    def swa_update(averages: Sequence[Tensor], values: Sequence[Tensor], num_averaged: Any) -> None:
        if averages[0].dtype.is_floating_point:
            _lerp(averages, values, 1 / (float(num_averaged) + 1))
            return
        for average, value in zip(averages, values, strict=True):
            average.copy_(average + (value - average) / (num_averaged + 1))

    return swa_update


class AveragedModel(Module):
    """A copy of ``model`` whose parameters are averages of the model's, as ``module``.

    ``update_parameters(model)`` takes the model's values in: the first call copies, later ones
    average; by default all values count the same, ``avg_fn(average, value, n)`` returns another
    average, ``multi_avg_fn(averages, values, n)`` writes it for all tensors of one device and
    dtype (AssertionError for both). ``use_buffers`` averages buffers too; else they are copied.
    ``device`` is where the copy lives. Calling it calls the copy.

    >>> import lucidlite
    >>> model = lucidlite.nn.Linear(1, 1, bias=False)
    >>> ema = lucidlite.optim.swa_utils.AveragedModel(
    ...     model, multi_avg_fn=lucidlite.optim.swa_utils.get_ema_multi_avg_fn(0.75))
    >>> for value in (0.0, 1.0, 1.0):
    ...     model.weight.data.fill_(value); ema.update_parameters(model)
    tensor([[0.]])
    tensor([[1.]])
    tensor([[1.]])
    >>> ema.module.weight.item()
    0.4375

    Semantics: torch.optim.swa_utils.AveragedModel (Izmailov et al. 2018).
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise error(AssertionError, "Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take in what ``model`` holds now."""
        mine: Iterable[Tensor] = self.parameters()
        its: Iterable[Tensor] = model.parameters()
        if self.use_buffers:
            mine = chain(self.module.parameters(), self.module.buffers())
            its = chain(its, model.buffers())
        pairs = [
            (average.detach(), value.detach().to(average.device))
            for average, value in zip(mine, its, strict=False)
        ]
        if int(self.n_averaged) == 0:
            for average, value in pairs:
                average.copy_(value)
        elif self.avg_fn is not None:
            for average, value in pairs:
                count = self.n_averaged.to(average.device)
                average.copy_(self.avg_fn(average, value, count))
        else:
            self._average_alike(pairs)
        if not self.use_buffers:  # they follow the model
            for buffer, value in zip(self.module.buffers(), model.buffers(), strict=True):
                buffer.detach().copy_(value.detach().to(buffer.device))
        self.n_averaged += 1

    def _average_alike(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """By ``multi_avg_fn``, which gets tensors of one device and dtype."""
        groups: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        for average, value in pairs:
            averages, values = groups.setdefault((average.backend, average.dtype), ([], []))
            averages.append(average)
            values.append(value)
        function = self.multi_avg_fn or get_swa_multi_avg_fn()
        for averages, values in groups.values():
            function(averages, values, self.n_averaged.to(averages[0].device))


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the running statistics of the model's batch norms to the means over ``loader``.

    A batch is a tensor, or a tuple or list that begins with it; ``device`` is where it goes first.
    The model runs in training mode meanwhile. Semantics: torch.optim.swa_utils.update_bn.
    """
    momenta: dict[_BatchNorm, Any] = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None
    for batch in loader:
        input = batch[0] if isinstance(batch, list | tuple) else batch
        model(input if device is None else input.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Bring the rates to ``swa_lr`` in ``anneal_epochs`` epochs, and keep them there.

    ``anneal_strategy`` is "cos" or "linear"; ``swa_lr`` may be a list, one value per group. Raises
    ValueError for another strategy or negative epochs.

    >>> import lucidlite
    >>> w = lucidlite.ones(1, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=1.0)
    >>> schedule = lucidlite.optim.swa_utils.SWALR(optimizer, 0.5, anneal_epochs=2)
    >>> for epoch in range(3):
    ...     optimizer.step(); schedule.step(); print(round(schedule.get_last_lr()[0], 6))
    0.75
    0.5
    0.5

    Semantics: torch.optim.swa_utils.SWALR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        groups = check_optimizer(optimizer).param_groups
        for rate, group in zip(per_group("swa_lr", groups, swa_lr), groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise error(
                ValueError,
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}",
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise error(
                ValueError, f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}"
            )
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_unless_stepping()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group, rate in zip(self.optimizer.param_groups, self._rates(), strict=True):
            end = float(group["swa_lr"])
            start = end if before == 1 else (rate - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates

    def _part(self, step: int) -> float:
        """How much of the way is done after ``step`` steps."""
        part = max(0, min(1, step / max(1, self.anneal_epochs)))
        if self._anneal_strategy == "linear":
            return part
        return (1 - math.cos(math.pi * part)) / 2


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise error(
            ValueError,
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.",
        )


def _lerp(averages: Sequence[Tensor], values: Sequence[Tensor], weight: float) -> None:
    """Move floating point averages of one dtype by ``weight`` of their way to the values."""
    by_backend: dict[Any, list[tuple[Any, Any]]] = {}
    for average, value in zip(averages, values, strict=True):
        value = value.to(device=average.device, dtype=average.dtype)
        by_backend.setdefault(average.backend, []).append((average.array, value.array))
    try:
        for backend, pairs in by_backend.items():
            backend.lerp_into([a for a, _ in pairs], [v for _, v in pairs], weight)
    finally:  # one that is interrupted may have written too
        for average in averages:
            average.bump_version()
