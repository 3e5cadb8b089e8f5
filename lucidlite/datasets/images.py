"""Image files to arrays: PNM and .npy by ourselves, everything else through Pillow."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lucidlite.callsite import error

# What ImageFolder takes for an image; the second half needs Pillow.
PLAIN = (".pgm", ".ppm", ".pnm", ".npy")
EXTENSIONS = (*PLAIN, ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(
    rb"P([2356])" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})\s"
)


def read_image(path: str | os.PathLike[str], mode: str | None = None) -> NDArray[np.uint8]:
    """The image in a file as a uint8 array (height, width, channels).

    ``mode`` is "L" (1 channel, grey), "RGB" (3 channels) or None: 1, 3 or 4 (with alpha) channels
    as stored. PNM files (P2, P3, P5, P6; 16 bits are scaled to 8) and .npy files (uint8) are read
    by NumPy; PNG, JPEG and others take Pillow. The kind is told by content, not by name.

    Raises FileNotFoundError, ValueError for a file that is damaged or no image, and ImportError
    where Pillow is needed and missing.

    >>> import lucidlite, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "grey.pgm")
    >>> with open(path, "wb") as file:
    ...     _ = file.write(b"P5 2 1 255 " + bytes([0, 255]))
    >>> lucidlite.datasets.read_image(path).tolist()
    [[[0], [255]]]
    """
    if mode not in (None, "L", "RGB"):
        raise error(ValueError, f"read_image: mode must be None, 'L' or 'RGB', got mode={mode!r}")
    path = Path(path)
    content = path.read_bytes()
    if re.match(rb"P[1-7]\s", content):
        image = _read_pnm(content, path)
    elif content.startswith(b"\x93NUMPY"):
        image = _read_npy(content, path)
    else:
        image = _read_with_pillow(content, path)
    return np.ascontiguousarray(_as_mode(image, mode))


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luma (..., 1) of RGB values (..., 3): ITU-R 601-2 in 16-bit fixed point, as Pillow's."""
    red, green, blue = (image[..., channel].astype(np.uint32) for channel in range(3))
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma.astype(np.uint8)[..., None]


def _as_mode(image: NDArray[np.uint8], mode: str | None) -> NDArray[np.uint8]:
    if mode == "L" and image.shape[2] != 1:
        return grey(image)
    if mode == "RGB":
        return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    return image


def _bad(path: Path, reason: str) -> ValueError:
    return error(ValueError, f"read_image: cannot read {path}: {reason}")


def _read_pnm(content: bytes, path: Path) -> NDArray[np.uint8]:
    header = _HEADER.match(content)
    if header is None:
        raise _bad(path, f"only P2, P3, P5 and P6 of PNM are supported, got {content[:20]!r}")
    kind, width, height, top = (int(group) for group in header.groups())
    shape = (height, width, 3 if kind in (3, 6) else 1)
    count = height * width * shape[2]
    if not 0 < top < 65536 or count == 0:
        raise _bad(path, f"width, height and maximum must be sensible, got {header[0]!r}")
    body = content[header.end() :]
    if kind in (2, 3):
        try:
            words = re.sub(rb"#[^\r\n]*", b" ", body).split()
            values = np.array(words, dtype="S").astype(np.int64)
        except (ValueError, OverflowError):
            raise _bad(path, "its samples must be decimal numbers") from None
    else:
        size = count * (1 if top < 256 else 2)
        if len(body) < size or body[size:].strip():
            raise _bad(path, f"{shape[0]} x {shape[1]} pixels take {size} bytes, got {len(body)}")
        values = np.frombuffer(body[:size], np.uint8 if top < 256 else ">u2")
    if values.size != count or values.max() > top or values.min() < 0:
        raise _bad(path, f"it must hold {count} samples from 0 to {top}, got {values.size}")
    if top != 255:
        values = (values.astype(np.int64) * 255 + top // 2) // top
    return values.astype(np.uint8).reshape(shape)


def _read_npy(content: bytes, path: Path) -> NDArray[np.uint8]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as problem:
        raise _bad(path, str(problem)) from None
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise _bad(
            path,
            "an image must be uint8 with shape (H, W) or (H, W, 1, 3 or 4), "
            f"got {array.dtype} {array.shape}",
        )
    return array


def _read_with_pillow(content: bytes, path: Path) -> NDArray[np.uint8]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise error(
            ImportError,
            f"read_image: {path} takes Pillow (pip install 'lucidlite[images]'); without it, "
            f"images are read from {', '.join(PLAIN)} files",
        ) from None
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if image.mode == "I" or image.mode.startswith("I;16"):
                # 16 bits (some versions of Pillow give 32 for them); convert() would clip at 255.
                deep: NDArray[Any] = np.asarray(image)
                shallow: NDArray[np.uint8] = np.clip(deep >> 8, 0, 255).astype(np.uint8)
                return shallow[..., None]
            if image.mode not in ("L", "RGB", "RGBA"):
                alpha = "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBa")
                grey_only = image.mode == "1"
                image = image.convert("L" if grey_only else "RGBA" if alpha else "RGB")
            array = np.asarray(image)
    except UnidentifiedImageError:
        raise _bad(path, "it is no image that Pillow knows") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise _bad(path, str(problem)) from None
    return array[..., None] if array.ndim == 2 else array
