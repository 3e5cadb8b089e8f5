"""Batches on a GPU: gathered there from a whole data set, or copied there from pinned memory."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.cupy_kernels.memory import is_pinned, pinned_empty
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.data import DataKernels

Host = np.ndarray[Any, Any]


class CuPyData(DataKernels):
    """Batches on a GPU."""

    if TYPE_CHECKING:
        stream: Any
        launch: Any

        def enter(self) -> Any: ...
        def seen(self, array: Array) -> Array: ...

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
        xp, batch = self.xp, len(table)
        mean, std = scale
        out = xp.empty((batch, *size, planes), mean.dtype)
        chosen = xp.empty(batch, np.int64)
        self.launch(
            "data", "gather_images", out.size, images, labels, xp.asarray(table), mean, std, out,
            chosen, out.size, batch, *images.shape[1:], *size, planes, fill, dtype=mean.dtype,
        )  # fmt: skip
        return self.seen(out), chosen

    def uploader(self) -> Upload:
        return Upload(self)

    def pinned_empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Host:
        return pinned_empty(self.enter(), shape, dtype)

    def is_pinned(self, host: Host) -> bool:
        return is_pinned(host)

    def send(self, host: Host) -> Array:
        """From pinned memory the GPU copies by itself; from other memory CuPy stages a copy first.

        Pinned memory is kept until it has been read: Python may have dropped it before.
        """
        xp = self.xp
        if not (is_pinned(host) and host.flags.c_contiguous and host.size):
            return xp.asarray(host)
        out = xp.empty(host.shape, host.dtype)
        out.set(host, stream=self.stream)
        under_way = self.__dict__.setdefault("_under_way", deque())
        while under_way and under_way[0][0].done:
            under_way.popleft()
        under_way.append((self.stream.record(), host))
        return out


class Upload:
    """Copies batches to a device in a stream of their own, from pinned buffers used in turn.

    A batch is sent while the one before it is computed. ``send`` waits for the device's work so far
    (whose memory the new batch may get), and only there; ``receive`` makes later work wait for the
    batch. Nothing waits on the host but the reuse of a buffer, whose copy is long over by then.
    """

    def __init__(self, backend: Any, buffers: int = 2) -> None:
        self._backend = backend
        cupy = backend.enter()
        self._cupy, self._stream = cupy, cupy.cuda.Stream(non_blocking=True)
        self._buffers = [_Buffer(cupy) for _ in range(buffers)]
        self._turn = 0

    def send(self, hosts: list[Host]) -> tuple[list[Array], _Buffer]:
        """The arrays on the device, and what to ``receive`` before they are used."""
        buffer = self._buffers[self._turn]
        self._turn = (self._turn + 1) % len(self._buffers)
        buffer.wait()
        cupy = self._backend.enter()
        sources = buffer.filled(hosts)
        arrays = [cupy.empty(each.shape, each.dtype) for each in sources]
        buffer.before.record(self._backend.stream)
        self._stream.wait_event(buffer.before)
        for array, source in zip(arrays, sources, strict=True):
            if source.size:
                array.set(source, stream=self._stream)
        buffer.copied.record(self._stream)
        # Until they are received nothing else may get their memory.
        buffer.held = (sources, arrays)
        return arrays, buffer

    def receive(self, buffer: _Buffer) -> None:
        """Let what the device does from here on wait for the batch."""
        self._backend.enter()
        self._backend.stream.wait_event(buffer.copied)
        buffer.held = (buffer.held[0], [])


class _Buffer:
    """Pinned memory for one batch, and where the device is with it."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._memory: Host = np.empty(0, np.uint8)
        self._used = False
        self.before = cupy.cuda.Event(disable_timing=True)
        self.copied = cupy.cuda.Event(disable_timing=True)
        self.held: tuple[list[Host], list[Array]] = ([], [])

    def wait(self) -> None:
        """Until the copy from this buffer is over."""
        if self._used and not self.copied.done:
            self.copied.synchronize()
        self.held = ([], [])

    def filled(self, hosts: list[Host]) -> list[Host]:
        """The arrays in pinned memory, where they aren't already."""
        self._used = True
        sizes = [
            0 if is_pinned(h) and h.flags.c_contiguous else -(-h.nbytes // 256) * 256
            for h in hosts
        ]  # fmt: skip
        if sum(sizes) > self._memory.nbytes:
            self._memory = pinned_empty(self._cupy, (sum(sizes),), np.uint8)
        sources, start = [], 0
        for host, size in zip(hosts, sizes, strict=True):
            if size:
                part = self._memory[start : start + host.nbytes]
                place = part.view(host.dtype).reshape(host.shape)
                np.copyto(place, host)
                start += size
                host = place
            sources.append(host)
        return sources

    def __del__(self) -> None:
        with suppress(Exception):  # at the interpreter's end CUDA may have gone before
            self.wait()
