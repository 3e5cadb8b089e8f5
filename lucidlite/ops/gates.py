"""Activation functions that take more than a tensor's own elements: halves, weights, draws."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from lucidlite.callsite import error
from lucidlite.generator import current_generator
from lucidlite.grad_mode import no_grad
from lucidlite.ops.activation import sigmoid, softmax
from lucidlite.ops.choose import where
from lucidlite.ops.common import check_dtype, check_tensor, to_dtype, widened, wrap_dim
from lucidlite.ops.extremes import argmax
from lucidlite.ops.indexing import narrow
from lucidlite.ops.inplace import assign
from lucidlite.ops.join import cat
from lucidlite.ops.precision import precision
from lucidlite.ops.scatter import scatter
from lucidlite.ops.shape import reshape
from lucidlite.ops.unary import log, log1p
from lucidlite.tape import record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """One half of ``input`` along ``dim`` times the sigmoid of the other.

    >>> import lucidlite
    >>> lucidlite.nn.functional.glu(lucidlite.tensor([4.0, 0.0]))
    tensor([2.])

    Semantics: torch.nn.functional.glu. Source: Dauphin et al., 2017.
    """
    check_tensor("glu", "input", input)
    if not input.array.ndim:
        raise error(RuntimeError, "glu: does not support scalars because halving size must be even")
    axis = wrap_dim("glu", dim, input.array.ndim)
    size = input.array.shape[axis]
    if size % 2:
        raise error(
            RuntimeError,
            f"glu: halving dimension must be even, but dimension {axis} is size {size}",
        )
    check_dtype("glu", input, "f")
    with no_grad():
        (wide,) = widened(input)
        value, gate = _halves(wide, axis)
        out = to_dtype(value * sigmoid(gate), input.array.dtype)
    return record(out.array, glu_vjp, (input,), (axis,), save=(input,))


def _halves(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    half = x.array.shape[dim] // 2
    return narrow(x, dim, 0, half), narrow(x, dim, half, half)


def glu_vjp(node: Node, grad: Tensor, dim: int) -> Tensor:
    x, grad = widened(*node.saved_tensors, grad)
    value, gate = _halves(x, dim)
    share = sigmoid(gate)
    return cat([grad * share, grad * (value * share * (1 - share))], dim)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``input`` where positive, ``weight * input`` elsewhere; one weight, or one a channel.

    Shapes: input (N, C, ...), weight (C), (1) or (). Semantics: torch.nn.functional.prelu.
    """
    check_tensor("prelu", "input", input)
    check_tensor("prelu", "weight", weight)
    if precision.active:
        input, weight = precision.cast("prelu", input, weight)
    shape, count = input.array.shape, weight.array.size
    if weight.array.dtype != input.array.dtype:
        raise error(
            RuntimeError,
            f"prelu: type promoting not supported, got input={input.dtype}, weight={weight.dtype}",
        )
    if weight.array.ndim > 1:
        raise error(
            RuntimeError,
            "prelu: expected weight to be a scalar or 1D tensor, "
            f"got weight={tuple(weight.array.shape)}",
        )
    if count != 1:
        if not shape:
            raise error(RuntimeError, "prelu: not allow zero-dim input tensor, got shape=()")
        channels = shape[1] if len(shape) > 1 else 1
        if channels != count:
            raise error(
                RuntimeError,
                "prelu: mismatch of parameter numbers and input channel size, "
                f"got {count} parameters and channel size {channels}",
            )
    check_dtype("prelu", input, "f")
    slope = reshape(weight, (-1,) + (1,) * max(len(shape) - 2, 0))
    slope = reshape(weight, ()) if not shape else slope
    with no_grad():
        out = where(input > 0, input, slope * input)
    return record(out.array, prelu_vjp, (input, slope), save=(input, slope))


def prelu_vjp(node: Node, grad: Tensor) -> Gradients:
    x, slope = node.saved_tensors
    positive = x > 0
    return (
        where(positive, grad, slope * grad) if node.needs_input_grad[0] else None,
        where(positive, 0, x * grad) if node.needs_input_grad[1] else None,
    )


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """``input`` where positive, a share of it elsewhere: drawn from [lower, upper] in training.

    Otherwise the share is (lower + upper) / 2. The draws are the default generator's, one an
    element, the same on every device.

    Semantics: torch.nn.functional.rrelu. Source: Xu et al., 2015.
    """
    check_tensor("rrelu", "input", input)
    if lower > upper:
        raise error(
            RuntimeError,
            "rrelu: lower bound should be less than or equal to the upper bound, "
            f"got lower={lower}, upper={upper}",
        )
    check_dtype("rrelu", input, "f")
    if inplace:
        return assign("rrelu_", input, lambda old: _rrelu(old, lower, upper, training, "_inplace"))
    return _rrelu(input, lower, upper, training, "")


def _rrelu(input: Tensor, lower: float, upper: float, training: bool, name: str) -> Tensor:
    backend, shape = input.backend, input.array.shape
    with no_grad():
        (x,) = widened(input)
        if training:
            draws = backend.uniform(shape, x.array.dtype, current_generator())
            share = wrap(draws, backend) * (upper - lower) + lower
            factors = where(x <= 0, share, 1.0)
        else:
            factors = to_dtype(where(x > 0, 1.0, (lower + upper) / 2), x.array.dtype)
        out = to_dtype(x * factors, input.array.dtype)
    return record(out.array, rrelu_vjp, (input,), save=(factors,), name=f"rrelu{name}")


def rrelu_vjp(node: Node, grad: Tensor) -> Tensor:
    (factors,) = node.saved_tensors
    return to_dtype(grad, factors.array.dtype) * factors


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """``softmax`` of ``(logits + noise) / tau`` along ``dim``: a draw of one of the classes.

    The noise is Gumbel's, by the default generator. With ``hard`` the result is one-hot and has
    the gradient of the soft one.

    Semantics: torch.nn.functional.gumbel_softmax. Source: Jang et al., 2017.
    """
    check_tensor("gumbel_softmax", "logits", logits)
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    backend = logits.backend
    check_dtype("gumbel_softmax", logits, "f")
    zeros = wrap(backend.xp.zeros(logits.array.shape, logits.array.dtype), backend)
    with no_grad():
        draws = backend.uniform(logits.array.shape, np.dtype(np.float64), current_generator())
        noise = log(to_dtype(-log1p(-wrap(draws, backend)), logits.array.dtype))
    soft = softmax((logits - noise) / tau, dim)
    if not hard:
        return soft
    index = argmax(soft, dim, keepdim=True)
    return scatter(zeros, dim, index, 1.0) - soft.detach() + soft
