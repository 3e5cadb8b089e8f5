"""The graph below a tensor: its nodes, what they are called, and what is still at hand of them."""

from __future__ import annotations

import linecache
import os
from pathlib import PurePath
from typing import Any

from lucidlite.callsite import error
from lucidlite.saved import SavedOutput
from lucidlite.tape import AccumulateGrad, Edge, Node, gradient_edge
from lucidlite.tensor import Tensor

# What the printed name of an op adds to tell PyTorch's variants apart.
_VARIANTS = (
    "_no_bias", "_1d", "_nd", "_1x1", "_dims", "_dim", "_tensor", "_scalar", "_number", "_mode",
    "_copy", "_alias", "_smooth", "_soft", "_2d", "_decimals", "_sizes", "_value", "_stable",
    "_int", "_slice", "_none", "_all", "_inplace",
)  # fmt: skip
# Recorded under another op's name, for that is what PyTorch prints.
_OWN_NAMES = {"dropout", "matmul", "linear"}


def check(op: str, loss: Any) -> None:
    """Refuse what has no graph."""
    if not isinstance(loss, Tensor):
        raise error(TypeError, f"{op}: loss must be a Tensor, got {type(loss).__name__}")
    if loss.grad_fn is None:
        why = "a leaf" if loss.requires_grad else "a tensor that doesn't require grad"
        raise error(
            RuntimeError,
            f"{op}: nothing was recorded that leads to this tensor, got {why} of shape "
            f"{tuple(loss.shape)}",
            "computed under no_grad(), or from detached tensors?" if why != "a leaf" else "",
        )


def nodes_of(loss: Tensor) -> list[Node]:
    """Every node below ``loss``, the youngest first: the order in which the engine takes them."""
    pending = [gradient_edge(loss)[0]]
    seen: set[Node] = set()
    while pending:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            pending.extend([edge[0] for edge in node.edges if edge is not None])
    return sorted(seen, key=lambda node: -node.number)


def op_name(node: Node) -> str:
    """The operation as its function is called: "conv2d", or a Function's class name."""
    if isinstance(node, AccumulateGrad):
        return "leaf"
    stem: str = node.vjp.__name__.removesuffix("_vjp").strip("_")
    if stem == "function" and node.args and isinstance(node.args[0], type):
        return node.args[0].__name__
    given = node.op.removesuffix("_vjp").strip("_")
    if stem in _OWN_NAMES or given == "not_implemented":
        return stem
    for variant in _VARIANTS:
        given = given.removesuffix(variant)
    return given


def site_of(node: Node) -> dict[str, Any] | None:
    """Where the user recorded a node: file, line, function and the line's text."""
    site = node.site
    if site is None:
        return None
    line = site.line
    return {
        "file": short_path(site.filename),
        "line": line,
        "function": site.function,
        "text": linecache.getline(site.filename, line).strip()[:200],
    }


def short_path(name: str) -> str:
    """A file as a reader knows it: from the working directory, or its last two parts."""
    path = PurePath(name)
    if path.parent.name.startswith("ipykernel_"):
        return "notebook cell"
    try:
        return path.relative_to(os.getcwd()).as_posix()
    except (ValueError, OSError):
        return "/".join(filter(None, (path.parent.name, path.name)))


def at_hand(nodes: list[Node]) -> dict[Edge, Any]:
    """The arrays that nodes and leaves keep, by what computed them.

    An output that no vjp saved is gone. One that was written to since isn't what was computed.
    """
    found: dict[Edge, Any] = {}
    for node in nodes:
        if isinstance(node, AccumulateGrad):
            found[node, 0] = node.variable.array
        for entry in node.saved:
            edge = None if entry is None else edge_of(node, *entry)
            if entry is not None and edge is not None:
                found[edge] = entry[0].array
    return found


def edge_of(node: Node, held: Any, version: int) -> Edge | None:
    """Which output of which node a saved tensor is; None for one outside the graph."""
    cell = held._cell
    if (0 if cell is None else cell.value) != version:
        return None
    if isinstance(held, SavedOutput):
        return node, held.nr
    if held._node is not None:
        return held._node, held._output_nr
    accumulator = None if held._accumulator is None else held._accumulator()
    return None if accumulator is None else (accumulator, 0)
