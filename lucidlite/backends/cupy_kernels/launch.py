"""Launching our own CUDA kernels: sources beside this package, compiled on first use.

A source, ``backends/cuda/<family>.cu``, is compiled once for each dtype it is launched with (behind
``common.cuh``, which defines the types ``T``, ``W`` and ``I`` for it). CuPy keeps what it compiled
in its own cache on the disk.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array

SOURCES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "cuda")
OPTIONS = ("--std=c++17",)
TYPES = {"e": "FLOAT16", "f": "FLOAT32", "d": "FLOAT64"}
MOST_BLOCKS = 1 << 20  # the loop in the kernel does the rest
LARGE = 1 << 30  # elements from where indices have 64 bits: one stride past the end still fits

Define = tuple[str, int]

_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(\w+)\s*\(([^)]*)\)')


def source(family: str, char: str, large: bool = False, defines: Sequence[Define] = ()) -> str:
    """The whole text of a family's kernels for a dtype; ``large``: with 64-bit indices."""
    head = [f"#define {TYPES[char]} 1", *(f"#define {name} {value}" for name, value in defines)]
    if large:
        head.append("#define LARGE 1")
    return "\n".join([*head, _text("common.cuh"), _text(f"{family}.cu")])


def parameters(family: str) -> dict[str, tuple[str, ...]]:
    """The declared C types of every kernel of a family, '*' for a pointer."""
    found = {}
    for name, declared in _KERNEL.findall(_text(f"{family}.cu")):
        listed = [" ".join(each.split()) for each in declared.split(",") if each.strip()]
        found[name] = tuple("*" if "*" in p else p.rpartition(" ")[0] for p in listed)
    return found


@functools.cache
def _text(name: str) -> str:
    with open(os.path.join(SOURCES, name), encoding="utf-8") as file:
        return file.read()


def _scalars(char: str, large: bool) -> dict[str, Callable[[Any], Any]]:
    """What makes a NumPy scalar of each C type: others would be read as something else."""
    wide = np.float64 if char == "d" else np.float32
    return {
        "I": np.int64 if large else np.int32, "W": wide, "int": np.int32, "unsigned": np.uint32,
        "long long": np.int64, "unsigned long long": np.uint64, "float": np.float32,
        "double": np.float64,
    }  # fmt: skip


class Launcher:
    """Finds, compiles and launches kernels for one backend."""

    def __init__(self, module: Callable[[], Any]) -> None:
        """``module()`` is cupy, with the backend's device and stream made current."""
        self._module = module
        self._modules: dict[tuple[Any, ...], Any] = {}
        self._kernels: dict[tuple[Any, ...], tuple[Any, tuple[Any, ...]]] = {}

    def __call__(
        self,
        family: str,
        name: str,
        count: int,
        *args: Any,
        dtype: Any = np.float32,
        block: int = 256,
        grid: tuple[int, ...] | None = None,
        shared: int = 0,
        defines: tuple[Define, ...] = (),
    ) -> None:
        """Launch kernel ``name`` of ``family`` for ``count`` elements, or on a given ``grid``.

        Arrays are C-contiguous and passed as pointers, None as a null pointer; numbers are
        converted to the types the kernel declares. ``dtype`` says what ``T`` is. Nothing is
        launched for no elements.
        """
        if grid is None:
            if not count:
                return
            grid = (min(-(-count // block), MOST_BLOCKS),)
        elif 0 in grid:
            return
        cupy = self._module()
        large = any([getattr(a, "size", 0) >= LARGE for a in args])
        key = (family, name, np.dtype(dtype).char, large, defines)
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels[key] = self._compiled(cupy, *key)
        kernel, kinds = found
        kernel(grid, (block,), tuple(map(_passed, kinds, args)), shared_mem=shared)

    def _compiled(
        self, cupy: Any, family: str, name: str, char: str, large: bool, defines: tuple[Define, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        module = self._modules.get((family, char, large, defines))
        if module is None:
            code = source(family, char, large, defines)
            module = cupy.RawModule(code=code, options=OPTIONS)
            self._modules[family, char, large, defines] = module
        scalars = _scalars(char, large)
        kinds = tuple(None if p == "*" else scalars[p] for p in parameters(family)[name])
        return module.get_function(name), kinds


def _passed(kind: Any, value: Array | float | None) -> Any:
    if kind is not None:
        return kind(value)
    return _NULL if value is None else value


_NULL = np.uint64(0)
