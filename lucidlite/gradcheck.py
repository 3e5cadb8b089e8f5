"""Numerical checks of gradients by random projection: central differences against the tape.

Each check draws a direction in input space and a weight for the outputs, and compares one number:
the directional derivative of the weighted output, computed both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.engine import gradients
from lucidlite.engine_checks import seeds
from lucidlite.generator import Generator
from lucidlite.grad_mode import enable_grad, no_grad
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor

Outcome = Callable[..., Any]


def _tensors(value: Any) -> list[Tensor]:
    values = value if isinstance(value, (tuple, list)) else (value,)
    return [v for v in values if isinstance(v, Tensor) and v.is_floating_point()]


def _draw(source: Generator, like: Tensor) -> Tensor:
    values = source.normal(tuple(like.shape), np.float64)
    return wrap(like.backend.asarray(values, like.array.dtype), like.backend)


def _weighted(outputs: Sequence[Tensor], weights: Sequence[Tensor]) -> float:
    """sum(weight * output) over all outputs, on the host."""
    total = 0.0
    for out, weight in zip(outputs, weights, strict=True):
        a, b = out.backend.to_numpy(out.array), weight.backend.to_numpy(weight.array)
        total += float((a.astype(np.float64) * b).sum())
    return total


def gradcheck(
    func: Outcome,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    projections: int = 4,
) -> bool:
    """Whether ``func``'s gradients at ``inputs`` agree with central differences.

    ``inputs`` are tensors (float64 is advised) or other arguments; those that require grad are
    checked, in ``projections`` random directions each. RuntimeError where they disagree, or False
    without ``raise_exception``.

    >>> import lucidlite
    >>> x = lucidlite.tensor([0.5, 2.0], dtype=lucidlite.float64, requires_grad=True)
    >>> lucidlite.autograd.gradcheck(lucidlite.log, x)
    True

    Semantics: torch.autograd.gradcheck (fast mode).
    """
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    wanted = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
    if not wanted:
        raise error(ValueError, "gradcheck: at least one input must require grad")
    outputs = [out for out in _tensors(func(*args)) if out.requires_grad]
    if not outputs:
        raise error(RuntimeError, "gradcheck: no output requires grad")
    source = Generator().manual_seed(0)
    for round_ in range(projections):
        weights = [_draw(source, out) for out in outputs]
        found = gradients(outputs, seeds("gradcheck", outputs, weights), wanted, True, False)
        for index, tensor in enumerate(wanted):
            direction = _draw(source, tensor)
            analytic = 0.0 if found[index] is None else _weighted([found[index]], [direction])  # type: ignore[list-item]
            numeric = _difference(func, args, tensor, direction, weights, eps)
            if not abs(analytic - numeric) <= atol + rtol * abs(numeric):
                if not raise_exception:
                    return False
                raise error(
                    RuntimeError,
                    "gradcheck: gradients by the tape and by differences disagree, "
                    f"got input={index}, projection={round_}, tape={analytic}, "
                    f"differences={numeric}",
                )
    return True


def _difference(
    func: Outcome,
    args: list[Any],
    tensor: Tensor,
    direction: Tensor,
    weights: Sequence[Tensor],
    eps: float,
) -> float:
    """The central difference of the weighted outputs along ``direction`` of one input."""
    values = []
    for sign in (1.0, -1.0):
        step = direction.array * direction.array.dtype.type(sign * eps)
        moved = wrap(tensor.array + step, tensor.backend).requires_grad_()
        with no_grad():
            outputs = _tensors(func(*[moved if a is tensor else a for a in args]))
        values.append(_weighted(outputs[: len(weights)], weights))
    return (values[0] - values[1]) / (2.0 * eps)


def gradgradcheck(
    func: Outcome,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    projections: int = 4,
) -> bool:
    """``gradcheck`` of the gradient itself: whether second derivatives are right.

    Semantics: torch.autograd.gradgradcheck (fast mode).
    """
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    outputs = [out for out in _tensors(func(*args)) if out.requires_grad]
    if grad_outputs is None:
        source = Generator().manual_seed(1)
        given = [_draw(source, out).requires_grad_() for out in outputs]
    else:
        given = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    places = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]

    def first_order(*values: Any) -> Any:
        inner, weights = values[: len(args)], values[len(args) :]
        outs = [out for out in _tensors(_recorded(func, inner)) if out.requires_grad]
        wanted = [inner[i] for i in places]
        found = gradients(outs, seeds("gradgradcheck", outs, weights), wanted, True, True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(
        first_order,
        [*args, *given],
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        projections=projections,
    )


def _recorded(func: Outcome, args: Any) -> Any:
    with enable_grad():
        return func(*args)
