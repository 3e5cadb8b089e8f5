"""Batches from a data set that lies on the device, and batches on their way there."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array

Host = np.ndarray[Any, Any]


class DataKernels:
    """Kernels that make or bring batches."""

    xp: Any

    def gather_images(
        self,
        images: Array,
        labels: Array,
        table: Host,
        size: tuple[int, int],
        planes: int,
        fill: int,
        scale: tuple[Array, Array],
    ) -> tuple[Array, Array]:
        """Windows of uint8 images as normalized numbers, and the images' labels.

        images: (N, H, W, C) in C order. labels: (N,) int64. table: (B, 4) int32 on the host: which
        image, the window's top and left (negative or beyond the image: ``fill`` is there), and
        whether it is mirrored (1: left and right, 2: top and bottom). The result is
        (B, planes, *size) with ``(pixel / 255 - mean) / std`` for ``scale``, mean and std of each
        plane in the result's dtype; an image of one channel fills all planes.
        """
        xp = self.xp
        mean, std = scale
        rows, top, left, mirrored = (self._on_device(np.ascontiguousarray(c)) for c in table.T)
        ys = self._places(top, size[0], (mirrored & 2) > 0)
        xs = self._places(left, size[1], (mirrored & 1) > 0)
        height, width = images.shape[1:3]
        inside = ((ys >= 0) & (ys < height))[:, :, None] & ((xs >= 0) & (xs < width))[:, None, :]
        ys, xs = xp.clip(ys, 0, height - 1)[:, :, None], xp.clip(xs, 0, width - 1)[:, None, :]
        pixels = images[rows[:, None, None], ys, xs]
        pixels = xp.where(inside[..., None], pixels, xp.full((), fill, np.uint8))
        values = pixels.astype(mean.dtype)
        values /= mean.dtype.type(255)
        if planes != values.shape[-1]:
            values = xp.repeat(values, planes, -1)
        values -= mean
        values /= std
        return xp.ascontiguousarray(values.transpose(0, 3, 1, 2)), labels[rows]

    def _places(self, first: Array, count: int, mirrored: Array) -> Array:
        """(B, count): where each row or column of each window comes from."""
        steps = self.xp.arange(count, dtype=np.int32)
        return first[:, None] + self.xp.where(mirrored[:, None], count - 1 - steps, steps)

    def _on_device(self, host: Host) -> Array:
        return self.xp.asarray(host)

    def send(self, host: Host) -> Array:
        """A copy on the device that may be under way still; the host array must stay as it is."""
        return self._on_device(host)

    def uploader(self) -> Any:
        """What copies batches here, one beside the computation of another where that is possible.

        ``send(hosts)`` gives (arrays, buffer), and ``receive(buffer)`` must come before their use.
        """
        return _Upload(self)

    def pinned_empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Host:
        """An uninitialised host array from which the device copies by itself, where it can."""
        return np.empty(shape, dtype)

    def is_pinned(self, host: Host) -> bool:  # noqa: ARG002
        """Whether a host array is such a one."""
        return False


class _Upload:
    """Copies at once."""

    def __init__(self, backend: DataKernels) -> None:
        self._backend = backend

    def send(self, hosts: list[Host]) -> tuple[list[Array], None]:
        return [self._backend._on_device(host) for host in hosts], None

    def receive(self, buffer: None) -> None:
        """They are there."""
