"""``lucidlite doctor``."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lucidlite.blas import blas
from lucidlite.commands import gpu
from lucidlite.malloc import keep_freed_memory
from lucidlite.threads import cores, get_num_threads

EXAMPLES = """examples:
  lucidlite doctor        put its output into a bug report
"""
_EXTRAS = {
    "rich": ("progress", "a live view of a run on a terminal", "plain lines"),
    "tensorboard": ("tensorboard", "a run's events for TensorBoard", "metrics.csv and steps.csv"),
    "matplotlib": ("plot", "curves.png and predictions.png of a run", "no pictures"),
    "PIL": ("images", "PNG, JPEG and other image files", "PNM and .npy only"),
    "safetensors": ("safetensors", "weights as .safetensors files", ".npz and .pt files only"),
    "onnx": ("onnx", "models as ONNX files", "no lucidlite export"),
}
_THREADS = (
    "LUCIDLITE_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:  # noqa: ARG001
    for title, finding, meaning in findings():
        print(f"{title:12}  {finding}")
        print(f"{'':12}    {meaning}")
    return 0


def findings() -> Iterator[tuple[str, str, str]]:
    """(what, what was found, what it means) for each part of the installation."""
    place = Path(__file__).resolve().parents[1]
    yield "lucidlite", f"{_version('lucidlite')} in {place}", "the code that is running"
    yield (
        "Python",
        f"{platform.python_version()} ({sys.implementation.name}) on {platform.platform()}",
        "3.10 and later are supported",
    )
    name, detail = _blas()
    yield "NumPy", f"{np.__version__} with {name}", detail
    count = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    yield (
        "CPU", f"{count} logical CPUs, {usable} usable by this process",
        f"{cores()} cores' worth of time for it",
    )  # fmt: skip
    yield "threads", *_threads()
    yield "memory", _setting(keep_freed_memory), (
        "LUCIDLITE_MALLOC=default leaves the C library's allocator alone"
    )
    yield from gpu.findings()
    for module, (extra, gives, otherwise) in _EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            version = _version("pillow" if module == "PIL" else module)
            yield module, f"{version}", f"gives {gives}"
        else:
            yield (
                module, "not installed",
                f"without it: {otherwise}; pip install 'lucidlite[{extra}]' gives {gives}",
            )  # fmt: skip
    sample = place / "datasets" / "mnist_sample.npz"
    if sample.is_file():
        yield "sample data", f"{sample.stat().st_size / 1e6:.1f} MB of MNIST", (
            "`lucidlite train` works without a download"
        )
    else:
        yield "sample data", "missing", "the installation is damaged: install lucidlite again"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"


def _blas() -> tuple[str, str]:
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    name = blas.get("name", "no known BLAS")
    title = f"{name} {blas.get('version', '')}".strip()
    if any(word in name for word in ("openblas", "mkl", "accelerate", "blis")):
        return title, "a fast BLAS: convolutions run on its matrix products"
    return title, "not a tuned BLAS: convolutions will be slow; NumPy's own wheels have OpenBLAS"


def _threads() -> tuple[str, str]:
    products = blas.threads()  # before a kernel has set it
    finding = f"kernels use {_setting(get_num_threads)}"
    if not blas.known:
        return finding, "NumPy's BLAS can't be told to leave room, so its own threads do all"
    given = [f"{key}={os.environ[key]}" for key in _THREADS if key in os.environ]
    return f"{finding}, matrix products elsewhere {products}", (
        f"with {', '.join(given)}" if given
        else "where other programs keep the cores busy, LUCIDLITE_NUM_THREADS=1 and "
        "OPENBLAS_NUM_THREADS=1 can be faster"
    )  # fmt: skip


def _setting(ask: Callable[[], Any]) -> str:
    """What a setting is, or what is wrong with it."""
    try:
        return str(ask())
    except RuntimeError as problem:
        return str(problem).partition("\n")[0]
