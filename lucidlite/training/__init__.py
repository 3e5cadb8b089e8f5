"""Training of image classifiers: the loop, checkpoints, metrics, and pictures of a run."""

from lucidlite.training.checkpoint import Checkpoint
from lucidlite.training.metrics import EpochRow, Result, evaluate
from lucidlite.training.progress import Progress
from lucidlite.training.signals import Stopped
from lucidlite.training.trainer import Trainer

__all__ = ["Checkpoint", "EpochRow", "Progress", "Result", "Stopped", "Trainer", "evaluate"]
