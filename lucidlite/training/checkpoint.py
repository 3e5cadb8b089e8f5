"""The one file from which a run goes on: everything that the next batch depends on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.generator import Generator
from lucidlite.nn.module import Module
from lucidlite.optim import Optimizer
from lucidlite.optim.lr_scheduler import LRScheduler
from lucidlite.serialization import load, save
from lucidlite.training.generators import generator_states, set_generator_states
from lucidlite.utils.data import DataLoader

_KIND = "lucidlite training checkpoint"
_VERSION = 1
# Where the checkpoints of PyTorch scripts usually have the model's state.
_STATES = ("model", "state_dict", "model_state_dict", "net")


class Checkpoint:
    """The state of a model, optimizer, schedule, loader and the random generators in one file.

    ``others`` are further parts by name: whatever has ``state_dict`` and ``load_state_dict`` (a
    ``GradScaler``, an averaged model), and generators of your own. The default generator of every
    device, Python's and NumPy's are in it without being named. Gradients are not: where several
    batches make one step, save after ``optimizer.step()``.

    ``save(path, **more)`` writes it, with further data of the caller's; ``load(path)`` puts
    everything back and returns that further data. The file is replaced as a whole: a crash leaves
    the old one. Loading raises RuntimeError for a file that is damaged or of another kind, before
    anything is changed, and ValueError or RuntimeError where the parts don't fit.

    >>> import lucidlite, os, tempfile
    >>> from lucidlite.training import Checkpoint
    >>> model = lucidlite.nn.Linear(2, 1)
    >>> checkpoint = Checkpoint(model, lucidlite.optim.Adam(model.parameters()))
    >>> path = os.path.join(tempfile.mkdtemp(), "here.npz")
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
        **others: Any,
    ) -> None:
        given = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}
        self.parts: dict[str, Any] = {
            name: part for name, part in {**given, **others}.items() if part is not None
        }
        for name, part in self.parts.items():
            stateful = hasattr(part, "state_dict") and hasattr(part, "load_state_dict")
            if not isinstance(part, Generator) and not stateful:
                raise error(
                    TypeError,
                    "Checkpoint: a part is a Generator or has state_dict and load_state_dict, "
                    f"got {name}={type(part).__name__}",
                )

    def save(self, path: str | os.PathLike[str], **more: Any) -> None:
        """Write all parts, the generators and ``more``."""
        content = {
            "kind": _KIND,
            "version": _VERSION,
            "parts": {name: _state_of(part) for name, part in self.parts.items()},
            "generators": generator_states(),
            "more": more,
        }
        save(content, path)

    def load(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Put all parts and the generators back; returns what ``more`` was."""
        return self.put_back(read_checkpoint(path), path)

    def put_back(self, content: dict[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
        """``load`` of what ``read_checkpoint(path)`` has read."""
        _check_parts(content, path, list(self.parts))
        for name, part in self.parts.items():
            state = content["parts"][name]
            if isinstance(part, Generator):
                part.set_state(state)
            else:
                part.load_state_dict(state)
        set_generator_states(content["generators"])
        more: dict[str, Any] = content["more"]
        return more


def _state_of(part: Any) -> Any:
    return part.get_state() if isinstance(part, Generator) else part.state_dict()


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU; each part takes its values to where it is.

    Every byte is checked. RuntimeError for a file that is damaged, of another kind, or newer.
    """
    content = load(path, map_location="cpu")
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise error(RuntimeError, f"Checkpoint: {os.fspath(path)} is no training checkpoint")
    if content.get("version") != _VERSION:
        raise error(
            RuntimeError,
            f"Checkpoint: {os.fspath(path)} is of another lucidlite: its version is "
            f"{content.get('version')}, not {_VERSION}",
        )
    return content


def load_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A model's state dict from a file of weights or from a checkpoint, on the CPU.

    Any file that ``load`` reads; the checkpoints of PyTorch scripts have it under a name.
    """
    content = load(path, map_location="cpu")
    if isinstance(content, dict) and content.get("kind") == _KIND:
        content = content["parts"]["model"]
    elif isinstance(content, dict):
        inside = [content[name] for name in _STATES if isinstance(content.get(name), dict)]
        content = inside[0] if inside else content
    if not isinstance(content, dict) or not all(hasattr(v, "shape") for v in content.values()):
        raise error(
            RuntimeError,
            f"load_weights: {os.fspath(path)} must hold a model's state_dict or a checkpoint",
        )
    return content


def _check_parts(content: Any, path: str | os.PathLike[str], names: Sequence[str]) -> None:
    found = list(content["parts"])
    if found != list(names):
        raise error(
            RuntimeError,
            f"Checkpoint: {os.fspath(path)} must hold {', '.join(names)}, got {', '.join(found)}",
        )
