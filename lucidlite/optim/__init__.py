"""Optimizers and learning-rate schedules under PyTorch's names."""

from lucidlite.optim import lr_scheduler
from lucidlite.optim.adam import Adam, AdamW
from lucidlite.optim.optimizer import Optimizer
from lucidlite.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
