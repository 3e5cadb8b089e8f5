"""A tensor in a notebook: the text it prints as, and a small picture of planes of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lucidlite.pictures import Picture, colours, planes, shown, thinned

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

_TILES, _SIDE = 16, 128  # of a picture: planes, elements a side
_SMALL, _MOST = 256, 16  # magnified until it is so many pixels wide, or an element that many


def tensor_html(tensor: Tensor, text: str) -> str:
    """``text``, escaped, and below it the picture of a tensor that has one.

    The colours of the text are the notebook's own, light or dark.
    """
    printed = f'<pre style="margin: 0">{escaped(text)}</pre>'
    found = picture(tensor)
    if found is None:
        return f"<div>{printed}</div>"
    image, caption = found
    zoom = max(1, min(_MOST, _SMALL // max(image.width, image.height)))
    style = (
        f"width: {image.width * zoom}px; max-width: 100%; image-rendering: pixelated; "
        "border: 1px solid #8888; display: block; margin-top: 0.5em"
    )
    return (
        f'<div>{printed}<img src="{image.src}" alt="{caption}" style="{style}">'
        f'<small style="opacity: 0.7">{caption}</small></div>'
    )


def picture(tensor: Tensor) -> tuple[Picture, str] | None:
    """A picture of a tensor of 2 to 4 dimensions and what it shows; None for others.

    A matrix is one plane; (C, H, W) are C planes, or one in colour where C is 3; of (N, C, H, W)
    the first sample is shown. Numbers below zero are blue; without any it is black to white.
    """
    array = tensor.array
    if not 2 <= array.ndim <= 4 or not array.size:
        return None
    note = ""
    if array.ndim == 4:
        note = f", sample 0 of {array.shape[0]}"
        array = array[0]
    matrix = array.ndim == 2
    if matrix:
        array = array[None]
    channels, height, width = array.shape
    step = -(-max(height, width) // _SIDE)
    count = min(channels, _TILES)
    values = tensor.backend.to_numpy(array[:count, ::step, ::step])
    if channels == 3 and values.dtype.kind != "b":
        image, what = colours(values[None]), "3 channels as colour"
    else:
        image = planes(values, "diverging" if (values < 0).any() else "grey")
        what = f"{height} x {width}" if matrix else shown(count, channels, "channel")
    limits = "" if image.low is None else f", {image.low:.4g} to {image.high:.4g}"
    return image, what + note + thinned(step) + limits


def escaped(text: str) -> str:
    """Text as HTML shows it, also between quotes. (The module html is slow to load.)"""
    for character, name in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot"), ("'", "#x27")):
        text = text.replace(character, f"&{name};")
    return text
