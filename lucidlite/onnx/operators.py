"""All operations that can be written down: loading their emitters fills the tables."""

from __future__ import annotations

from lucidlite.onnx import (
    activation,
    arithmetic,
    choices,
    index,
    losses,
    norm,
    patches,
    pooling,
    products,
    recurrent,
    reduce,
    resize,
    shape,
)
from lucidlite.onnx.table import TABLE, WRITERS

__all__ = [
    "TABLE", "WRITERS", "activation", "arithmetic", "choices", "index", "losses", "norm", "patches",
    "pooling", "products", "recurrent", "reduce", "resize", "shape",
]  # fmt: skip
