"""MNIST and Fashion-MNIST from their official files, and the sample of MNIST in the package."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lucidlite.callsite import error
from lucidlite.creation import from_numpy
from lucidlite.datasets.download import fetch
from lucidlite.datasets.idx import read_idx
from lucidlite.datasets.vision import Root, Transform, VisionDataset, split_name
from lucidlite.files import atomic_write
from lucidlite.tensor import Tensor

_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

# The two data sets name their files alike. The md5 of the (unpacked) label files tells them apart.
_OWNERS = {
    "a25bea736e30d166cdddb491f175f624": "MNIST",
    "27ae3e4e09519cfbb04c329615203637": "MNIST",
    "9018921c3c673c538a1fc5bad174d6f9": "FashionMNIST",
    "15d484375f8d13e6eb1aabb0c3f46965": "FashionMNIST",
}


class _Digits(VisionDataset):
    """Images (N, H, W) in ``data`` and labels in ``targets``, served one at a time."""

    train: bool
    data: Tensor
    targets: Tensor

    def _hold(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        self.data = from_numpy(images)
        self.targets = from_numpy(labels.astype(np.int64))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        # A copy, as a PIL image would be: a transform that writes must not reach the data.
        image = self.data.numpy()[index].copy()
        return self.transformed(image, int(self.targets.numpy()[index]))

    def __getbatch__(self, indices: Sequence[int]) -> Any:
        return self.batch(self._take, indices)

    def _take(self, rows: list[int]) -> tuple[NDArray[Any], Any]:
        return self.data.numpy()[rows], self.targets.numpy()[rows]

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return split_name(self.train)


class MNIST(_Digits):
    """60,000 training and 10,000 test images of handwritten digits, 28 x 28, grey.

    Reads the IDX files, plain or .gz, from ``root/MNIST/raw`` (torchvision's layout) or ``root``.
    ``data`` is a uint8 Tensor (N, 28, 28), ``targets`` an int64 Tensor (N,). A sample is (image,
    target) with a uint8 array (28, 28), where torchvision gives a PIL image, and an int; then
    ``transform`` and ``target_transform``. ``download=True`` fetches the files that are missing.

    Raises RuntimeError when a file is missing (it says which to put where) or damaged.

    >>> import lucidlite
    >>> train = lucidlite.datasets.MNIST("data", train=True)  # doctest: +SKIP
    >>> train[0][0].shape, train[0][1]  # doctest: +SKIP
    ((28, 28), 5)

    Semantics: torchvision.datasets.MNIST. Data: LeCun, Cortes and Burges.
    """

    classes: list[str] = [f"{number} - {word}" for number, word in enumerate(_DIGITS)]  # noqa: RUF012
    mirrors: ClassVar[list[str]] = [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]

    def __init__(
        self,
        root: Root,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.train = bool(train)
        if download:
            self.download()
        self._hold(*self._load())

    @property
    def raw_folder(self) -> str:
        """Where downloads go: ``root/<class name>/raw``."""
        return str(Path(self._root, type(self).__name__, "raw"))

    @property
    def _root(self) -> Path:
        return Path(self.root or ".")

    def _find(self, name: str) -> Path | None:
        """The file ``name`` or ``name.gz``, in torchvision's folder or in root."""
        places = [
            Path(folder, name + end)
            for folder in (self.raw_folder, self._root)
            for end in ("", ".gz")
        ]
        return next((path for path in places if path.is_file()), None)

    def _load(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        split = "train" if self.train else "t10k"
        names = [f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"]
        paths = [self._find(name) for name in names]
        images, labels = paths
        if images is None or labels is None:
            missing = " and ".join(n for n, p in zip(names, paths, strict=True) if p is None)
            raise error(
                RuntimeError,
                f"{type(self).__name__}: Dataset not found. You can use download=True to download "
                f"it, or put {missing} (plain or .gz) into {Path(self.raw_folder).resolve()} "
                f"or {self._root.resolve()}, got root={str(self.root)!r}",
            )
        pixels, digits = _read(images, 3), _read(labels, 1)
        self._check(images, pixels, labels, digits)
        return pixels, digits

    def _check(
        self, images: Path, pixels: NDArray[np.uint8], labels: Path, digits: NDArray[np.uint8]
    ) -> None:
        kind = type(self).__name__
        if len(pixels) != len(digits):
            raise error(
                RuntimeError,
                f"{kind}: {images} and {labels} must go together, "
                f"got {len(pixels)} images and {len(digits)} labels",
            )
        if digits.size and digits.max() >= len(self.classes):
            raise error(
                RuntimeError,
                f"{kind}: labels must be below {len(self.classes)}, got {digits.max()} in {labels}",
            )
        content = struct.pack(">II", 0x801, len(digits)) + digits.tobytes()
        owner = _OWNERS.get(hashlib.md5(content, usedforsecurity=False).hexdigest(), kind)
        if owner != kind and kind in _OWNERS.values():
            raise error(
                RuntimeError,
                f"{kind}: {labels} belongs to {owner}, whose files have the same names; "
                f"put those of {kind} into {Path(self.raw_folder).resolve()}",
            )

    def download(self) -> None:
        """Fetch what is missing or damaged into ``raw_folder``, and unpack it there."""
        for packed, md5 in self.resources:
            name = packed.removesuffix(".gz")
            found = self._find(name)
            if found is not None and _readable(found):
                continue
            folder = Path(self.raw_folder)
            fetch([mirror + packed for mirror in self.mirrors], folder / packed, md5)
            # Unpacked as well: torchvision looks for that file, and it loads ten times faster.
            with atomic_write(folder / name, "download") as file:
                file.write(gzip.decompress((folder / packed).read_bytes()))


class FashionMNIST(MNIST):
    """60,000 training and 10,000 test images of clothes, 28 x 28, grey: MNIST's form, harder.

    The files have MNIST's names: keep them in ``root/FashionMNIST/raw`` where both are used.
    Everything else is as in ``MNIST``.

    >>> import lucidlite
    >>> test = lucidlite.datasets.FashionMNIST("data", train=False)  # doctest: +SKIP
    >>> test.classes[test[0][1]]  # doctest: +SKIP
    'Ankle boot'

    Semantics: torchvision.datasets.FashionMNIST. Data: Xiao, Rasul and Vollgraf (2017).
    """

    classes: list[str] = [  # noqa: RUF012
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    mirrors: ClassVar[list[str]] = [
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]


class MNISTSample(_Digits):
    """6,000 training and 1,000 test digits of MNIST that come with the package: no download.

    600 and 100 of each class, in the order 0, 1, ..., 9, 0, 1, ... (so every tenth of the data is
    balanced). ``data``, ``targets`` and the samples are as in ``MNIST``. How they were drawn and
    under which licence they stand: MNIST_SAMPLE.md beside this file.

    >>> import lucidlite
    >>> test = lucidlite.datasets.MNISTSample(train=False)
    >>> len(test), tuple(test.data.shape), test.targets[:4].tolist()
    (1000, (1000, 28, 28), [0, 1, 2, 3])
    """

    classes: list[str] = MNIST.classes

    def __init__(
        self,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        super().__init__(None, transform, target_transform)
        self.train = bool(train)
        split = "train" if train else "test"
        with np.load(Path(__file__).with_name("mnist_sample.npz"), allow_pickle=False) as arrays:
            self._hold(arrays[f"{split}_images"], arrays[f"{split}_labels"])


def _read(path: Path, dims: int) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != dims:
        raise error(
            RuntimeError,
            f"MNIST: {path} must hold {dims}-dimensional uint8 data, "
            f"got {array.dtype} with shape {array.shape}",
        )
    return array


def _readable(path: Path) -> bool:
    try:
        read_idx(path)
    except RuntimeError:
        return False
    return True
