"""A data set that lies on a GPU as a whole, from which batches are made there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lucidlite.backends import get_backend
from lucidlite.callsite import error
from lucidlite.datasets import transforms
from lucidlite.datasets.cifar import CIFAR10
from lucidlite.datasets.mnist import MNIST, FashionMNIST, MNISTSample
from lucidlite.dtypes import float16, get_default_dtype
from lucidlite.generator import current_generator
from lucidlite.philox import unit_interval
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor
from lucidlite.utils.data import Dataset, Subset, TensorDataset

_KNOWN = (MNIST, FashionMNIST, MNISTSample, CIFAR10)
_FLIPS = {transforms.RandomHorizontalFlip: 1, transforms.RandomVerticalFlip: 2}


class OnDevice(Dataset[Any]):
    """A data set moved to ``device`` once; a DataLoader then makes each batch there.

    dataset: MNIST, FashionMNIST, MNISTSample or CIFAR10, kept as bytes (CIFAR-10: 154 MB), whose
    transform is made of Pad, Grayscale (of grey images), RandomCrop, the random flips, ToTensor and
    Normalize, in an order where all padding and cropping comes first; or a TensorDataset; or a
    Subset of one. A batch takes one kernel, and has the numbers it would have from the CPU, random
    crops and flips included. ValueError says why another data set can't be moved.

    >>> import lucidlite
    >>> from lucidlite.datasets import MNISTSample, OnDevice, transforms
    >>> data = OnDevice(MNISTSample(train=False, transform=transforms.ToTensor()), "cpu")
    >>> images, labels = next(iter(lucidlite.utils.data.DataLoader(data, batch_size=4)))
    >>> images.shape, labels.tolist()
    ((4, 1, 28, 28), [0, 1, 2, 3])
    """

    def __init__(self, dataset: Any, device: Any) -> None:
        reason = why_not(dataset)
        if reason:
            raise error(ValueError, f"OnDevice: {reason}")
        self._backend = get_backend(device)
        rows: Any = slice(None)
        self.dataset = dataset
        while type(dataset) is Subset:
            chosen = np.asarray(dataset.indices, np.int64)
            rows = chosen if isinstance(rows, slice) else chosen[rows]
            dataset = dataset.dataset
        self.classes: list[str] | None = getattr(dataset, "classes", None)
        self._tensors: list[Tensor] | None = None
        if isinstance(dataset, TensorDataset):
            place = self._backend.device
            kept = rows if isinstance(rows, slice) else rows.tolist()
            self._tensors = [t[kept].to(place) for t in dataset.tensors]
            self._size = len(self._tensors[0])
            return
        images, labels = _stored(dataset)
        images, labels = np.ascontiguousarray(images[rows]), labels[rows]
        self._plan = _Plan(dataset.transform, images.shape[1:])
        self._size, self._labels = len(labels), labels
        self._images, self._targets = (self._backend.asarray(a) for a in (images, labels))
        kind = get_default_dtype().numpy
        mean, std = (self._backend.asarray(s.astype(kind)) for s in self._plan.scale)
        self._scale = mean, std

    @property
    def device(self) -> Any:
        """Where it is."""
        return self._backend.device

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> Any:
        if self._tensors is not None:
            return tuple([t[index] for t in self._tensors])
        images, _ = self._gathered([index])
        return images[0], int(self._labels[index])

    def __getbatch__(self, indices: Sequence[int]) -> list[Tensor]:
        if self._tensors is not None:
            rows = list(indices)
            return [t[rows] for t in self._tensors]
        return list(self._gathered(indices))

    def _gathered(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        table = self._plan.table(self._checked(indices))
        plan = self._plan
        images, labels = self._backend.gather_images(
            self._images, self._targets, table, plan.size, plan.planes, plan.fill, self._scale
        )
        return wrap(images, self._backend), wrap(labels, self._backend)

    def _checked(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Here, on the host: a GPU would read whatever lies there."""
        rows = np.asarray(indices, np.int64).reshape(-1)
        if rows.size and not -self._size <= rows.min() <= rows.max() < self._size:
            raise error(
                IndexError,
                f"OnDevice: indices must be within {self._size} samples, "
                f"got {rows.min()} to {rows.max()}",
            )
        return rows % max(self._size, 1)


def why_not(dataset: Any) -> str:
    """Why OnDevice can't hold a data set; '' where it can."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    if type(dataset) is TensorDataset:
        return ""
    if type(dataset) not in _KNOWN:
        names = ", ".join(kind.__name__ for kind in (*_KNOWN, TensorDataset))
        return f"it holds {names} or a Subset of one, got {type(dataset).__name__}"
    if dataset.target_transform is not None:
        return f"labels are taken as they are, got target_transform={dataset.target_transform!r}"
    if get_default_dtype() is float16:
        return "images become float32 or float64, got the default dtype torch.float16"
    try:
        _Plan(dataset.transform, _stored(dataset)[0].shape[1:])
    except _Unfit as problem:
        return str(problem)
    return ""


def _stored(dataset: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, H, W, C) and labels."""
    images, labels = (
        each.cpu().numpy() if isinstance(each, Tensor) else np.asarray(each)
        for each in (dataset.data, dataset.targets)
    )
    return images[..., None] if images.ndim == 3 else images, labels.astype(np.int64)


class _Unfit(Exception):
    """A transform that the kernel doesn't know."""


class _Plan:
    """What a transform does, as the kernel does it: one window of each image, mirrored, scaled."""

    def __init__(self, transform: Any, shape: Sequence[int]) -> None:
        self.size = int(shape[0]), int(shape[1])
        self.planes = int(shape[2])
        self.fill = 0
        self.scale = np.zeros(self.planes), np.ones(self.planes)
        self._corner = [0, 0]  # of the window, from the image's
        self._draws: list[tuple[str, Any]] = []
        self._padded = self._floating = self._scaled = False
        for part in _parts(transform):
            self._add(part)
        if not self._floating:
            raise _Unfit(f"the transform must lead through ToTensor, got {transform!r}")

    def _add(self, part: Any) -> None:
        kind = type(part)
        if kind is transforms.ToTensor and not self._floating:
            self._floating = True
            self.scale = np.zeros(self.planes), np.ones(self.planes)
        elif kind is transforms.Normalize and self._floating and not self._scaled:
            self._scaled = True
            self.scale = self._per_plane(part, part.mean), self._per_plane(part, part.std)
            if not self.scale[1].astype(get_default_dtype().numpy).all():
                raise _Unfit(f"std must not be 0, got {part!r}")
        elif kind in _FLIPS:
            self._draws.append(("flip", (_FLIPS[kind], part.p)))
        elif kind is transforms.Grayscale and not self._floating and self.planes == 1:
            self.planes = part.num_output_channels
        elif kind is transforms.Pad and not self._floating and not self._draws:
            self._pad(part, part._sides)
        elif kind is transforms.RandomCrop and not (
            self._floating or self._draws or part.pad_if_needed
        ):
            self._pad(part, part._sides)
            room = [n - want + 1 for n, want in zip(self.size, part.size, strict=True)]
            if min(room) < 1:
                raise _Unfit(f"the window must fit into images of {self.size}, got {part!r}")
            if room != [1, 1]:
                self._draws.append(("crop", room))
            self.size = part.size
        else:
            raise _Unfit(
                "the transform must be of Pad, Grayscale (of grey images), RandomCrop, random "
                "flips, ToTensor and Normalize, with all padding and cropping first, "
                f"got {part!r}"
            )

    def _pad(self, part: Any, sides: tuple[int, int, int, int]) -> None:
        if not any(sides):
            return
        fill = part.fill
        whole = isinstance(fill, int | np.integer) and 0 <= fill <= 255
        if part.padding_mode != "constant" or not whole or (self._padded and fill != self.fill):
            raise _Unfit(f"padding must be of one number from 0 to 255, got {part!r}")
        left, top, right, bottom = sides
        self.fill, self._padded = int(fill), True
        self.size = self.size[0] + top + bottom, self.size[1] + left + right
        self._corner = [self._corner[0] - top, self._corner[1] - left]

    def _per_plane(self, part: Any, value: Any) -> NDArray[np.float64]:
        numbers = np.asarray(value, np.float64).reshape(-1)
        if numbers.size not in (1, self.planes):
            raise _Unfit(f"it must have one number or one per channel, got {part!r}")
        full: NDArray[np.float64] = np.full(self.planes, numbers)
        return full

    def table(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """The kernel's table for these images: draws are made as the transforms make them."""
        table = np.empty((len(rows), 4), np.int32)
        table[:, 0] = rows
        table[:, 1:3] = self._corner
        table[:, 3] = 0
        for kind, value in self._draws:
            if kind == "crop":
                draws = current_generator().each(len(rows), 2)
                table[:, 1:3] += (draws % np.array(value, np.uint64)).astype(np.int32)
            else:
                bit, p = value
                draws = current_generator().each(len(rows), 1)
                table[:, 3] ^= bit * (unit_interval(draws[:, 0], np.float32) < p)
        return table


def _parts(transform: Any) -> list[Any]:
    if type(transform) is transforms.Compose:
        return [each for part in transform.transforms for each in _parts(part)]
    return [] if transform is None else [transform]
