"""What a model says about images: class probabilities, and the images as they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lucidlite.backends import get_default_device
from lucidlite.nn.functional import softmax
from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor
from lucidlite.training.modes import inference


class Predictions(NamedTuple):
    """Images (N, C, H, W) as the model saw them, probabilities (N, classes), targets (N,)."""

    images: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]


def probabilities(model: Module, images: Tensor) -> NDArray[np.float32]:
    """Class probabilities (N, classes) of a batch, in evaluation mode, on the host."""
    with inference(model):
        result = softmax(model(images), 1)
    array: NDArray[np.float32] = result.cpu().numpy()
    return array


def predict_all(model: Module, loader: Iterable[Any], device: Any = None) -> Predictions:
    """The model's predictions for everything a loader of (images, class numbers) has."""
    device = get_default_device() if device is None else device
    shown, said, true = [], [], []
    for images, targets in loader:
        shown.append(images.cpu().numpy())
        said.append(probabilities(model, images.to(device)))
        true.append(targets.cpu().numpy())
    return Predictions(np.concatenate(shown), np.concatenate(said), np.concatenate(true))


def denormalized(images: NDArray[Any], mean: list[float], std: list[float]) -> NDArray[Any]:
    """Undo Normalize on a batch (N, C, H, W): pixels from 0 to 1 again."""
    factor, shift = (np.asarray(each, images.dtype)[:, None, None] for each in (std, mean))
    pixels: NDArray[Any] = images * factor + shift
    return pixels
