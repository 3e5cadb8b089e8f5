"""Learning-rate schedules under PyTorch's names: step the optimizer first, then the schedule."""

from lucidlite.optim.lr_scheduler.base import LRScheduler
from lucidlite.optim.lr_scheduler.base import _LRScheduler as _LRScheduler
from lucidlite.optim.lr_scheduler.chains import ChainedScheduler, SequentialLR
from lucidlite.optim.lr_scheduler.cycles import CosineAnnealingWarmRestarts, CyclicLR
from lucidlite.optim.lr_scheduler.formulas import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from lucidlite.optim.lr_scheduler.one_cycle import OneCycleLR
from lucidlite.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
