"""What a run was started with: run.json, and the model, data and optimizer made from it."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lucidlite import models
from lucidlite.backends import Device
from lucidlite.callsite import error
from lucidlite.files import atomic_write
from lucidlite.generator import Generator
from lucidlite.nn.conv import Conv2d
from lucidlite.nn.module import Module
from lucidlite.optim import SGD, Adam, AdamW, Optimizer
from lucidlite.training.sources import Shape, Source, find_source, statistics, transform_for
from lucidlite.utils.data import DataLoader

RUN = "run.json"
MODELS = {"cnn-with-gap": models.CNNWithGAP, "lenet": models.LeNet, "resnet8": models.ResNet8}
PEAKS = {"adam": 5e-3, "adamw": 5e-3, "sgd": 0.1}


@dataclasses.dataclass
class Settings:
    """The settings of a run, as run.json holds them."""

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
    data_root: str = "data"

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
            content = json.loads(path.read_text())
            names = [field.name for field in dataclasses.fields(cls)]
            settings = cls(**{name: content[name] for name in names})
        except (ValueError, KeyError, TypeError) as problem:
            raise error(ValueError, f"{path} is damaged: {problem}") from None
        settings.input = (settings.input[0], settings.input[1], settings.input[2])
        return settings
