"""The axes of ``dynamic_axes``: what they are called, and the runs with other sizes of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from lucidlite.callsite import error
from lucidlite.onnx.dynamic import Axis, Variant, loosen
from lucidlite.onnx.run import Model, Run, resized

Axes = Mapping[str, Mapping[int, str] | Sequence[int]]
Places = tuple[Axis, list[tuple[str, int]]]  # an axis, with each (input, dim) that has it


def axes_of(dynamic: Axes, run: Run) -> list[Places]:
    """The axes that may change, each with all places (input, dim) that have it."""
    places: dict[str, list[tuple[str, int]]] = {}
    for name, given in dynamic.items():
        if name not in run.inputs and name not in run.outputs:
            raise error(
                ValueError,
                f"onnx.export: dynamic_axes names {name!r}, and there are the inputs "
                f"{list(run.inputs)} and the outputs {list(run.outputs)}",
            )
        tensor = run.inputs[name] if name in run.inputs else run.outputs[name]
        for dim, symbol in _named(name, given):
            if not -tensor.array.ndim <= dim < tensor.array.ndim:
                raise error(
                    ValueError,
                    f"onnx.export: dynamic_axes has dim {dim} of {name!r}, which has "
                    f"{tensor.array.ndim}",
                )
            if name in run.inputs:
                places.setdefault(symbol, []).append((name, dim % tensor.array.ndim))
    found = []
    for symbol, where in places.items():
        sizes = {run.inputs[name].array.shape[dim] for name, dim in where}
        if len(sizes) > 1:
            raise error(
                ValueError,
                f"onnx.export: dynamic_axes has {symbol!r} for axes of different sizes: "
                f"{sorted(sizes)}",
            )
        found.append((Axis(symbol, *where[0], sizes.pop()), where))
    return found


def _named(name: str, given: Any) -> list[tuple[int, str]]:
    if isinstance(given, Mapping):
        return [(int(dim), str(symbol)) for dim, symbol in given.items()]
    return [(int(dim), f"{name}_dynamic_axes_{i + 1}") for i, dim in enumerate(given)]


def variants_of(found: Model, arrays: dict[str, Any], axes: list[Places]) -> list[Variant]:
    """Two runs for each axis, with other sizes of it."""
    variants = []
    for axis, where in axes:
        # A batch may have any size; images keep what halvings ask for.
        steps = (1, 3) if axis.dim == 0 else (axis.size, 2 * axis.size)
        for step in steps:
            size = axis.size + step
            try:
                variants.append(Variant(axis, size, _run(found, arrays, where, size)))
            except (RuntimeError, ValueError, IndexError, TypeError) as problem:
                if isinstance(problem, NotImplementedError):
                    raise
                raise error(
                    ValueError,
                    f"onnx.export: the model doesn't run with {size} for axis {axis.name!r} "
                    f"of dynamic_axes: {problem}",
                ) from problem
    return variants


def loosened(
    found: Model, arrays: dict[str, Any], axes: list[Places], run: Run, variants: list[Variant]
) -> tuple[Run, list[Variant]]:
    """A run whose graph holds for the free axes; a warning where it doesn't for sizes beside."""
    # The sizes of the variants are multiples of the example's, which hide what odd ones do.
    beside: list[Variant] = []
    for axis, where in axes:
        size = 1 if axis.dim == 0 else axis.size - 1
        if 0 < size < axis.size:
            # What the model doesn't run with, the file needn't.
            with suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                beside.append(Variant(axis, size, _run(found, arrays, where, size)))
    for axis, size, other in beside:
        ours, theirs = ([t.array.ndim for t in r.outputs.values()] for r in (run, other))
        if ours != theirs:
            _warn(
                f"onnx.export: with {size} for axis {axis.name!r} the outputs have other dims than "
                f"with {axis.size}, as squeeze() makes them; the file has those of {axis.size}: "
                "name the dims to squeeze"
            )
    # A batch of one is told from others by more than what it does: dims of 1 are special.
    odd = [variant for variant in beside if variant.axis.dim]
    try:
        loosen(run, [*variants, *odd])
    except ValueError as problem:
        if not odd:
            raise
        text = str(problem)
        # What was begun is undone by other runs.
        run, places = found.run(arrays), dict(axes)
        variants = [
            Variant(axis, size, _run(found, arrays, places[axis], size))
            for axis, size, _ in variants
        ]
        loosen(run, variants)
        start, _, end = text.partition("; leave the axis out of dynamic_axes")
        where_at = "".join(end.partition("\n")[1:])
        _warn(f"{start}; the file has what the example's sizes and their multiples give{where_at}")
    return run, variants


def _run(found: Model, arrays: dict[str, Any], where: list[tuple[str, int]], size: int) -> Run:
    """A run with another size of an axis."""
    other = dict(arrays)
    for name, dim in where:
        other[name] = resized(other[name], dim, size)
    return found.run(other)


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)


def dims_of(
    run: Run,
    axes: list[Places],
    variants: list[Variant],
    dynamic: Axes,
) -> dict[str, list[Any]]:
    """Sizes of inputs and outputs, names where they are free."""
    everything = {**run.inputs, **run.outputs}
    dims: dict[str, list[Any]] = {name: list(t.array.shape) for name, t in everything.items()}
    for axis, where in axes:
        for name, dim in where:
            dims[name][dim] = axis.name
    for name, tensor in run.outputs.items():
        asked = {dim % tensor.array.ndim: s for dim, s in _named(name, dynamic.get(name, ()))}
        for dim, size in enumerate(tensor.array.shape):
            moved = [
                (axis, now, other.outputs[name].array.shape[dim])
                for axis, now, other in variants
                if other.outputs[name].array.shape[dim] != size
            ]
            if dim in asked:
                dims[name][dim] = asked[dim]
            elif moved:
                same = all(now == out for _, now, out in moved) and moved[0][0].size == size
                dims[name][dim] = moved[0][0].name if same else f"{name}_dim_{dim}"
    return dims
