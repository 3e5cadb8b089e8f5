"""Optimizer steps and gradient clipping on a GPU: one launch for all parameters of a group.

A kernel reads where the parameters are from a table in device memory. Tables are kept by what is in
them, and a training loop's arrays come back to the same places, so a steady step copies nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lucidlite.backends.cupy_kernels.graph import CuPyGraph, Numbers, refusal
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.optim import AdamItem, OptimKernels, SGDItem

CHUNK = 4096  # elements of one row a block takes at once, as in optim.cu
MOST_PARTS = 1024  # blocks that sum up a norm: each block that clips by it reads all of them
MOST_TABLES = 128
KINDS = {1.0: 1, 2.0: 2, float("inf"): 0}  # norms with a kernel

Row = tuple[Array | int | None, ...]


class _Table:
    """Rows of (first chunk, size, addresses and flags) in device memory."""

    def __init__(self, content: tuple[tuple[int, ...], ...]) -> None:
        first, rows = 0, []
        for size, *rest in content:
            rows.append((first, size, *rest))
            first += -(-size // CHUNK)
        self.host = np.array(rows, np.int64)
        self.rows, self.chunks = len(rows), first
        self.device: Array = None


class CuPyOptim(CuPyGraph, OptimKernels):
    """What ``OptimKernels`` has, a launch for all arrays of one dtype."""

    launch: Any

    @functools.cached_property
    def _tables(self) -> dict[tuple[tuple[int, ...], ...], _Table]:
        return {}

    def _table(self, content: tuple[tuple[int, ...], ...]) -> _Table:
        table = self._tables.get(content)
        if table is None:
            if len(self._tables) >= MOST_TABLES:
                del self._tables[next(iter(self._tables))]
            table = self._tables[content] = _Table(content)
            with self.xp.cuda.using_allocator(self._table_pool.malloc):
                table.device = self.upload(table.host)
        return table

    @functools.cached_property
    def _table_pool(self) -> Any:
        """Memory of the tables' own: in blocks of the common pool, a new table would move the next
        step's gradients, which then need a new table, and so on."""
        return self.xp.cuda.MemoryPool()

    def sgd_steps(self, items: Sequence[SGDItem], **options: Any) -> None:
        numbers = (
            options["lr"], options["momentum"], 1 - options["dampening"], options["weight_decay"]
        )  # fmt: skip
        rows = [(p, g, buffer, int(first)) for p, g, buffer, first in items]
        flags = int(options["nesterov"]), int(options["maximize"])
        new = any([first for *_, first in items])
        odd = self._step("sgd_steps", rows, (0, 2), flags, numbers, new)
        super().sgd_steps([items[place] for place in odd], **options)

    def adam_steps(self, items: Sequence[AdamItem], **options: Any) -> None:
        lr, decay, decoupled = options["lr"], options["weight_decay"], options["decoupled"]
        beta1, beta2 = options["beta1"], options["beta2"]
        flags = int(decoupled), int(options["maximize"])
        by_step: dict[float, list[Any]] = {}
        for item in items:
            by_step.setdefault(item[-1], []).append(item)
        for step, alike in by_step.items():
            numbers = (
                1 - lr * decay if decoupled else decay, beta1, 1 - beta1, beta2, 1 - beta2,
                (1 - beta2**step) ** 0.5, options["eps"], lr / (1 - beta1**step),
            )  # fmt: skip
            rows = [item[:-1] for item in alike]
            odd = self._step("adam_steps", rows, (0, 2, 3, 4), flags, numbers, step == 1)
            super().adam_steps([alike[place] for place in odd], **options)

    def _step(
        self,
        kernel: str,
        rows: Sequence[Row],
        outputs: tuple[int, ...],
        flags: tuple[int, ...],
        numbers: Numbers,
        new: bool,
    ) -> Sequence[int]:
        """Launch a step for the rows; returns the places of those to be done one by one.

        ``new``: some state is empty, or was made for this step.
        """
        groups, odd = alike(rows, outputs)
        if self.following is not None:
            self.following += [numbers] * len(groups)
            return ()
        recording = self.recorded()
        if recording is not None and (new or odd):
            raise refusal(
                "hold an optimizer's first step for a parameter, nor parameters that aren't "
                "contiguous or share memory",
                "let every parameter get a gradient in the calls before the capture",
            )
        for dtype, content in groups.items():
            table = self._table(content)
            held = None if recording is None else recording.hold(numbers)
            self.launch(
                "optim", kernel, 0, table.device, table.rows, held, *flags, *numbers,
                dtype=dtype, grid=(table.chunks,),
            )  # fmt: skip
        return odd

    def total_norm(self, arrays: Sequence[Array], p: float) -> Array:
        found = self._norm_parts(arrays, p)
        if found is None:
            return super().total_norm(arrays, p)
        _, dtype, parts, norm = found
        self.launch(
            "optim", "norm_whole", 0, parts, parts.size, KINDS[p], norm, dtype=dtype, grid=(1,)
        )
        return norm

    def clip_norm(self, arrays: Sequence[Array], most: float, p: float) -> Array:
        found = self._norm_parts(arrays, p)
        if found is None:
            return super().clip_norm(arrays, most, p)
        table, dtype, parts, norm = found
        self.launch(
            "optim", "clip_norm", 0, table.device, table.rows, table.chunks, parts, parts.size,
            KINDS[p], most, norm, dtype=dtype, grid=(min(table.chunks, MOST_PARTS),),
        )  # fmt: skip
        return norm

    def scale_to_norm(self, arrays: Sequence[Array], most: float, norm: Array) -> None:
        groups, odd = alike([(a,) for a in arrays])
        if odd or list(groups) != [norm.dtype]:
            super().scale_to_norm(arrays, most, norm)
            return
        for dtype, content in groups.items():
            table = self._table(content)
            self.launch(
                "optim", "clip_norm", 0, table.device, table.rows, table.chunks, None, 0, 0, most,
                norm, dtype=dtype, grid=(min(table.chunks, MOST_PARTS),),
            )  # fmt: skip

    def clip_values(self, arrays: Sequence[Array], most: float) -> None:
        groups, odd = alike([(a,) for a in arrays])
        super().clip_values([arrays[place] for place in odd], most)
        for dtype, content in groups.items():
            table = self._table(content)
            self.launch(
                "optim", "clip_values", 0, table.device, table.rows, most, dtype=dtype,
                grid=(table.chunks,),
            )  # fmt: skip

    def _norm_parts(
        self, arrays: Sequence[Array], p: float
    ) -> tuple[_Table, Any, Array, Array] | None:
        """The table, the dtype, the norm's parts and room for the norm; None: no kernel for it."""
        groups, odd = alike([(a,) for a in arrays])
        if p not in KINDS or odd or len(groups) != 1:
            return None
        ((dtype, content),) = groups.items()
        table = self._table(content)
        wide = np.float64 if dtype == np.float64 else np.float32
        parts = self.xp.empty(min(table.chunks, MOST_PARTS), wide)
        self.launch(
            "optim", "norm_parts", 0, table.device, table.rows, table.chunks, KINDS[p], parts,
            dtype=dtype, grid=(parts.size,),
        )  # fmt: skip
        return table, dtype, parts, self.xp.empty((), dtype)


def alike(
    rows: Sequence[Row], outputs: tuple[int, ...] = (0,)
) -> tuple[dict[Any, tuple[tuple[int, ...], ...]], Sequence[int]]:
    """Rows by dtype, an array as its address; and the places of the rows that don't fit.

    They are those with an array that isn't contiguous or with mixed dtypes, or all of them where
    two share an output.
    """
    groups: dict[Any, list[tuple[int, ...]]] = {}
    odd = []
    seen: set[int] = set()
    count = 0
    for place, row in enumerate(rows):
        like: Any = row[0]
        dtype, size = like.dtype, like.size
        words: list[int] = [size]
        fits = dtype.char in "efd"
        for column, value in enumerate(row):
            if value is None or isinstance(value, int):
                words.append(value or 0)
                continue
            address = value.data.ptr
            fits = fits and value.dtype == dtype and value.flags.c_contiguous
            if size and column in outputs:
                seen.add(address)
                count += 1
            words.append(address)
        if not fits:
            odd.append(place)
        elif size:
            groups.setdefault(dtype, []).append(tuple(words))
    if len(seen) != count:
        return {}, range(len(rows))
    return {dtype: tuple(content) for dtype, content in groups.items()}, odd
