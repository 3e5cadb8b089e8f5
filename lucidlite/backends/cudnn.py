"""The switches of convolutions on a GPU: ``backends.cudnn.allow_tf32 = False``, as in PyTorch.

They may be set anywhere and hold from the next convolution on. Without cuDNN convolutions run
through matrix products, where only ``allow_tf32`` means something.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

enabled = True  # use cuDNN where it is installed
benchmark = False  # time the algorithms of a convolution and keep the fastest
deterministic = False  # of cuDNN's algorithms, only those that give the same bits every time
allow_tf32 = True  # let float32 convolutions on a GPU round their inputs to TF32


def is_available() -> bool:
    """Whether cuDNN and its frontend are installed."""
    return version() is not None


def version() -> int | None:
    """cuDNN's version, 92800 for 9.28; None where it or its frontend isn't installed."""
    try:
        import cudnn

        return int(cudnn.backend_version())
    except (ImportError, OSError, RuntimeError):  # the frontend is missing, or what it loads
        return None


@contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """Set all four switches for a block. Semantics: torch.backends.cudnn.flags."""
    module: Any = sys.modules[__name__]
    wanted = {
        "enabled": enabled, "benchmark": benchmark, "deterministic": deterministic,
        "allow_tf32": allow_tf32,
    }  # fmt: skip
    before = {name: getattr(module, name) for name in wanted}
    vars(module).update(wanted)
    try:
        yield
    finally:
        vars(module).update(before)
