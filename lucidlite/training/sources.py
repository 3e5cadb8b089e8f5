"""The image data a run can be trained on, and the transforms that show them to a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lucidlite.callsite import error
from lucidlite.datasets import (
    CIFAR10,
    MNIST,
    FashionMNIST,
    ImageFolder,
    MNISTSample,
    read_image,
    transforms,
)
from lucidlite.generator import Generator
from lucidlite.utils.data import Subset, random_split

Shape = tuple[int, int, int]  # channels, height, width

NAMES = ("sample", "mnist", "fashion-mnist", "cifar10")
_GREY = {"sample": (0.1307, 0.3081), "mnist": (0.1307, 0.3081), "fashion-mnist": (0.2860, 0.3530)}
_CIFAR = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])
_MEASURED = 500  # training images from which a folder's mean and deviation are taken
_HELD_BACK = 0.2  # of a folder without a test part


class Source(NamedTuple):
    """Where images come from. ``shape`` is theirs before a model asks for another.

    ``open(train, transform)`` makes the data set. ``mean`` and ``std`` (one number a channel) are
    None where they have to be measured.
    """

    name: str
    shape: Shape
    open: Callable[[bool, Any], Any]
    mean: list[float] | None = None
    std: list[float] | None = None
    augment: bool = False


def find_source(name: str, root: str = "data", download: bool = False) -> Source:
    """The source called ``name``: one of ``NAMES``, or a folder of images.

    ``root`` is where the files of the public data sets are, ``download`` fetches missing ones.
    A folder holds train/CLASS/ and test/CLASS/ (or val/CLASS/), or CLASS/ alone, of which a fifth
    is then held back as test images. Opening raises ValueError for a name that is neither.
    """
    if name in _GREY:
        mean, std = _GREY[name]
        opener: Callable[[bool, Any], Any] = MNISTSample
        if name != "sample":
            kind = MNIST if name == "mnist" else FashionMNIST
            opener = partial(_open_public, kind, root, download)
        return Source(name, (1, 28, 28), opener, [mean], [std])
    if name == "cifar10":
        opener = partial(_open_public, CIFAR10, root, download)
        return Source(name, (3, 32, 32), opener, *_CIFAR, augment=True)
    return Source(name, (3, 64, 64), partial(_open_folder, Path(name).expanduser()))


def _open_public(kind: Any, root: str, download: bool, train: bool, transform: Any) -> Any:
    return kind(root, train=train, transform=transform, download=download)


class _FolderPart(Subset[Any]):
    """A part of a folder's images that still knows the classes."""

    def __init__(self, dataset: ImageFolder, indices: Any) -> None:
        super().__init__(dataset, indices)
        self.classes = dataset.classes
        self.targets = [dataset.targets[i] for i in indices]


def _open_folder(folder: Path, train: bool, transform: Any) -> Any:
    if not folder.is_dir():
        raise error(
            ValueError,
            f"data must be one of {', '.join(NAMES)} or a folder of images, "
            f"got data={str(folder)!r}",
        )
    if (folder / "train").is_dir():
        train_set = ImageFolder(folder / "train", transform)
        if train:
            return train_set
        names = [name for name in ("test", "val", "valid") if (folder / name).is_dir()]
        if not names:
            raise error(
                FileNotFoundError,
                f"data: beside {folder / 'train'} there must be a folder test or val",
            )
        test_set = ImageFolder(folder / names[0], transform)
        if test_set.classes != train_set.classes:
            raise error(
                ValueError,
                f"data: train and {names[0]} must have the same classes, "
                f"got {train_set.classes} and {test_set.classes}",
            )
        return test_set
    whole = ImageFolder(folder, transform)
    if len(whole) * _HELD_BACK < 1:
        raise error(
            ValueError,
            f"data: a fifth of the images is held back for the test, so there must be 5 at least, "
            f"got {len(whole)} in {folder}",
        )
    # The split depends on the number of images alone: training and evaluation agree on it.
    parts = random_split(
        whole, [1 - _HELD_BACK, _HELD_BACK], generator=Generator().manual_seed(len(whole))
    )
    return _FolderPart(whole, sorted(parts[0 if train else 1].indices))


def shape_for(source: Source, wanted: Shape) -> list[Any]:
    """The transforms from the source's images (arrays) to arrays of the wanted shape."""
    channels, height, width = source.shape
    steps: list[Any] = []
    missing = (wanted[1] - height, wanted[2] - width)
    if source.mean is None:  # images of any size
        steps.append(transforms.Resize((wanted[1], wanted[2])))
    elif missing[0] == missing[1] and 0 < missing[0] <= 8 and missing[0] % 2 == 0:
        steps.append(transforms.Pad(missing[0] // 2))
    elif missing != (0, 0):
        steps.append(transforms.Resize((wanted[1], wanted[2])))
    if channels != wanted[0]:
        steps.append(transforms.Grayscale(wanted[0]))
    return steps


def transform_for(
    source: Source, wanted: Shape, mean: list[float], std: list[float], train: bool
) -> transforms.Compose:
    """What turns an image of the source into the normalized Tensor of the wanted shape."""
    steps = shape_for(source, wanted)
    if train and source.augment:
        steps += [transforms.RandomCrop(wanted[1:], padding=4), transforms.RandomHorizontalFlip()]
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(mean, std)])


def statistics(source: Source, wanted: Shape) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each of the wanted channels, for pixels from 0 to 1.

    Those the source is known by, or measured on some of its training images.
    """
    if source.mean is not None and source.std is not None:
        mean, std = source.mean, source.std
        if len(mean) == wanted[0]:
            return list(mean), list(std)
        return [sum(mean) / len(mean)] * wanted[0], [sum(std) / len(std)] * wanted[0]
    prepare = transforms.Compose([*shape_for(source, wanted), transforms.ToTensor()])
    images = source.open(True, prepare)
    chosen = range(0, len(images), -(-len(images) // _MEASURED))
    pixels = np.stack([images[i][0].numpy() for i in chosen])
    mean = pixels.mean((0, 2, 3), dtype=np.float64).tolist()
    std = np.maximum(pixels.std((0, 2, 3), dtype=np.float64), 1e-3).tolist()
    return [round(m, 4) for m in mean], [round(s, 4) for s in std]


def load_image(source: Source, path: str, invert: bool = False) -> Any:
    """An image file as an array of the source's kind: its channels, and its size if it has one."""
    channels, height, width = source.shape
    image: Any = read_image(path, mode="L" if channels == 1 else "RGB")
    if invert:
        image = 255 - image
    if source.mean is not None:
        image = transforms.Resize((height, width))(image)
    return image[..., 0] if channels == 1 else image
