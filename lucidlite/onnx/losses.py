"""Losses of classes as ONNX nodes; others are made of operations that have a form."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.table import emits
from lucidlite.ops import classification


@emits(classification._cross_entropy)
def cross_entropy(g: Graph, a: Call) -> Any:
    return g.add(
        "SoftmaxCrossEntropyLoss", g.of(a["input"]), g.of(a["target"], np.dtype(np.int64)),
        ignore_index=int(a["ignore_index"]), reduction="mean" if a["mean"] else "sum",
    )  # fmt: skip
