"""Models, loaders and optimizers by name, as the command line asks for them."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import zeros
from lucidlite.datasets.on_device import OnDevice, why_not
from lucidlite.device import Device
from lucidlite.models import CNNWithGAP, LeNet, ResNet8
from lucidlite.nn.conv import Conv2d
from lucidlite.nn.module import Module
from lucidlite.optim import SGD, Adam, AdamW, Optimizer
from lucidlite.training.modes import inference
from lucidlite.training.settings import Settings
from lucidlite.training.sources import Shape, Source, transform_for
from lucidlite.utils.data import DataLoader, Subset

MODELS: dict[str, type[Module]] = {"cnn-with-gap": CNNWithGAP, "lenet": LeNet, "resnet8": ResNet8}
# What the class of a model is told of its data, where its __init__ takes it.
OFFERED = "num_classes", "in_channels", "image_size"
PEAKS = {"adam": 5e-3, "adamw": 5e-3, "sgd": 0.1}  # the learning rate at the top of the cycle


def find_model(name: str) -> type[Module]:
    """The class called ``name``: one of ``MODELS``, or "path.py:Class" in a file of Python.

    Raises ValueError for a name that is neither; an error in the file comes as it is.
    """
    if name in MODELS:
        return MODELS[name]
    path, colon, wanted = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise error(
            ValueError,
            f"model must be one of {', '.join(MODELS)} or path.py:Class, got model={name!r}",
        )
    if not Path(path).is_file():
        raise error(FileNotFoundError, f"model: there is no file {path}")
    # A name that shadows nothing: the file may be called nn.py or random.py.
    title = f"_model_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(title, path)
    if spec is None or spec.loader is None:
        raise error(ValueError, f"model: {path} is no file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module
    spec.loader.exec_module(module)
    found = getattr(module, wanted, None)
    if not (isinstance(found, type) and issubclass(found, Module)):
        kinds = [
            key for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Module)
        ]  # fmt: skip
        raise error(
            ValueError,
            f"model: {path} has no nn.Module called {wanted}"
            + (f", only {', '.join(kinds)}" if kinds else ""),
        )
    return found


def make_model(kind: Callable[..., Module], num_classes: int, shape: Shape) -> Module:
    """A model of this class, given what it takes of ``OFFERED``."""
    taken = inspect.signature(kind).parameters
    offered = zip(OFFERED, (num_classes, *shape[:2]), strict=True)
    return kind(**{name: value for name, value in offered if name in taken})


def input_for(kind: Callable[..., Module], num_classes: int, shape: Shape) -> Shape:
    """The shape in which a model of this class wants to see images of ``shape``."""
    if kind is CNNWithGAP:
        # Digits get a border: three halvings of 28 would lose the last row and column.
        return (3, 32, 32) if shape[1:] == (28, 28) else (3, *shape[1:])
    if "in_channels" in inspect.signature(kind).parameters:
        return shape
    layers = make_model(kind, num_classes, shape).modules()
    first = next((layer for layer in layers if isinstance(layer, Conv2d)), None)
    return shape if first is None else (first.in_channels, *shape[1:])


def check_model(model: Module, num_classes: int, shape: Shape, device: Any) -> None:
    """Show the model one empty image; ValueError where it can't take it or gives other classes."""
    try:
        with inference(model):
            output = model(zeros(1, *shape, device=device))
    except (RuntimeError, ValueError, TypeError, IndexError) as problem:
        text = str(problem).splitlines()[0]
        raise error(
            ValueError,
            f"model: {type(model).__name__} cannot take images of shape {shape}: {text}",
        ) from problem
    if tuple(getattr(output, "shape", ())) != (1, num_classes):
        raise error(
            ValueError,
            f"model: {type(model).__name__} must return (N, {num_classes}) for {num_classes} "
            f"classes, got {tuple(getattr(output, 'shape', ()))} for one image",
        )


def make_optimizer(name: str, model: Module, lr: float) -> Optimizer:
    """Adam, AdamW, or SGD with momentum 0.9 and weight decay 5e-4."""
    if name == "sgd":
        return SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    kinds: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}
    if name not in kinds:
        raise error(
            ValueError, f"optimizer must be one of {', '.join(PEAKS)}, got optimizer={name!r}"
        )
    return kinds[name](model.parameters(), lr=lr)


def make_loader(
    source: Source, settings: Settings, train: bool, workers: int = 0, device: Any = "cpu"
) -> DataLoader:
    """Batches of the training images, shuffled, or of the test images in their order.

    On a GPU they arrive there: made there from the whole data set where it can hold it.
    """
    transform = transform_for(source, settings.input, settings.mean, settings.std, train)
    images = source.open(train, transform)
    if settings.limit is not None and settings.limit < len(images):
        images = Subset(images, range(settings.limit))
    if Device(device).type == "cuda" and not why_not(images):
        images = OnDevice(images, device)
    return DataLoader(
        images,
        batch_size=settings.batch_size if train else max(settings.batch_size, 100),
        shuffle=train,
        num_workers=0 if isinstance(images, OnDevice) else workers,
        device=device,
    )
