"""Learning-rate schedules under PyTorch's names: step the optimizer first, then the schedule."""

from lucidlite.optim.lr_scheduler.base import LRScheduler
from lucidlite.optim.lr_scheduler.chains import ReduceLROnPlateau, SequentialLR
from lucidlite.optim.lr_scheduler.formulas import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    StepLR,
)
from lucidlite.optim.lr_scheduler.one_cycle import OneCycleLR

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
