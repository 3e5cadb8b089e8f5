"""Images in folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lucidlite.callsite import error
from lucidlite.datasets.images import EXTENSIONS, read_image
from lucidlite.datasets.vision import Root, Transform, VisionDataset


def _load_rgb(path: str) -> Any:
    return read_image(path, mode="RGB")


class ImageFolder(VisionDataset):
    """Images laid out as ``root/class_name/anything/name.png``: each sub-folder is a class.

    Classes are numbered in the order of their names, files come in the order of their paths, and
    files that are no images (by extension, or by ``is_valid_file(path)``) are passed over. A sample
    is (image, target): ``loader(path)``, by default ``read_image(path, mode="RGB")``, a uint8 array
    (H, W, 3) where torchvision gives a PIL image; and the number of the class. ``samples`` (also
    ``imgs``) lists (path, target), ``targets`` the targets.

    Raises FileNotFoundError when there is no sub-folder, or, unless ``allow_empty``, when one holds
    no image.

    >>> import lucidlite
    >>> pets = lucidlite.datasets.ImageFolder("pets/train")  # doctest: +SKIP
    >>> pets.class_to_idx  # doctest: +SKIP
    {'cat': 0, 'dog': 1}

    Semantics: torchvision.datasets.ImageFolder.
    """

    def __init__(
        self,
        root: Root,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[str], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.loader = _load_rgb if loader is None else loader
        top = Path(self.root or ".")
        if not top.is_dir():
            raise error(
                FileNotFoundError, f"ImageFolder: root must be a folder, got root={str(root)!r}"
            )
        self.classes = sorted(entry.name for entry in os.scandir(top) if entry.is_dir())
        if not self.classes:
            raise error(
                FileNotFoundError,
                f"ImageFolder: Couldn't find any class folder in {top}; it must hold one folder "
                f"per class, got root={str(root)!r}",
            )
        valid = _is_image if is_valid_file is None else is_valid_file
        files = [_files(top / name, valid) for name in self.classes]
        empty = [name for name, paths in zip(self.classes, files, strict=True) if not paths]
        if empty and not allow_empty:
            kinds = f" Supported extensions are: {', '.join(EXTENSIONS)}."
            raise error(
                FileNotFoundError,
                f"ImageFolder: Found no valid file for the classes {', '.join(empty)}."
                f"{kinds if is_valid_file is None else ''} Add images, remove the folders, or set "
                f"allow_empty=True, got root={str(root)!r}",
            )
        self.samples = [(path, number) for number, paths in enumerate(files) for path in paths]
        self.imgs = self.samples
        self.targets = [target for _, target in self.samples]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self.transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


def _is_image(path: str) -> bool:
    return path.lower().endswith(EXTENSIONS)


def _files(folder: Path, valid: Callable[[str], bool]) -> list[str]:
    found = []
    for place, _, names in sorted(os.walk(folder, followlinks=True)):
        paths = (os.path.join(place, name) for name in sorted(names))
        found += [path for path in paths if valid(path)]
    return found
