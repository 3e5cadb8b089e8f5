"""A model as an ONNX file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.files import atomic_write
from lucidlite.nn.module import Module
from lucidlite.onnx.axes import Axes, axes_of, dims_of, loosened, variants_of
from lucidlite.onnx.run import Model
from lucidlite.onnx.verify import verify_file
from lucidlite.onnx.write import package, serialized
from lucidlite.tensor_base import TensorBase
from lucidlite.training.modes import inference

OPSETS = range(18, 24)
# PyTorch's other arguments: values that change nothing here, and what to do instead.
_OTHERS: dict[str, tuple[tuple[Any, ...], str]] = {
    "export_params": ((True,), "weights are always in the file"),
    "do_constant_folding": ((True,), "what depends on no input is always folded"),
    "verbose": ((False, None), "onnx.printer.to_text(onnx.load(f)) shows the file"),
    "dynamo": ((False,), "there is one exporter, which traces a run"),
    "keep_initializers_as_inputs": ((False, None), "weights are constants of the file"),
    "training": ((None, 0), "models are exported in evaluation mode"),
    "external_data": ((False,), "weights are in the file, which may have 2 GiB"),
    "dynamic_shapes": ((None,), "name the free axes in dynamic_axes"),
    "custom_opsets": ((None,), "all nodes are standard ONNX operators"),
    "custom_translation_table": ((None,), "write the model with operations that have a form"),
    "operator_export_type": ((None,), "all nodes are standard ONNX operators"),
    "export_modules_as_functions": ((False,), "nodes are named after their modules"),
    "autograd_inlining": ((True,), "files are for inference"),
    "report": ((False,), "errors name the operation and its line"),
    "profile": ((False,), "lucidlite.profiler times a model"),
    "fallback": ((False,), "there is one exporter"),
    "optimize": ((None,), "runtimes optimize graphs when they load them"),
    "dump_exported_program": ((False,), "there is one exporter"),
    "artifacts_dir": ((None, "."), "nothing but f is written"),
}


def export(
    model: Module,
    args: Any,
    f: str | os.PathLike[str],
    *,
    kwargs: dict[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamic_axes: Axes | None = None,
    verify: bool = False,
    **others: Any,
) -> None:
    """Write ``model``, in evaluation mode, to the ONNX file ``f``, by tracing one run of it.

    ``args`` are a tensor or a tuple of what the model takes; sizes, branches and Python numbers are
    those of this run. ``dynamic_axes`` frees sizes: {"input": {0: "batch"}}; what depends on them
    is found by running with others, and is refused where it can't be expressed. ``opset_version``
    is 18 to 23 (18). ``verify`` compares the file in onnxruntime with the model.

    ImportError without the package onnx (extra ``onnx``); NotImplementedError for an operation
    without ONNX form and for arguments of PyTorch's that aren't taken, before anything is written.

    >>> import lucidlite
    >>> net = lucidlite.models.LeNet()
    >>> lucidlite.onnx.export(net, lucidlite.zeros(1, 1, 28, 28), "net.onnx")  # doctest: +SKIP

    Semantics: torch.onnx.export.
    """
    onnx = package()
    _check(model, f, others)
    opset = OPSETS[0] if opset_version is None else opset_version
    if opset not in OPSETS:
        raise error(
            ValueError,
            f"onnx.export: opset_version must be {OPSETS[0]} to {OPSETS[-1]}, "
            f"got opset_version={opset_version}",
        )
    found = _model(model, args, kwargs, input_names, output_names)
    arrays = {
        name: tensor.backend.to_numpy(tensor.array).copy()
        for name, (_, tensor) in zip(found.inputs, leaves_of(found.args, found.kwargs), strict=True)
    }
    with inference(model):
        run = found.run(arrays)
        axes = axes_of(dynamic_axes or {}, run)
        variants = variants_of(found, arrays, axes)
        if variants:
            run, variants = loosened(found, arrays, axes, run, variants)
    dims = dims_of(run, axes, variants, dynamic_axes or {})
    content = serialized(onnx, run, type(model).__name__, opset, dims)
    if verify:
        verify_file(content, run, [variant.run for variant in variants])
    with atomic_write(f, "onnx.export") as file:
        file.write(content)


def _check(model: Any, f: Any, others: dict[str, Any]) -> None:
    if hasattr(f, "write"):
        raise error(
            NotImplementedError,
            f"onnx.export: f must be a path, got {type(f).__name__}: read the file that is written",
        )
    if not isinstance(model, Module):
        raise error(
            TypeError, f"onnx.export: model must be an nn.Module, got {type(model).__name__}"
        )
    for name, value in others.items():
        if name not in _OTHERS:
            raise error(TypeError, f"onnx.export: unexpected keyword argument {name!r}")
        usual, instead = _OTHERS[name]
        if not any(value is each or value == each for each in usual):
            raise error(
                NotImplementedError, f"onnx.export: {name}={value!r} is not supported: {instead}"
            )


def leaves_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    """The tensors that a model is given; other arguments are part of the model."""
    return [(path, t) for path, t in _all((*args, kwargs)) if isinstance(t, TensorBase)]


def _all(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, (dict, tuple, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            yield from _all(each, f"{path}_{key}" if path else str(key))
    else:
        yield path, value


def _model(
    model: Module,
    args: Any,
    kwargs: dict[str, Any] | None,
    input_names: Sequence[str] | None,
    output_names: Sequence[str] | None,
) -> Model:
    args = args if isinstance(args, tuple) else (args,)
    if args and isinstance(args[-1], dict):  # PyTorch's other way to give keywords
        if kwargs:
            raise error(ValueError, "onnx.export: args ends in a dict and kwargs is given: use one")
        args, kwargs = args[:-1], args[-1]
    kwargs = dict(kwargs or {})
    given = leaves_of(args, kwargs)
    if not given:
        raise error(ValueError, "onnx.export: args hold no tensor, and a file needs an input")
    names = list(input_names or ())
    if len(names) > len(given) or len(set(names)) < len(names):
        raise error(
            ValueError,
            f"onnx.export: input_names must be different names of at most {len(given)} inputs, "
            f"got input_names={names}",
        )
    for name in [*_usual_names(model, args, kwargs)][len(names) :]:
        number, fresh = 0, name
        while fresh in names or fresh in (output_names or ()):
            number, fresh = number + 1, f"{name}_{number + 1}"
        names.append(fresh)
    outputs = None if output_names is None else tuple(output_names)
    if outputs and (len(set(outputs)) < len(outputs) or set(outputs) & set(names)):
        raise error(
            ValueError,
            "onnx.export: output_names must differ from each other and from those of inputs, "
            f"got input_names={names}, output_names={list(outputs)}",
        )
    return Model(model, args, kwargs, tuple(names), outputs)


def _usual_names(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[str]:
    """What forward calls its arguments; of one that holds several, with where they are in it."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    for i, each in enumerate(args):
        named = i < len(parameters) and parameters[i].kind != inspect.Parameter.VAR_POSITIONAL
        yield from _within(parameters[i].name if named else f"input_{i}", each)
    for name, each in kwargs.items():
        yield from _within(name, each)


def _within(name: str, value: Any) -> Iterable[str]:
    for path, each in _all(value):
        if isinstance(each, TensorBase):
            yield f"{name}_{path}" if path else name
