"""Optimizers and learning-rate schedules under PyTorch's names."""

from __future__ import annotations

from typing import Any

from lucidlite.optim import lr_scheduler, swa_utils
from lucidlite.optim.adam import Adam, AdamW
from lucidlite.optim.adam_kin import Adamax, NAdam, RAdam
from lucidlite.optim.lbfgs import LBFGS
from lucidlite.optim.means import Adadelta, Adagrad, RMSprop
from lucidlite.optim.optimizer import Optimizer
from lucidlite.optim.sgd import SGD
from lucidlite.optim.signs import ASGD, Rprop
from lucidlite.scope import absent

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name: str) -> Any:
    raise absent(
        "module 'lucidlite.optim'",
        name,
        __all__,
        {"lucidlite.optim.lr_scheduler": lr_scheduler.__all__},
    )
