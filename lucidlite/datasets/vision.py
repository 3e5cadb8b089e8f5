"""What every image data set has: a root, the two transforms, classes, and torchvision's repr."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lucidlite.creation import from_numpy
from lucidlite.datasets.transforms import takes_batches
from lucidlite.utils.data import Dataset

Root = str | os.PathLike[str]
Transform = Callable[[Any], Any]


class VisionDataset(Dataset[Any]):
    """The base of the image data sets (semantics: torchvision.datasets.VisionDataset).

    ``transform`` is applied to each image and ``target_transform`` to each target when a sample is
    taken. Subclasses define ``__len__`` and ``__getitem__``, and ``classes``.
    """

    classes: list[str]

    def __init__(
        self,
        root: Root | None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        self.root = os.path.expanduser(root) if isinstance(root, str) else root
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: number for number, name in enumerate(self.classes)}

    def transformed(self, image: Any, target: Any) -> tuple[Any, Any]:
        """The sample after the transforms that were given."""
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def batch(
        self, take: Callable[[list[int]], tuple[NDArray[Any], Any]], indices: Sequence[int]
    ) -> Any:
        """What ``default_collate`` makes of these samples, or NotImplemented: take them one by one.

        ``take(indices)`` gives images (N, H, W) or (N, H, W, C) and integer targets. The package's
        own transforms take all images at once, which is many times faster and gives the same
        numbers; what others do with a batch, or draw for it, can't be known.
        """
        if (
            self.target_transform is not None
            or (self.transform is not None and not takes_batches(self.transform))
            or type(self).transformed is not VisionDataset.transformed
        ):
            return NotImplemented
        images, targets = take(list(indices))
        if self.transform is None:
            done: Any = from_numpy(np.ascontiguousarray(images))
        else:
            done = self.transform(images[..., None] if images.ndim == 3 else images)
        return [done, from_numpy(np.asarray(targets, np.int64))]

    def extra_repr(self) -> str:
        """Further lines of the repr."""
        return ""

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        if self.transform is not None or self.target_transform is not None:
            lines = ["StandardTransform"]
            lines += _indented("Transform: ", self.transform)
            lines += _indented("Target transform: ", self.target_transform)
            # As in torchvision, only the first line of this block is indented.
            body.append("\n".join(lines))
        return "\n".join([f"Dataset {type(self).__name__}", *("    " + line for line in body)])


def _indented(head: str, transform: Transform | None) -> list[str]:
    if transform is None:
        return []
    first, *rest = repr(transform).splitlines()
    return [head + first, *(" " * len(head) + line for line in rest)]


def split_name(train: bool) -> str:
    """The line of the repr that names the split."""
    return f"Split: {'Train' if train else 'Test'}"
