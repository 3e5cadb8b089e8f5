"""Transforms of images, with torchvision's names and arguments.

An image is an array (H, W) or (H, W, C), as the data sets give it, or a Tensor (C, H, W) or (H, W);
a batch is an array (N, H, W, C) or a Tensor (N, C, H, W). A random transform draws once for each
image, from the current generator: the default one, or the one that ``use_generator`` put in place.
DataLoader puts one in place for each sample, keyed by seed, epoch, place in the epoch and index,
so that neither the number of workers nor the batch around a sample changes what it gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lucidlite.callsite import error
from lucidlite.creation import from_numpy, tensor
from lucidlite.datasets import spatial
from lucidlite.datasets.geometric import (
    CenterCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
)
from lucidlite.datasets.images import grey
from lucidlite.dtypes import get_default_dtype
from lucidlite.generator import use_generator
from lucidlite.tensor import Tensor

__all__ = [
    "CenterCrop",
    "Compose",
    "Grayscale",
    "Lambda",
    "Normalize",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "Resize",
    "ToTensor",
    "use_generator",
]


class Compose:
    """Apply transforms one after another (semantics: torchvision.transforms.Compose).

    >>> from lucidlite.datasets import transforms
    >>> transforms.Compose([transforms.CenterCrop(2), transforms.ToTensor()])
    Compose(
        CenterCrop(size=(2, 2))
        ToTensor()
    )
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return "\n".join(["Compose(", *(f"    {each}" for each in self.transforms), ")"])


def takes_batches(transform: Any) -> bool:
    """Whether ``transform`` makes of an array (N, H, W, C) what it would make of each image.

    True for what is defined here (not for subclasses, which may do anything, nor for Lambda), if
    it leads to a Tensor: between images without a Tensor, (H, W) and (H, W, 1) would differ.
    """
    parts = list(_parts(transform))
    return ToTensor in parts and _BATCHED.issuperset(parts)


def _parts(transform: Any) -> Iterator[type]:
    if type(transform) is Compose:
        for each in transform.transforms:
            yield from _parts(each)
    else:
        yield type(transform)


class Lambda:
    """Apply a function (semantics: torchvision.transforms.Lambda).

    >>> from lucidlite.datasets import transforms
    >>> transforms.Lambda(abs)(-2)
    2
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise error(TypeError, f"Lambda: lambd should be callable, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"


class ToTensor:
    """An array (H, W), (H, W, C) or (N, H, W, C) as a Tensor (1, H, W), (C, H, W) or (N, C, H, W).

    uint8 becomes the default dtype (float32), divided by 255; other dtypes stay as they are, with
    their values. A Tensor keeps its shape; only uint8 is scaled, likewise. The result shares no
    memory with an array.

    >>> import numpy as np
    >>> from lucidlite.datasets import transforms
    >>> transforms.ToTensor()(np.array([[0, 255]], np.uint8))
    tensor([[[0., 1.]]])

    Semantics: torchvision.transforms.ToTensor (which takes no batch and no Tensor).
    """

    def __call__(self, image: Any) -> Tensor:
        image = spatial.as_image(image)
        layout = spatial.layout_of("ToTensor", image)
        real = get_default_dtype()
        if isinstance(image, Tensor):
            return image.to(real) / 255 if image.dtype.numpy == np.uint8 else image
        if layout.channels is None:
            image = image[None]
        else:
            image = np.moveaxis(image, layout.channels, layout.height)
        if image.dtype == np.uint8:
            # Divided, not multiplied by 1/255: the last bit is then torch's too.
            return from_numpy(np.divide(image, real.numpy.type(255), dtype=real.numpy, order="C"))
        return from_numpy(np.array(image, order="C"))

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """(image - mean) / std, channel by channel, for floating images.

    ``mean`` and ``std`` hold one number per channel (or one for all). ``inplace=True`` writes to
    the image. A Tensor that requires grad gets its gradient through it.

    Raises TypeError for an image that is not floating (use ToTensor first) and ValueError for a
    std of 0 or for numbers that do not fit the channels.

    >>> import lucidlite
    >>> from lucidlite.datasets import transforms
    >>> transforms.Normalize((0.5,), (0.25,))(lucidlite.ones(1, 1, 2))
    tensor([[[2., 2.]]])

    Semantics: torchvision.transforms.Normalize.
    """

    def __init__(
        self, mean: float | Sequence[float], std: float | Sequence[float], inplace: bool = False
    ) -> None:
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, image: Any) -> Any:
        image = spatial.as_image(image)
        layout = spatial.layout_of("Normalize", image)
        kind = image.dtype.numpy if isinstance(image, Tensor) else image.dtype
        if kind.kind != "f":
            raise error(
                TypeError,
                "Normalize: the image must be floating (ToTensor makes it so), "
                f"got dtype={image.dtype}",
            )
        channels = 1 if layout.channels is None else int(image.shape[layout.channels])
        last = layout.channels is None or layout.channels == image.ndim - 1
        mean = _per_channel("mean", self.mean, channels, kind, last)
        std = _per_channel("std", self.std, channels, kind, last)
        if not std.all():
            raise error(ValueError, f"Normalize: std must not be 0 as {kind}, got std={self.std!r}")
        if self.inplace:
            if isinstance(image, np.ndarray):
                np.subtract(image, mean, out=image)
                return np.divide(image, std, out=image)
            return image.sub_(_like(image, mean)).div_(_like(image, std))

        def normalized(values: Any) -> Any:
            if isinstance(values, Tensor):
                return (values - _like(values, mean)) / _like(values, std)
            out = values - mean
            out /= std
            return out

        return spatial.on_arrays(normalized, image)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


def _per_channel(name: str, value: Any, channels: int, kind: Any, last: bool) -> NDArray[Any]:
    values = np.asarray(value, dtype=kind)
    if values.ndim > 1 or values.size not in (1, channels):
        raise error(
            ValueError,
            f"Normalize: {name} must hold one number or one per channel, "
            f"got {name}={value!r}, channels={channels}",
        )
    if values.size == 1:
        return values.reshape(())
    return values if last else values.reshape(-1, 1, 1)


def _like(image: Tensor, values: NDArray[Any]) -> Tensor:
    return tensor(values, device=image.device)


class Grayscale:
    """A colour image in grey, in 1 or 3 equal channels; a grey image keeps its values.

    Arrays are weighted as Pillow does it, Tensors as torchvision: 0.2989 R + 0.587 G + 0.114 B.

    >>> import numpy as np
    >>> from lucidlite.datasets import transforms
    >>> transforms.Grayscale()(np.full((2, 2, 3), 7, np.uint8)).tolist()
    [[7, 7], [7, 7]]

    Semantics: torchvision.transforms.Grayscale.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise error(
                ValueError,
                "Grayscale: num_output_channels should be either 1 or 3, "
                f"got num_output_channels={num_output_channels}",
            )
        self.num_output_channels = num_output_channels

    def __call__(self, image: Any) -> Any:
        image = spatial.as_image(image)
        layout = spatial.layout_of("Grayscale", image)
        wanted = self.num_output_channels
        if layout.channels is None:
            if wanted == 1:
                return image
            image = image[..., None] if isinstance(image, np.ndarray) else image.unsqueeze(0)
            axis = 2 if isinstance(image, np.ndarray) else 0
        else:
            axis = layout.channels
        channels = image.shape[axis]
        if channels not in (1, 3):
            raise error(
                ValueError, f"Grayscale: the image must have 1 or 3 channels, got {channels}"
            )
        if isinstance(image, Tensor):
            if channels == 3:
                red, green, blue = image.unbind(axis)
                luma = 0.2989 * red + 0.587 * green + 0.114 * blue
                image = luma.to(image.dtype).unsqueeze(axis)
            sizes = list(image.shape)
            sizes[axis] = wanted
            return image.expand(*sizes)
        if channels == 3:
            image = grey(image) if image.dtype == np.uint8 else _weighted(image)
        if wanted == 3:
            return np.repeat(image, 3, axis=axis)
        # One grey image is (H, W), as the data sets give it; a batch keeps its axis.
        return image if layout.batched else image[..., 0]

    def __repr__(self) -> str:
        return f"Grayscale(num_output_channels={self.num_output_channels})"


def _weighted(image: NDArray[Any]) -> NDArray[Any]:
    # Not a matrix product, whose rounding may depend on how many pixels there are.
    red, green, blue = (image[..., channel].astype(np.float64) for channel in range(3))
    luma: NDArray[Any] = 0.2989 * red + 0.587 * green + 0.114 * blue
    return luma.astype(image.dtype)[..., None]


_BATCHED = frozenset(
    {
        CenterCrop,
        Grayscale,
        Normalize,
        Pad,
        RandomCrop,
        RandomHorizontalFlip,
        RandomVerticalFlip,
        Resize,
        ToTensor,
    }
)
