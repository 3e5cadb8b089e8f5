"""A model's layers as data, and the table that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from lucidlite.callsite import error
from lucidlite.costs.measured import Shape
from lucidlite.tables import count, html_table, lay_out, milliseconds, size, sizes

_HEAD = ("layer", "output", "parameters", "multiply-adds", "activations", "saved", "forward ms",
         "backward ms")  # fmt: skip
_LEFT = ("layer", "input", "output")


@dataclass(frozen=True)
class Layer:
    """A module of the tree: what it did itself, without the modules it called.

    ``name`` is its dotted name, '' for the model; ``depth`` counts from there. ``calls`` is 0 where
    nothing called it. Shapes are those of the tensors that came in and went out, at the last call;
    times are in seconds, None where they weren't taken.
    """

    name: str
    kind: str
    depth: int
    calls: int
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    parameters: int
    trainable: int
    multiply_adds: int
    activation_bytes: int
    saved_bytes: int
    forward_seconds: float | None
    backward_seconds: float | None

    @property
    def input(self) -> Shape:
        """The first input's shape, () where no tensor came in."""
        return self.inputs[0] if self.inputs else ()

    @property
    def output(self) -> Shape:
        """The first output's shape, () where no tensor went out."""
        return self.outputs[0] if self.outputs else ()

    @property
    def title(self) -> str:
        """How it is printed: '  0: Conv2d', two spaces for every level."""
        last = self.name.rpartition(".")[2]
        name = f"{last}: {self.kind}" if last else self.kind
        return "  " * self.depth + name + (f" x{self.calls}" if self.calls > 1 else "")


@dataclass(frozen=True)
class Summary:
    """The layers of a model and the totals; ``str()`` is the table.

    Layers stand below their parents, in the order of their first call, then those that nothing
    called. Parameters that several layers share count at the first. ``layers`` is the data;
    ``summary["features.0"]`` is one of them, ``to_dict()`` everything in plain types.

    ``saved_bytes`` adds up what each node of the tape keeps, so memory that two layers keep counts
    in both; ``tape_bytes`` is how much memory the tape holds in all beyond parameters, buffers and
    inputs.
    """

    name: str
    inputs: tuple[Shape, ...]
    mode: str
    device: str
    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    parameter_bytes: int
    buffer_bytes: int
    tape_bytes: int
    backward_problem: str

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def saved_bytes(self) -> int:
        return sum(layer.saved_bytes for layer in self.layers)

    @property
    def forward_seconds(self) -> float | None:
        return total([layer.forward_seconds for layer in self.layers])

    @property
    def backward_seconds(self) -> float | None:
        return total([layer.backward_seconds for layer in self.layers])

    def __getitem__(self, name: str) -> Layer:
        """The layer of a dotted name, '' for the model."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise error(KeyError, f"summary: the model has no layer {name!r}")

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Everything, totals too, as dicts, lists, numbers and strings: fit for JSON."""
        totals = ("multiply_adds", "activation_bytes", "saved_bytes", "forward_seconds",
                  "backward_seconds")  # fmt: skip
        whole = asdict(self) | {name: getattr(self, name) for name in totals}
        return _plain(whole)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        lines = lay_out(_HEAD, map(_cells, self.layers), _LEFT, self._total())
        return "\n".join([self._title(), *lines, *self._notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = (_HEAD[0], "input", *_HEAD[1:])
        rows = [(first, _shown(layer.inputs), *rest)
                for layer in self.layers for first, *rest in [_cells(layer)]]  # fmt: skip
        first, *rest = self._total()
        notes = "<br>".join(map(escape, self._notes()))
        table = html_table(head, rows, _LEFT, (first, "", *rest), self._title())
        return f"{table}<p>{notes}</p>"

    def _title(self) -> str:
        if not self.inputs and not self.layers[0].calls:
            return f"{self.name}, not run"
        given = ", ".join(map(sizes, self.inputs)) or "no tensor"
        return f"{self.name} for input {given} in {self.mode}, on {self.device}"

    def _total(self) -> tuple[str, ...]:
        return (
            "total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}",
            size(self.activation_bytes), size(self.saved_bytes),
            milliseconds(self.forward_seconds), milliseconds(self.backward_seconds),
        )  # fmt: skip

    def _notes(self) -> list[str]:
        frozen = self.parameters - self.trainable
        notes = [
            f"parameters: {size(self.parameter_bytes)}, {self.trainable:,} trainable"
            + (f", {frozen:,} frozen" if frozen else "")
        ]
        if self.buffer_bytes:
            notes[0] += f"; buffers: {size(self.buffer_bytes)}"
        if self.saved_bytes:
            notes.append(
                f"kept for backward: {size(self.tape_bytes)} of memory beside parameters and "
                "inputs, each piece counted once"
            )
        if self.backward_problem:
            notes.append(f"backward not timed: {self.backward_problem}")
        return notes


def _cells(layer: Layer) -> tuple[str, ...]:
    return (
        layer.title,
        _shown(layer.outputs),
        count(layer.parameters),
        count(layer.multiply_adds),
        size(layer.activation_bytes),
        size(layer.saved_bytes),
        milliseconds(layer.forward_seconds),
        milliseconds(layer.backward_seconds),
    )


def _shown(shapes: tuple[Shape, ...]) -> str:
    more = f" +{len(shapes) - 1}" if len(shapes) > 1 else ""
    return sizes(shapes[0]) + more if shapes else ""


def total(seconds: Sequence[float | None]) -> float | None:
    """The sum of what is known, None where nothing is."""
    known = [each for each in seconds if each is not None]
    return sum(known) if known else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
