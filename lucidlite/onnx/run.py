"""One traced run of a model, and several with other sizes of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.onnx.graph import Graph
from lucidlite.onnx.tracer import Tracer
from lucidlite.tape import wrap
from lucidlite.tensor_base import TensorBase


@dataclass
class Run:
    """A traced run: the graph, its outputs' names, and the tensors that went in and came out."""

    graph: Graph
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    values: dict[str, str]  # of each output, the value it is
    given: dict[str, Any]  # arrays: the inputs before the run, the outputs after it
    held: dict[str, Any]


@dataclass
class Model:
    """What is to be traced: a model with its arguments, and what its inputs are called."""

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] | None

    def run(self, arrays: dict[str, Any]) -> Run:
        """A run, traced, with these arrays as the inputs of these names; buffers stay."""
        with _untouched(self.module):
            return self._traced(arrays)

    def _traced(self, arrays: dict[str, Any]) -> Run:
        reserved = set(arrays) | set(self.outputs or ())
        graph = Graph(_state(self.module, reserved))
        for name in reserved:
            graph.unique(name)
        names = {module: path for path, module in self.module.named_modules()}
        tracer = Tracer(graph, names)
        fresh = iter(arrays.items())
        inputs: dict[str, Any] = {}

        def given(tensor: Any) -> Any:
            name, array = next(fresh)
            inputs[name] = wrap(tensor.backend.asarray(array.copy()), tensor.backend)
            tracer.bind(inputs[name], name)
            return inputs[name]

        args, kwargs = replaced(self.args, given), replaced(self.kwargs, given)
        try:
            with tracer:
                result = self.module(*args, **kwargs)
        except Exception:
            if tracer.failure is not None:
                raise tracer.failure from None
            raise
        if tracer.failure is not None:  # the model caught it
            raise tracer.failure
        outputs = self._named(result)
        values = {}
        for name, tensor in outputs.items():
            found = tracer.name(tensor)
            values[name] = graph.initializer(tensor, _host(tensor)) if found is None else found
        held = {name: _host(tensor).copy() for name, tensor in outputs.items()}
        return Run(graph, inputs, outputs, values, arrays, held)

    def _named(self, result: Any) -> dict[str, Any]:
        """The tensors of what the model returned, under their names."""
        found = list(leaves(result, ""))
        if not found:
            raise error(TypeError, "onnx.export: the model returned no tensor")
        names = [name for name, _ in found]
        if self.outputs is not None:
            if len(self.outputs) != len(found):
                raise error(
                    ValueError,
                    f"onnx.export: output_names has {len(self.outputs)} names for {len(found)} "
                    f"outputs, got output_names={list(self.outputs)}",
                )
            names = list(self.outputs)
        elif len(found) == 1 and not names[0]:
            names = ["output"]
        else:
            names = [f"output_{name}" if name[:1].isdigit() else name for name in names]
        return dict(zip(names, [tensor for _, tensor in found], strict=True))


class _untouched:
    """Buffers that a run writes to have their values back afterwards."""

    def __init__(self, model: Any) -> None:
        self._held = [
            (module._buffers, name, buffer, buffer.array, buffer.array.copy(), buffer._version)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        for buffers, name, buffer, own, array, version in self._held:
            buffers[name] = buffer  # the model may have put another there
            if buffer.array is not own or buffer._version != version:
                buffer.array = own  # its data may have been replaced
                own[...] = array


def _host(tensor: Any) -> Any:
    return tensor.backend.to_numpy(tensor.array)


def _state(module: Any, reserved: set[str]) -> dict[int, str]:
    """Parameters and buffers by identity; one that two layers share has one name."""
    found: dict[int, str] = {}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor is not None:
            found.setdefault(id(tensor), f"{name}_0" if name in reserved else name)
    return found


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, tensor) of all tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, TensorBase):
        yield path, value
    elif isinstance(value, (dict, tuple, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            yield from leaves(each, f"{path}_{key}" if path else str(key))
    elif value is not None:
        raise error(
            TypeError,
            "onnx.export: a model returns tensors, or tuples, lists and dictionaries of them, "
            f"got {type(value).__name__} at {path or 'the top'}",
        )


def replaced(value: Any, new: Any) -> Any:
    """``value`` with ``new(tensor)`` in the place of each tensor."""
    if isinstance(value, TensorBase):
        return new(value)
    if isinstance(value, dict):
        return {key: replaced(each, new) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [replaced(each, new) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def resized(array: Any, axis: int, size: int) -> Any:
    """``array`` with another size of an axis: its elements over and over."""
    return np.take(array, np.arange(size) % max(array.shape[axis], 1), axis=axis)
