"""Recurrent layers as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.table import Unsupported, emits
from lucidlite.ops.recurrent_layer import recurrent_layer

# Of each kind: the node, and where its gates are among ours.
_KINDS = {
    "RNN_TANH": ("RNN", (0,)),
    "RNN_RELU": ("RNN", (0,)),
    "LSTM": ("LSTM", (0, 3, 1, 2)),  # i, o, f, c of i, f, g, o
    "GRU": ("GRU", (1, 0, 2)),  # z, r, h of r, z, n
}


@emits(recurrent_layer)
def layer(g: Graph, a: Call) -> Any:
    op, order = _KINDS[a["mode"]]
    counts, state, x = list(a["counts"]), a["state"], a["x"]
    w_ih, w_hh, b_ih, b_hh, w_hr = a["weights"]
    if len(set(counts)) > 1:
        raise Unsupported("packed sequences of several lengths; pass a padded batch")
    if w_hr is not None:
        raise Unsupported("an LSTM with proj_size; use one without, and a Linear after it")
    steps, rows, width = len(counts), counts[0], x.array.shape[-1]
    size = w_hh.array.shape[1]
    sequence = g.reshape(g.of(x), (steps, rows, width), x.array.shape)
    weights = [_ordered(g, a, w, order) for w in (w_ih, w_hh)]
    bias = None
    if b_ih is not None:
        bias = g.constant(np.concatenate([_gates(a, b, order) for b in (b_ih, b_hh)])[None])
    first = [_state(g, a, part) for part in state]
    settings: dict[str, Any] = {"hidden_size": size}
    if a["reverse"]:
        settings["direction"] = "reverse"
    if a["mode"] == "RNN_RELU":
        settings["activations"] = ["Relu"]
    if op == "GRU":
        settings["linear_before_reset"] = 1
    out, *last = g.add(op, sequence, *weights, bias, None, *first, n=1 + len(state), **settings)
    out = g.squeeze(out, 1)
    if a.out[0].array.ndim == 2:
        out = g.reshape(out, (steps * rows, size), (steps, rows, size))
    return [out, *(g.squeeze(part, 0) for part in last)]


def _gates(a: Call, weight: Any, order: tuple[int, ...]) -> Any:
    """A weight with its gates in ONNX's order."""
    if id(weight) in a.names:
        raise Unsupported("weights that depend on the input")
    parts = np.split(weight.backend.to_numpy(weight.array), len(order))
    return np.concatenate([parts[i] for i in order])


def _ordered(g: Graph, a: Call, weight: Any, order: tuple[int, ...]) -> str:
    stem = g.state.get(id(weight))
    return g.constant(_gates(a, weight, order)[None], stem=f"{stem}_gates" if stem else "")


def _state(g: Graph, a: Call, part: Any) -> str | None:
    """A state before the first step; none where it is zero."""
    if id(part) not in a.names and not part.backend.to_numpy(part.array).any():
        return None
    return g.unsqueeze(g.of(part), 0)
