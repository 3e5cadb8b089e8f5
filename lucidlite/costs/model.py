"""summary: a model's layers as a tree, with shapes, parameters, work, memory and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from lucidlite.callsite import error
from lucidlite.costs.layers import Layer, Summary, total
from lucidlite.costs.measured import Cost, Costs, measure, middle, tensors_of
from lucidlite.creation import zeros
from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor

__all__ = ["Layer", "Summary", "summary"]

# What torchinfo's summary takes and this one doesn't, and what to do instead.
_INSTEAD = {
    "col_names": "all columns that have something are printed",
    "col_width": "columns are as wide as they need to be",
    "row_settings": "str(), depth and the data in .layers have all there is",
    "verbose": "print the result",
    "batch_dim": "give input_size with its batch, or one sample's shape as the second argument",
    "cache_forward_pass": "leave it out",
    "device": "move the model",
}


def summary(
    model: Module,
    *inputs: Any,
    input_size: Any = None,
    input_data: Any = None,
    dtypes: Sequence[Any] | None = None,
    mode: str = "same",
    depth: int | None = None,
    time: bool = True,
    **kwargs: Any,
) -> Summary:
    """What each layer of ``model`` makes of an input, and what that costs.

    inputs: the model is called with them as they are, and ``kwargs``; but a tuple of ints is the
    shape of one sample, shown as a batch of one of zeros. ``input_size`` (shapes with their batch,
    or one) and ``input_data`` (a tuple of arguments, a dict of named ones, or one) are torchinfo's.
    ``dtypes``: of the zeros. Without any input only parameters are counted.
    ``mode``: 'same' (each module in its own), 'train' or 'eval'. ``depth``: layers further down are
    added to those above them. ``time=False`` runs the model once instead of six times.

    Saved bytes are what the tape keeps for backward; times are medians, of a forward with gradients
    and its backward. Multiply-adds are those of all products, in layers or functions. The model,
    its gradients and generators stay as they were, unless forward writes to a parameter; hooks run.

    >>> import lucidlite
    >>> table = lucidlite.summary(lucidlite.nn.Linear(4, 2), (4,))
    >>> table.parameters, table.multiply_adds, table.activation_bytes
    (10, 8, 8)

    After torchinfo.summary.
    """
    if not isinstance(model, Module):
        raise error(TypeError, f"summary: model must be an nn.Module, got {type(model).__name__}")
    if mode not in ("same", "train", "eval"):
        raise error(ValueError, f"summary: mode must be same, train or eval, got mode={mode!r}")
    for name in kwargs:
        if name in _INSTEAD:
            raise error(TypeError, f"summary: no {name} here: {_INSTEAD[name]}")
    ways = [bool(inputs), input_size is not None, input_data is not None]
    if sum(ways) > 1:
        raise error(ValueError, "summary: give inputs, input_size or input_data, only one of them")
    given = [(each, (1, *each) if _is_shape(each) else None) for each in inputs]
    if input_size is not None:
        several = isinstance(input_size, list | tuple) and not _is_shape(input_size)
        given = [(None, each) for each in (input_size if several else [input_size])]
    made = iter(_zeros(model, [shape for _, shape in given if shape is not None], dtypes))
    args = tuple([value if shape is None else next(made) for value, shape in given])
    if isinstance(input_data, dict):
        kwargs = {**input_data, **kwargs}
    elif input_data is not None:
        args = tuple(input_data) if isinstance(input_data, list | tuple) else (input_data,)
    modes = {module: module.training for module in model.modules()}
    if mode != "same":
        model.train(mode == "train")
    described = _mode(model)
    try:
        run = any(ways) or bool(kwargs)
        costs = measure(model, args, kwargs, time) if run else Costs({})
    except ValueError as problem:
        text = problem.args[0] if problem.args else None
        if isinstance(text, str) and "when training" in text:
            hint = "\n  the model ran in training mode: give it a larger batch, or mode='eval'"
            problem.args = (text + hint, *problem.args[1:])
        raise
    finally:
        for module, training in modes.items():
            module.training = training
    layers = _folded(list(_layers(model, costs)), depth)
    parameters, buffers = list(model.parameters()), list(model.buffers())
    tensors = list(tensors_of((args, kwargs)))
    return Summary(
        type(model).__name__,
        tuple([tuple(t.shape) for t in tensors]),
        described,
        str(next((t.device for t in (*parameters, *tensors)), "cpu")),
        tuple(layers),
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(map(_bytes_of, parameters)),
        sum(map(_bytes_of, buffers)),
        costs.tape_bytes,
        costs.backward_problem,
    )


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(n, int) and not isinstance(n, bool) for n in value)
    )


def _zeros(
    model: Module, shapes: list[Any], dtypes: Sequence[Any] | None
) -> tuple[Tensor, ...]:
    """Of the model's dtype and on its device, unless ``dtypes`` says otherwise."""
    if dtypes is not None and len(dtypes) != len(shapes):
        raise error(
            ValueError,
            f"summary: dtypes must have one for each shape, got {len(dtypes)} for {len(shapes)}",
        )
    first = next(iter(model.parameters()), None)
    usual = None if first is None else first.dtype
    device = None if first is None else first.device
    for shape in shapes:
        if not _is_shape(shape) or min(shape) < 1:
            raise error(ValueError, f"summary: a shape has positive sizes, got {shape}")
    return tuple([
        zeros(*shape, dtype=usual if kind is None else kind, device=device)
        for shape, kind in zip_longest(shapes, dtypes or ())
    ])  # fmt: skip


def _mode(model: Module) -> str:
    training = {module.training for module in model.modules()}
    if len(training) > 1:
        return "a mix of modes"
    return "training mode" if training == {True} else "evaluation mode"


def _layers(model: Module, costs: Costs) -> Iterator[Layer]:
    """The tree from the top, children in the order in which they, or modules in them, ran."""
    order = {module: place for place, module in enumerate(costs.modules)}
    names = {module: name for name, module in model.named_modules()}
    counted: set[int] = set()
    unlisted = set(names)

    def rank(module: Module) -> int:
        return min([order.get(each, len(order)) for each in module.modules()])

    def walk(module: Module, level: int) -> Iterator[Layer]:
        unlisted.discard(module)
        own = [p for p in module._parameters.values() if p is not None and id(p) not in counted]
        counted.update(map(id, own))
        cost = costs.modules.get(module, Cost())
        yield Layer(
            names[module],
            type(module).__name__,
            level,
            cost.calls,
            cost.inputs,
            cost.outputs,
            sum(p.numel() for p in own),
            sum(p.numel() for p in own if p.requires_grad),
            cost.multiply_adds,
            cost.activation_bytes,
            cost.saved_bytes,
            middle(cost.forward),
            middle(cost.backward),
        )
        for child in sorted(module.children(), key=rank):
            if child in unlisted:
                yield from walk(child, level + 1)

    return walk(model, 0)


def _folded(layers: list[Layer], depth: int | None) -> list[Layer]:
    """Layers below ``depth`` added to the last one above them."""
    if depth is not None and depth < 0:
        raise error(ValueError, f"summary: depth must be at least 0, got depth={depth}")
    kept: list[Layer] = []
    for layer in layers:
        if depth is None or layer.depth <= depth:
            kept.append(layer)
            continue
        last = kept[-1]
        sums = ("parameters", "trainable", "multiply_adds", "activation_bytes", "saved_bytes")
        kept[-1] = replace(
            last,
            **{name: getattr(last, name) + getattr(layer, name) for name in sums},
            forward_seconds=total([last.forward_seconds, layer.forward_seconds]),
            backward_seconds=total([last.backward_seconds, layer.backward_seconds]),
        )
    return kept


def _bytes_of(tensor: Tensor) -> int:
    return int(tensor.numel() * tensor.dtype.itemsize)
