"""A graph as the bytes of an ONNX file, through the onnx package."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.onnx.graph import Graph, Node
from lucidlite.onnx.run import Run

LARGEST = 2**31 - 1  # bytes of a protocol buffer


def package() -> Any:
    """The onnx package; ImportError naming the extra where it isn't there."""
    try:
        import onnx
    except ImportError:
        raise error(
            ImportError,
            "onnx.export: the package onnx is needed to write ONNX files: "
            "pip install 'lucidlite[onnx]'",
        ) from None
    return onnx


def serialized(onnx: Any, run: Run, title: str, opset: int, dims: dict[str, list[Any]]) -> bytes:
    """The file's bytes, checked; ``dims`` are the sizes of inputs and outputs, names where free."""
    graph = run.graph
    _name_outputs(run)
    nodes = _needed(graph, set(run.outputs))
    same = _shared(graph, nodes)
    for node in nodes:
        node.inputs = [same.get(name, name) for name in node.inputs]
    used = {name for node in nodes for name in node.inputs}
    size = sum(graph.constants[name].nbytes for name in used if name in graph.constants)
    if size > LARGEST:
        raise error(
            ValueError,
            f"onnx.export: an ONNX file holds at most 2 GiB of weights, got {size} bytes; "
            "export parts of the model",
        )
    helper = onnx.helper
    made = helper.make_model(
        helper.make_graph(
            [_node(helper, node) for node in nodes],
            title,
            [_value(helper, name, tensor, dims) for name, tensor in run.inputs.items()],
            [_value(helper, name, tensor, dims) for name, tensor in run.outputs.items()],
            [
                onnx.numpy_helper.from_array(array, name)
                for name, array in graph.constants.items()
                if name in used
            ],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name="lucidlite",
    )
    # The oldest that has these operators, so that runtimes of some years open the file.
    made.ir_version = helper.find_min_ir_version_for(made.opset_import)
    try:
        onnx.checker.check_model(made, full_check=True)
    except Exception as problem:
        raise error(
            RuntimeError, f"onnx.export: the onnx package refuses the graph: {problem}"
        ) from problem
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _name_outputs(run: Run) -> None:
    """Give the outputs their names: what makes each is renamed, or there is an Identity."""
    graph = run.graph
    made = {name: node for node in graph.nodes for name in node.outputs}
    names: dict[str, str] = {}
    for output, value in run.values.items():
        if value in made and value not in names:
            names[value] = output
        else:
            graph.call, graph.path = None, ""
            graph.add("Identity", value)
            graph.nodes[-1].outputs = [output]
    for node in graph.nodes:
        node.inputs = [names.get(name, name) for name in node.inputs]
        node.outputs = [names.get(name, name) for name in node.outputs]


def _needed(graph: Graph, wanted: set[str]) -> list[Node]:
    """The nodes that outputs depend on."""
    kept = []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1]


def _shared(graph: Graph, nodes: list[Node]) -> dict[str, str]:
    """Constants that equal an earlier one: what to call them instead. Not those of the model."""
    own = set(graph.state.values())
    first: dict[Any, str] = {}
    same: dict[str, str] = {}
    for node in nodes:
        for name in node.inputs:
            array = graph.constants.get(name)
            if array is None or name in own or name in same:
                continue
            key = array.dtype.str, array.shape, array.tobytes()
            if first.setdefault(key, name) != name:
                same[name] = first[key]
    return same


def _node(helper: Any, node: Node) -> Any:
    attributes = {
        key: helper.np_dtype_to_tensor_dtype(value) if isinstance(value, np.dtype)
        else [n if isinstance(n, str) else int(n) for n in value]
        if isinstance(value, (tuple, list)) else value
        for key, value in node.attributes.items()
    }  # fmt: skip
    return helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **attributes)


def _value(helper: Any, name: str, tensor: Any, dims: dict[str, list[Any]]) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(tensor.array.dtype)
    return helper.make_tensor_value_info(name, kind, dims[name])
