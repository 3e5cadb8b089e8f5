"""What the transforms do to images: padding, cropping, flipping, scaling, on arrays and Tensors.

An image is an array (H, W), (H, W, C) or a batch (N, H, W, C), or a Tensor (H, W), (C, H, W) or
(N, C, H, W). Everything here takes both; ``on_arrays`` sends a Tensor down as its array where
nothing is lost by that, which is several times faster for small images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lucidlite.callsite import error
from lucidlite.creation import from_numpy, tensor
from lucidlite.grad_mode import is_grad_enabled
from lucidlite.ops.choose import where
from lucidlite.ops.join import stack
from lucidlite.tensor import Tensor

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


class Layout(NamedTuple):
    """Where the height is (the width follows it), where the channels are, and if it is a batch."""

    height: int
    channels: int | None
    batched: bool


_ARRAYS = {2: Layout(0, None, False), 3: Layout(0, 2, False), 4: Layout(1, 3, True)}
_TENSORS = {2: Layout(0, None, False), 3: Layout(1, 0, False), 4: Layout(2, 1, True)}


def as_image(image: Any) -> Any:
    """``image`` itself, or its array for what offers one (a PIL image)."""
    if isinstance(image, np.ndarray | Tensor) or not hasattr(image, "__array_interface__"):
        return image
    return np.asarray(image)


def layout_of(op: str, image: Any) -> Layout:
    """The layout of an image or batch; raises where ``image`` is neither."""
    if not isinstance(image, np.ndarray | Tensor):
        raise error(
            TypeError,
            f"{op}: image must be a NumPy array or a Tensor, got {type(image).__name__}",
        )
    is_array = isinstance(image, np.ndarray)
    layout = (_ARRAYS if is_array else _TENSORS).get(image.ndim)
    if layout is None:
        rule = (
            "an array image must have shape (H, W), (H, W, C) or (N, H, W, C)"
            if is_array
            else "a Tensor image must have shape (H, W), (C, H, W) or (N, C, H, W)"
        )
        raise error(ValueError, f"{op}: {rule}, got shape={tuple(image.shape)}")
    return layout


def on_arrays(function: Callable[[Any], Any], image: Any) -> Any:
    """``function(image)``, by way of the array of a CPU Tensor that needs no gradient."""
    if (
        not isinstance(image, Tensor)
        or image.device.type != "cpu"
        or (image.requires_grad and is_grad_enabled())
    ):
        return function(image)
    result = function(image.array)
    if result is image.array:
        return image
    # A view would be a second Tensor on the same memory that knows nothing of the first.
    return from_numpy(result if result.base is None else result.copy())


def size_of(image: Any, layout: Layout) -> tuple[int, int]:
    """Height and width."""
    height, width = image.shape[layout.height : layout.height + 2]
    return int(height), int(width)


def crop(image: Any, layout: Layout, top: int, left: int, size: tuple[int, int]) -> Any:
    """The part of ``image`` of this size whose upper left corner is at (top, left); a view."""
    window = (slice(top, top + size[0]), slice(left, left + size[1]))
    return image[(slice(None),) * layout.height + window]


def crop_each(
    images: Any, layout: Layout, tops: Sequence[int], lefts: Sequence[int], size: tuple[int, int]
) -> Any:
    """A batch of crops, each image of the batch at its own place."""
    single = Layout(layout.height - 1, None, False)
    corners = zip(images, tops, lefts, strict=True)
    parts = (crop(image, single, top, left, size) for image, top, left in corners)
    if not isinstance(images, np.ndarray):
        return stack(list(parts))
    shape = list(images.shape)
    shape[layout.height : layout.height + 2] = size
    out = np.empty_like(images, shape=shape)
    for place, part in zip(out, parts, strict=True):
        place[...] = part
    return out


def flip_each(images: Any, axis: int, chosen: NDArray[np.bool_]) -> Any:
    """A batch in which the chosen images are mirrored along ``axis``."""
    if not chosen.any():
        return images
    if isinstance(images, np.ndarray):
        out = images.copy(order="K")
        out[chosen] = np.flip(images[chosen], axis)
        return out
    mask = tensor(chosen.reshape(-1, 1, 1, 1), device=images.device)
    return where(mask, images.flip(axis), images)


def flip(image: Any, axis: int) -> Any:
    """The mirrored image, in fresh memory."""
    if isinstance(image, np.ndarray):
        return np.flip(image, axis).copy(order="K")
    return image.flip(axis)


def pad(image: Any, layout: Layout, sides: tuple[int, int, int, int], fill: Any, mode: str) -> Any:
    """``image`` with (left, top, right, bottom) more pixels."""
    left, top, right, bottom = sides
    if not any(sides):
        return image
    height, width = size_of(image, layout)
    if mode == "constant" and isinstance(image, np.ndarray):
        shape = list(image.shape)
        shape[layout.height : layout.height + 2] = height + top + bottom, width + left + right
        out = np.empty_like(image, shape=shape)
        out[...] = _fill_values(image, layout, fill)
        crop(out, layout, top, left, (height, width))[...] = image
        return out
    if height == 0 or width == 0:
        raise error(ValueError, f"Pad: image must not be empty, got shape={tuple(image.shape)}")
    rows, columns = sources(height, top, bottom, mode), sources(width, left, right, mode)
    if isinstance(image, np.ndarray):
        return image.take(rows, layout.height).take(columns, layout.height + 1)
    at = from_numpy(rows).to(image.device), from_numpy(columns).to(image.device)
    out = image.index_select(layout.height, at[0]).index_select(layout.height + 1, at[1])
    if mode != "constant":
        return out
    inside = np.zeros(tuple(out.shape[-2:]), np.bool_)
    inside[top : top + height, left : left + width] = True
    values = tensor(_fill_values(image, layout, fill), dtype=image.dtype, device=image.device)
    return where(tensor(inside, device=image.device), out, values)


def sources(n: int, before: int, after: int, mode: str) -> NDArray[np.int64]:
    """Which of ``n`` pixels each pixel of the padded line shows (the nearest for "constant")."""
    place = np.arange(-before, n + after)
    if mode == "reflect":
        if n == 1:
            return np.zeros_like(place)
        place %= 2 * (n - 1)
        return np.minimum(place, 2 * (n - 1) - place)
    if mode == "symmetric":
        place %= 2 * n
        return np.minimum(place, 2 * n - 1 - place)
    return place.clip(0, n - 1)


def resize(image: Any, layout: Layout, size: tuple[int, int], antialias: bool) -> Any:
    """``image`` scaled by a triangle filter: bilinear up, and, with antialias, area-aware down."""
    before = size_of(image, layout)
    if before == size:
        return image
    rows = triangle_weights(before[0], size[0], antialias)
    columns = triangle_weights(before[1], size[1], antialias).T
    if isinstance(image, np.ndarray):
        real = image.dtype if image.dtype.kind == "f" else np.dtype(np.float32)
        planes = np.moveaxis(image.astype(real), (layout.height, layout.height + 1), (-2, -1))
        out = np.moveaxis(
            rows.astype(real) @ planes @ columns.astype(real),
            (-2, -1),
            (layout.height, layout.height + 1),
        )
        if image.dtype.kind == "f":
            return out
        limits = np.iinfo(image.dtype)
        return np.rint(out).clip(limits.min, limits.max).astype(image.dtype)
    if not image.dtype.is_floating_point:
        raise error(TypeError, f"Resize: a Tensor here must be floating, got dtype={image.dtype}")
    left, right = (
        tensor(np.ascontiguousarray(weights), dtype=image.dtype, device=image.device)
        for weights in (rows, columns)
    )
    return left @ image @ right


def triangle_weights(n: int, size: int, antialias: bool) -> NDArray[np.float64]:
    """How much each of ``n`` pixels counts for each of ``size`` new ones; every row sums to 1."""
    scale = n / size
    reach = max(scale, 1.0) if antialias else 1.0
    centres = (np.arange(size)[:, None] + 0.5) * scale
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(n) + 0.5 - centres) / reach)
    result: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return result


def _fill_values(image: Any, layout: Layout, fill: Any) -> NDArray[Any]:
    """``fill``, one number or one per channel, in a shape that broadcasts against ``image``."""
    values = np.asarray(fill)
    kind = image.dtype if isinstance(image, np.ndarray) else image.dtype.numpy
    if kind.kind in "ui" and not np.array_equal(values.astype(kind), values):
        raise error(ValueError, f"Pad: fill must fit an image of {kind}, got fill={fill!r}")
    if values.size == 1:
        return values.reshape(())
    channels = 1 if layout.channels is None else image.shape[layout.channels]
    if values.shape != (channels,):
        raise error(
            ValueError,
            "Pad: fill must be a number or one number per channel, "
            f"got fill={fill!r}, channels={channels}",
        )
    return values if layout.channels == image.ndim - 1 else values.reshape(-1, 1, 1)
