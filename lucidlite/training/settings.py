"""What a run was started with, as run.json in its folder holds it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from pathlib import Path

import numpy as np

from lucidlite.callsite import error
from lucidlite.files import atomic_write
from lucidlite.training.sources import Shape

RUN = "run.json"


@dataclasses.dataclass
class Settings:
    """The settings of a run. Evaluation, prediction and resuming take theirs from here.

    ``input`` is (channels, height, width) of what the model is shown, ``mean`` and ``std`` its
    normalization, ``lr`` the peak of the one-cycle schedule. ``limit`` is how many training and
    test images are used at most (None: all).

    >>> import lucidlite
    >>> from lucidlite.training.settings import Settings
    >>> Settings.load("runs/sample-cnn-with-gap").input  # doctest: +SKIP
    (3, 32, 32)
    """

    data: str
    model: str
    input: Shape
    classes: list[str]
    mean: list[float]
    std: list[float]
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    seed: int
    limit: int | None
    data_root: str

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write run.json, with the versions in use for those who read it."""
        content = dataclasses.asdict(self)
        content["versions"] = {"python": platform.python_version(), "numpy": np.__version__}
        Path(folder).mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(folder, RUN)) as file:
            file.write((json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Settings:
        """Read a folder's run.json; FileNotFoundError or ValueError where there is none to read."""
        path = Path(folder, RUN)
        if not path.is_file():
            raise error(FileNotFoundError, f"{folder} holds no run: there is no {RUN} in it")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            settings = cls(**{field.name: content[field.name] for field in dataclasses.fields(cls)})
            channels, height, width = settings.input
        except (ValueError, KeyError, TypeError) as problem:
            raise error(ValueError, f"{path} is damaged: {problem!r}") from None
        settings.input = (channels, height, width)
        return settings
