"""All that a page shows of a graph, as plain data: a dry run of backward, watched step by step."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lucidlite.callsite import error
from lucidlite.dtypes import from_numpy_dtype
from lucidlite.engine_checks import seeds
from lucidlite.generator import current_generator
from lucidlite.kept import kept_bytes, state_of
from lucidlite.nn.parameter import Parameter
from lucidlite.stepping import Step, dry_steps
from lucidlite.tape import AccumulateGrad, Node
from lucidlite.tensor import Tensor
from lucidlite.viz.graph import at_hand, check, edge_of, nodes_of, op_name, site_of
from lucidlite.viz.images import Gallery
from lucidlite.viz.modules import Calls
from lucidlite.viz.numbers import number, statistics

# What the pictures of a page may take, as text: they are what makes it large.
IMAGE_BYTES = 3_000_000
# Ops that save for each input what the gradient of another one reads.
_CROSSED = {"linear", "matmul", "mul", "addmm", "baddbmm", "dot"}


def collect(loss: Tensor, profile: Any, title: str | None) -> dict[str, Any]:
    """The page's data: nodes, modules, the steps of backward, gradients and pictures."""
    check("viz.tape", loss)
    nodes = nodes_of(loss)
    _refuse_freed(nodes)
    start = seeds("viz.tape", [loss], [None])
    page = _Page(nodes, _forward_seconds(profile))
    steps = []
    with _undisturbed():
        for step, seconds in _timed(loss, dry_steps([loss], start)):
            steps.append(page.take(step, seconds))
    forward = [each["forward_ms"] for each in page.entries if each["forward_ms"] is not None]
    backward = [each["backward_ms"] or 0.0 for each in page.entries]
    return {
        "title": title or page.calls.title,
        "version": sys.modules[__name__.partition(".")[0]].__version__,
        "device": str(loss.device),
        "totals": {
            "nodes": len(nodes),
            "leaves": sum(isinstance(node, AccumulateGrad) for node in nodes),
            "saved_bytes": sum(each["saved_bytes"] for each in page.entries),
            "kept_bytes": kept_bytes(nodes),
            "backward_ms": number(sum(backward)),
            "forward_ms": number(sum(forward)) if forward else None,
            "images_left_out": page.gallery.left_out,
        },
        "modules": page.calls.entries,
        "nodes": page.entries,
        "steps": steps,
        "images": page.gallery.images,
    }


def _refuse_freed(nodes: list[Node]) -> None:
    """Refuse a graph that a backward has been through, before anything of it is run."""
    for node in nodes:
        if node.released:
            raise error(
                RuntimeError,
                "viz.tape: what the graph kept for backward is freed already, "
                f"got node={node.name()}{node.place}",
                "viz.tape(loss) before loss.backward(), or loss.backward(retain_graph=True)",
            )


def _forward_seconds(profile: Any) -> Mapping[int, float]:
    """Seconds by node number, of a profile or as they are."""
    if profile is None:
        return {}
    found = getattr(profile, "forward_seconds", profile)
    if not isinstance(found, Mapping):
        raise error(
            TypeError,
            "viz.tape: profile must be what profiler.profile() gave, or a mapping from node "
            f"numbers to seconds, got {type(profile).__name__}",
        )
    return found


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put back the random numbers that a hook may draw."""
    generator = current_generator()
    state = generator.get_state()
    try:
        yield
    finally:
        generator.set_state(state)


def _timed(loss: Tensor, steps: Iterator[Step]) -> Iterator[tuple[Step, float]]:
    """Each step with the seconds it took, the device's work included."""
    while True:
        loss.backend.synchronize()
        start = time.perf_counter()
        step = next(steps, None)
        loss.backend.synchronize()
        seconds = time.perf_counter() - start
        if step is None:
            return
        yield step, seconds


class _Page:
    """The entries of the nodes; a step of backward adds its time, gradients and pictures."""

    def __init__(self, nodes: list[Node], forward: Mapping[int, float]) -> None:
        self.ids = {node: nr for nr, node in enumerate(nodes)}
        self.calls = Calls(nodes)
        self.gallery = Gallery(IMAGE_BYTES)
        self._values = at_hand(nodes)
        self._shown: dict[tuple[int, str], int | None] = {}  # by array and kind: no picture twice
        self._reached: set[Node] = set(nodes[:1])
        self.gallery.plan(self._shapes(nodes))
        self.entries = [self._entry(node, forward) for node in nodes]

    def _shapes(self, nodes: list[Node]) -> Iterator[tuple[int, ...]]:
        """The shapes of the pictures there will be: gradients, values at hand, other inputs."""
        for node in nodes:
            yield from (shape for shape, _, _ in node.metas if len(shape) == 4)
            for entry in node.saved:
                if entry is not None and entry[0].array.ndim == 4:
                    yield entry[0].array.shape

    def take(self, step: Step, seconds: float) -> dict[str, Any]:
        """Note a step at its node; returns it as the page plays it."""
        node = step.node
        entry = self.entries[self.ids[node]]
        entry["backward_ms"] = number(seconds * 1e3)
        arrived = [grad for grad in step.incoming if grad is not None]
        entry["gradient"] = statistics([g.backend.to_numpy(g.array) for g in arrived])
        for grad in arrived:
            if grad.array.ndim == 4:
                self._show(entry, "gradient", self._gradient(node, grad))
        delivers = []
        for edge, sent in zip(node.edges, step.outgoing, strict=False):
            if edge is not None and sent is not None:
                first = edge[0] not in self._reached
                self._reached.add(edge[0])
                delivers.append({"node": self.ids[edge[0]], "first": first})
        return {"node": entry["id"], "delivers": delivers}

    def _gradient(self, node: Node, grad: Tensor) -> int | None:
        if self._kind(node) == "weight":
            return self.gallery.filters(grad.array, grad.backend)
        return self.gallery.maps(grad.array, grad.backend, "diverging")

    def _entry(self, node: Node, forward: Mapping[int, float]) -> dict[str, Any]:
        leaf = isinstance(node, AccumulateGrad)
        op = op_name(node)
        entry: dict[str, Any] = {
            "id": self.ids[node],
            "number": node.number,
            "name": node.name(),
            "op": op,
            "kind": "leaf" if leaf else "op",
            "label": self.calls.label(node) if leaf else op,
            "module": self.calls.of(node),
            "outputs": [
                {"shape": list(shape), "dtype": from_numpy_dtype(dtype).name}
                for shape, dtype, _ in node.metas
            ],
            "inputs": [
                {"node": None, "output": 0}
                if edge is None
                else {"node": self.ids[edge[0]], "output": edge[1]}
                for edge in node.edges
            ],
            "saved_bytes": node.saved_bytes(),
            "forward_ms": _milliseconds(forward.get(node.number)),
            "backward_ms": None,
            "gradient": None,
            "site": site_of(node),
            "images": [],
        }
        self._picture_outputs(node, entry)
        entry["saved"] = self._saved(node, entry)
        return entry

    def _picture_outputs(self, node: Node, entry: dict[str, Any]) -> None:
        """What the node computed, where somebody kept it; of a leaf, what it holds."""
        for nr, (shape, _, backend) in enumerate(node.metas):
            array = self._values.get((node, nr))
            if array is None or len(shape) != 4:
                continue
            kind = self._kind(node)
            self._show(entry, kind, self._picture(array, backend, kind))

    def _kind(self, node: Node) -> str:
        """What a node's value is to those who look at it."""
        if not isinstance(node, AccumulateGrad):
            return "output"
        known = self.calls.of(node) is not None
        return "weight" if known or isinstance(node.variable, Parameter) else "input"

    def _picture(self, array: Any, backend: Any, kind: str) -> int | None:
        """The number of an array's picture, made when it is first asked for."""
        key = id(array), kind
        if key not in self._shown:
            if kind == "weight":
                self._shown[key] = self.gallery.filters(array, backend)
            else:
                colour = kind == "input" and array.shape[1] == 3
                self._shown[key] = self.gallery.maps(array, backend, "colour" if colour else "grey")
        return self._shown[key]

    def _saved(self, node: Node, entry: dict[str, Any]) -> list[dict[str, Any]]:
        """What the node keeps for its vjp, tensors first, then the kernel's state."""
        kept = []
        for nr, saved in enumerate(node.saved):
            if saved is None:
                continue
            held, version = saved
            edge = edge_of(node, held, version)
            array, image = held.array, None
            if edge is None:  # outside the graph: an input that needs no gradient, or a helper
                free = nr < len(node.edges) and node.edges[nr] is None
                given = array.dtype.kind == "f" and (free or entry["op"] in _CROSSED)
                kind = what = "input" if given else "kept"
            else:
                kind = self._kind(edge[0])
                what = "input" if kind == "output" and edge[0] is not node else kind
            if array.ndim == 4 and kind != "kept":
                image = self._picture(array, held.backend, kind)
                if edge is None:
                    self._show(entry, "input", image)
            kept.append(_kept(array, what, image))
        for array in state_of(node):
            kept.append(_kept(array, "state", self._windows(node, array, entry)))
        return kept

    def _windows(self, node: Node, offsets: Any, entry: dict[str, Any]) -> int | None:
        """A max pooling's windows over its input, where that is kept by somebody."""
        edge = node.edges[0] if node.edges else None
        source = None if edge is None else self._values.get(edge)
        if op_name(node) != "max_pool2d" or source is None or source.ndim != 4:
            return None
        image = self.gallery.windows(source, offsets, node.metas[0][2], node.args[1])
        self._show(entry, "windows", image)
        return image

    def _show(self, entry: dict[str, Any], title: str, image: int | None) -> None:
        if image is not None:
            entry["images"].append({"image": image, "title": title})


def _kept(array: Any, what: str, image: int | None) -> dict[str, Any]:
    return {
        "shape": [int(n) for n in array.shape],
        "dtype": array.dtype.name,
        "bytes": int(array.nbytes),
        "image": image,
        "what": what,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else number(seconds * 1e3)
