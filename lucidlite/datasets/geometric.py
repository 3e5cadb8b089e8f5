"""Transforms that move pixels: padding, cropping, mirroring, scaling (public in transforms.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.datasets import spatial
from lucidlite.generator import current_generator
from lucidlite.philox import unit_interval

Size = int | Sequence[int]


class Pad:
    """Add pixels around an image.

    ``padding`` is one number for all sides, (left and right, top and bottom), or (left, top,
    right, bottom). ``padding_mode`` is "constant" (``fill``: a number or one per channel), "edge"
    (the last pixel), "reflect" (mirrored without the last pixel) or "symmetric" (mirrored with it).

    >>> import numpy as np
    >>> from lucidlite.datasets import transforms
    >>> transforms.Pad((2, 0), padding_mode="reflect")(np.array([[1, 2, 3]])).tolist()
    [[3, 2, 1, 2, 3, 2, 1]]

    Semantics: torchvision.transforms.Pad.
    """

    def __init__(self, padding: Size, fill: Any = 0, padding_mode: str = "constant") -> None:
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode
        self._sides = _sides("Pad", padding)
        _check_mode("Pad", padding_mode)

    def __call__(self, image: Any) -> Any:
        image = spatial.as_image(image)
        layout = spatial.layout_of("Pad", image)
        return spatial.on_arrays(
            lambda x: spatial.pad(x, layout, self._sides, self.fill, self.padding_mode), image
        )

    def __repr__(self) -> str:
        mode = self.padding_mode
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={mode})"


class CenterCrop:
    """The middle of an image; where it is smaller, zeros are added around it.

    >>> import numpy as np
    >>> from lucidlite.datasets import transforms
    >>> transforms.CenterCrop((1, 2))(np.array([[1, 2, 3, 4]])).tolist()
    [[2, 3]]

    Semantics: torchvision.transforms.CenterCrop.
    """

    def __init__(self, size: Size) -> None:
        self.size = _pair("CenterCrop", size)

    def __call__(self, image: Any) -> Any:
        image = spatial.as_image(image)
        layout = spatial.layout_of("CenterCrop", image)
        return spatial.on_arrays(lambda x: self._cropped(x, layout), image)

    def _cropped(self, image: Any, layout: spatial.Layout) -> Any:
        short = [
            max(want - n, 0)
            for want, n in zip(self.size, spatial.size_of(image, layout), strict=True)
        ]
        sides = (short[1] // 2, short[0] // 2, (short[1] + 1) // 2, (short[0] + 1) // 2)
        image = spatial.pad(image, layout, sides, 0, "constant")
        height, width = spatial.size_of(image, layout)
        # round(), as torchvision: an odd pixel goes to the side that makes the offset even.
        top, left = round((height - self.size[0]) / 2), round((width - self.size[1]) / 2)
        return spatial.crop(image, layout, top, left, self.size)

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class RandomCrop:
    """A window of this size at a random place of the image.

    ``padding`` (as in Pad) is added first; ``pad_if_needed`` then pads an image that is still too
    small, on both sides. Both use ``fill`` and ``padding_mode``.

    Raises ValueError when the window is larger than the image.

    >>> import lucidlite
    >>> from lucidlite.datasets import transforms
    >>> transforms.RandomCrop(32, padding=4)(lucidlite.rand(8, 3, 32, 32)).shape
    (8, 3, 32, 32)

    Semantics: torchvision.transforms.RandomCrop, with this package's random numbers.
    """

    def __init__(
        self,
        size: Size,
        padding: Size | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = _pair("RandomCrop", size)
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode
        self._sides = (0, 0, 0, 0) if padding is None else _sides("RandomCrop", padding)
        _check_mode("RandomCrop", padding_mode)

    def __call__(self, image: Any) -> Any:
        image = spatial.as_image(image)
        layout = spatial.layout_of("RandomCrop", image)
        return spatial.on_arrays(lambda x: self._cropped(x, layout), image)

    def _cropped(self, image: Any, layout: spatial.Layout) -> Any:
        image = spatial.pad(image, layout, self._sides, self.fill, self.padding_mode)
        rows, columns = self.size
        if self.pad_if_needed:
            height, width = spatial.size_of(image, layout)
            x, y = max(columns - width, 0), max(rows - height, 0)
            # One axis after the other, as torchvision: for "reflect" it is not the same as both.
            for sides in ((x, 0, x, 0), (0, y, 0, y)):
                image = spatial.pad(image, layout, sides, self.fill, self.padding_mode)
        height, width = spatial.size_of(image, layout)
        if rows > height or columns > width:
            raise error(
                ValueError,
                "RandomCrop: Required crop size must not be larger than the padded image "
                f"(see pad_if_needed), got size={self.size}, image size={(height, width)}",
            )
        if (rows, columns) == (height, width):
            return image
        n = image.shape[0] if layout.batched else 1
        draws = current_generator().each(n, 2)
        tops = (draws[:, 0] % np.uint64(height - rows + 1)).tolist()
        lefts = (draws[:, 1] % np.uint64(width - columns + 1)).tolist()
        if layout.batched:
            return spatial.crop_each(image, layout, tops, lefts, self.size)
        return spatial.crop(image, layout, tops[0], lefts[0], self.size)

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class RandomHorizontalFlip:
    """Mirror left and right, with probability ``p``, each image of a batch for itself.

    >>> import numpy as np
    >>> from lucidlite.datasets import transforms
    >>> transforms.RandomHorizontalFlip(p=1.0)(np.array([[1, 2, 3]])).tolist()
    [[3, 2, 1]]

    Semantics: torchvision.transforms.RandomHorizontalFlip, with this package's random numbers.
    """

    _axis = 1  # counted from the height

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise error(ValueError, f"{type(self).__name__}: p must be from 0 to 1, got p={p}")
        self.p = p

    def __call__(self, image: Any) -> Any:
        image = spatial.as_image(image)
        layout = spatial.layout_of(type(self).__name__, image)
        axis = layout.height + self._axis
        draws = current_generator().each(image.shape[0] if layout.batched else 1, 1)
        chosen = unit_interval(draws[:, 0], np.float32) < self.p
        if layout.batched:
            return spatial.on_arrays(lambda x: spatial.flip_each(x, axis, chosen), image)
        return spatial.on_arrays(lambda x: spatial.flip(x, axis), image) if chosen[0] else image

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomVerticalFlip(RandomHorizontalFlip):
    """Mirror top and bottom, otherwise as RandomHorizontalFlip."""

    _axis = 0


class Resize:
    """Scale an image to ``size``: (height, width), or one number for the shorter side.

    With one number the longer side follows, and stays within ``max_size`` where that is given.
    The filter is bilinear; ``antialias`` widens it for shrinking, so that every pixel counts.

    >>> import lucidlite
    >>> from lucidlite.datasets import transforms
    >>> transforms.Resize(14)(lucidlite.rand(1, 28, 56)).shape
    (1, 14, 28)

    Semantics: torchvision.transforms.Resize, of whose interpolations this has "bilinear".
    """

    def __init__(
        self,
        size: Size,
        interpolation: str = "bilinear",
        max_size: int | None = None,
        antialias: bool = True,
    ) -> None:
        if getattr(interpolation, "value", interpolation) != "bilinear":
            raise error(
                ValueError,
                f"Resize: interpolation must be 'bilinear', got interpolation={interpolation!r}",
            )
        self.size = _pair("Resize", size)
        single = len(_numbers(size)) == 1
        if max_size is not None and (not single or max_size <= self.size[0]):
            raise error(
                ValueError,
                "Resize: max_size takes a size of one number, below it, "
                f"got size={size}, max_size={max_size}",
            )
        self._single, self.max_size, self.antialias = single, max_size, antialias

    def __call__(self, image: Any) -> Any:
        image = spatial.as_image(image)
        layout = spatial.layout_of("Resize", image)
        height, width = spatial.size_of(image, layout)
        size = self.size
        if self._single:
            short, long = sorted((height, width))
            low, high = size[0], int(size[0] * long / short)
            if self.max_size is not None and high > self.max_size:
                low, high = int(self.max_size * low / high), self.max_size
            size = (low, high) if height <= width else (high, low)
        return spatial.on_arrays(
            lambda x: spatial.resize(x, layout, size, bool(self.antialias)), image
        )

    def __repr__(self) -> str:
        size = self.size[0] if self._single else self.size
        return (
            f"Resize(size={size}, interpolation=bilinear, max_size={self.max_size}, "
            f"antialias={self.antialias})"
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _numbers(value: Any) -> list[Any]:
    return [value] if _is_int(value) else list(value) if isinstance(value, Sequence) else []


def _pair(op: str, size: Size) -> tuple[int, int]:
    """(height, width) of a size of one or two positive numbers."""
    sizes = _numbers(size)
    if len(sizes) not in (1, 2) or not all(_is_int(n) and n > 0 for n in sizes):
        raise error(
            ValueError, f"{op}: size must be one positive number or (height, width), got {size!r}"
        )
    return int(sizes[0]), int(sizes[-1])


def _sides(op: str, padding: Size) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a padding of one, two or four numbers."""
    sides = _numbers(padding)
    if len(sides) not in (1, 2, 4) or not all(_is_int(n) and n >= 0 for n in sides):
        raise error(
            ValueError,
            f"{op}: padding must be one, two or four numbers of at least 0 (CenterCrop cuts), "
            f"got padding={padding!r}",
        )
    left, top, right, bottom = (int(n) for n in (sides * 4)[:4])
    return left, top, right, bottom


def _check_mode(op: str, mode: str) -> None:
    if mode not in spatial.PADDING_MODES:
        raise error(
            ValueError,
            f"{op}: padding_mode must be one of {', '.join(spatial.PADDING_MODES)}, "
            f"got padding_mode={mode!r}",
        )
