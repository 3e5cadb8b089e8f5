"""summary: a table of a model's layers with shapes, parameters, work and memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.creation import zeros
from lucidlite.nn.conv import Conv2d
from lucidlite.nn.linear import Linear
from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor
from lucidlite.training.modes import inference

__all__ = ["Layer", "Summary", "summary"]


class Layer(NamedTuple):
    """A module without children: ``calls`` tells how often one forward runs it."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int
    calls: int


class Summary:
    """The layers of a model in the order of their first call, and the totals.

    ``parameters`` counts shared ones once; ``trainable`` those that require grad. ``str()`` of it
    is the table.
    """

    def __init__(
        self,
        name: str,
        inputs: tuple[int, ...],
        layers: list[Layer],
        parameters: int,
        trainable: int,
        parameter_bytes: int,
    ) -> None:
        self.name, self.inputs, self.layers = name, inputs, layers
        self.parameters, self.trainable = parameters, trainable
        self.parameter_bytes = parameter_bytes

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        return sum(layer.activation_bytes for layer in self.layers)

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "multiply-adds", "activations")
        rows = [
            (
                layer.name + (f" x{layer.calls}" if layer.calls > 1 else ""),
                layer.kind,
                _sizes(layer.output),
                f"{layer.parameters:,}",
                f"{layer.multiply_adds:,}",
                _bytes(layer.activation_bytes),
            )
            for layer in self.layers
        ]
        total = (
            "total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}",
            _bytes(self.activation_bytes),
        )  # fmt: skip
        widths = [max(map(len, column)) for column in zip(head, *rows, total, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        frozen = self.parameters - self.trainable
        return "\n".join([
            f"{self.name} for input {_sizes(self.inputs)}",
            *_lines([head], widths), rule, *_lines(rows, widths), rule, *_lines([total], widths),
            f"parameters: {_bytes(self.parameter_bytes)}, {self.trainable:,} trainable"
            + (f", {frozen:,} frozen" if frozen else ""),
        ])  # fmt: skip

    __repr__ = __str__


def summary(model: Module, input: Tensor | Sequence[int]) -> Summary:
    """What each layer of ``model`` makes of an input, and what that costs.

    input: a Tensor, or the shape of one sample (channels, height, width), shown as a batch of one
    of zeros. The model runs once, in evaluation mode without gradients, and stays as it was.
    Multiply-adds are those of convolutions and linear layers (biases, activations, pooling and
    normalization are not counted, nor what ``forward`` computes outside of modules); activations
    are the bytes of the layers' outputs.

    >>> import lucidlite
    >>> from lucidlite.summary import summary
    >>> table = summary(lucidlite.nn.Linear(4, 2), (4,))
    >>> table.parameters, table.multiply_adds, table.activation_bytes
    (10, 8, 8)
    """
    first = next(iter(model.parameters()), None)
    if not isinstance(input, Tensor):
        sizes = tuple(int(n) for n in input)
        if not sizes or min(sizes) < 1:
            raise error(ValueError, f"summary: input must be positive sizes, got input={input}")
        if first is None:
            input = zeros(1, *sizes)
        else:
            input = zeros(1, *sizes, dtype=first.dtype, device=first.device)
    found: dict[Module, Layer] = {}
    names = {module: name or type(module).__name__ for name, module in model.named_modules()}
    leaves = [module for module in names if next(iter(module.children()), None) is None]

    def note(module: Module, args: Any, output: Any) -> None:
        tensors = list(_tensors(output))
        fresh = [tensor for tensor in tensors if not any(tensor is each for each in args)]
        before = found.get(module)
        found[module] = Layer(
            names[module],
            type(module).__name__,
            tuple(tensors[0].shape) if tensors else (),
            sum(p.numel() for p in module.parameters()),
            (before.multiply_adds if before else 0) + _multiply_adds(module, tensors),
            (before.activation_bytes if before else 0) + sum(map(_size_of, fresh)),
            (before.calls if before else 0) + 1,
        )

    handles = [module.register_forward_hook(note) for module in leaves]
    try:
        with inference(model):
            model(input)
    finally:
        for handle in handles:
            handle.remove()
    parameters = list(model.parameters())
    return Summary(
        type(model).__name__,
        tuple(input.shape),
        list(found.values()),
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(map(_size_of, parameters)),
    )


def _multiply_adds(module: Module, outputs: list[Tensor]) -> int:
    """One for each weight and place: a weight of (out, ...) meets every output of its channel."""
    if not isinstance(module, Conv2d | Linear) or not outputs:
        return 0
    weight = module.weight
    return outputs[0].numel() * prod(weight.shape[1:])


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


def _size_of(tensor: Tensor) -> int:
    return int(tensor.numel() * tensor.dtype.itemsize)


def _sizes(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _bytes(n: int) -> str:
    if n < 1024:
        return f"{n} B"
    for unit, size in (("KiB", 2**10), ("MiB", 2**20)):
        if n < 1000 * size:
            return f"{n / size:.1f} {unit}"
    return f"{n / 2**30:.2f} GiB"


def _lines(rows: Iterable[Sequence[str]], widths: list[int]) -> Iterator[str]:
    for row in rows:
        left = (cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True))
        right = (cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True))
        yield "  ".join([*left, *right]).rstrip()
