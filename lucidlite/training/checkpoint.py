"""The one file from which a run goes on: everything that the next batch depends on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.generator import default_generator
from lucidlite.nn.module import Module
from lucidlite.optim import Optimizer
from lucidlite.optim.lr_scheduler import LRScheduler
from lucidlite.serialization import load, save
from lucidlite.utils.data import DataLoader

_KIND = "lucidlite training checkpoint"


class Checkpoint:
    """The state of a model, optimizer, schedule, loader and the random generators in one file.

    ``save(path, **more)`` writes it, with further data of the caller's; ``load(path)`` puts
    everything back and returns that further data. The file is replaced as a whole: a crash leaves
    the old one. Loading raises RuntimeError for a file of another kind and ValueError or
    RuntimeError where the parts don't fit.

    >>> import lucidlite, os, tempfile
    >>> from lucidlite.training import Checkpoint
    >>> model = lucidlite.nn.Linear(2, 1)
    >>> checkpoint = Checkpoint(model, lucidlite.optim.Adam(model.parameters()))
    >>> path = os.path.join(tempfile.mkdtemp(), "last.npz")
    >>> checkpoint.save(path, epoch=3)
    >>> checkpoint.load(path)
    {'epoch': 3}
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None = None,
        loader: DataLoader | None = None,
    ) -> None:
        self.parts: dict[str, Any] = {"model": model, "optimizer": optimizer}
        if scheduler is not None:
            self.parts["scheduler"] = scheduler
        if loader is not None:
            self.parts["loader"] = loader

    def save(self, path: str | os.PathLike[str], **more: Any) -> None:
        """Write all parts, the global generator and ``more``."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        generator = default_generator.get_state()
        save({"kind": _KIND, "parts": parts, "generator": generator, "more": more}, path)

    def load(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Put all parts and the global generator back; returns what ``more`` was."""
        content = load(path, map_location="cpu")  # each part takes its values to where it is
        _check(content, path, list(self.parts))
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        default_generator.set_state(content["generator"])
        more: dict[str, Any] = content["more"]
        return more


def load_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A model's state dict from a file of weights or from a checkpoint, on the CPU."""
    content = load(path, map_location="cpu")
    if isinstance(content, dict) and content.get("kind") == _KIND:
        content = content["parts"]["model"]
    if not isinstance(content, dict) or not all(hasattr(v, "shape") for v in content.values()):
        raise error(
            RuntimeError,
            f"load_weights: {os.fspath(path)} must hold a model's state_dict or a checkpoint",
        )
    return content


def _check(content: Any, path: str | os.PathLike[str], names: Sequence[str]) -> None:
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise error(RuntimeError, f"Checkpoint: {os.fspath(path)} is no training checkpoint")
    found = list(content["parts"])
    if found != list(names):
        raise error(
            RuntimeError,
            f"Checkpoint: {os.fspath(path)} must hold {', '.join(names)}, got {', '.join(found)}",
        )
