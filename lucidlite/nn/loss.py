"""Loss layers."""

from __future__ import annotations

from typing import Any

from lucidlite.nn import functional as F
from lucidlite.nn.module import Module
from lucidlite.ops.loss import refuse_deprecated
from lucidlite.tensor import Tensor


class _Loss(Module):
    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        refuse_deprecated(type(self).__name__, size_average, reduce)
        self.reduction = reduction


class MSELoss(_Loss):
    """The squared difference, averaged by default. Semantics: torch.nn.MSELoss."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class NLLLoss(_Loss):
    """Minus the log-probability of each target: see ``functional.nll_loss``.

    Semantics: torch.nn.NLLLoss.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class CrossEntropyLoss(_Loss):
    """The usual loss of a classifier, from raw scores: see ``functional.cross_entropy``.

    >>> from lucidlite import nn, tensor, zeros
    >>> nn.CrossEntropyLoss()(zeros(2, 4), tensor([0, 3]))
    tensor(1.3863)

    Semantics: torch.nn.CrossEntropyLoss.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
