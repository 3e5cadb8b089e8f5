"""Training of image classifiers: the loop, checkpoints, metrics, and pictures of a run."""

from lucidlite.training.checkpoint import Checkpoint
from lucidlite.training.metrics import EpochRow, Result, evaluate
from lucidlite.training.progress import Progress
from lucidlite.training.run_folder import Checkpoints, DamagedCheckpoint, NotSaved
from lucidlite.training.signals import Stopped, StoppedAtOnce
from lucidlite.training.steps import Recorder, StepRow
from lucidlite.training.tensorboard import EventFile
from lucidlite.training.trainer import Trainer

__all__ = [
    "Checkpoint", "Checkpoints", "DamagedCheckpoint", "EpochRow", "EventFile", "NotSaved",
    "Progress", "Recorder", "Result", "StepRow", "Stopped", "StoppedAtOnce", "Trainer", "evaluate",
]  # fmt: skip
