"""Normalization and dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.generator import current_generator
from lucidlite.grad_mode import grad_mode
from lucidlite.hints import for_batch_norm, for_layer_dtype, for_one_value
from lucidlite.ops.common import check_device, check_tensor, to_dtype, widened
from lucidlite.ops.reduce import mean, sum
from lucidlite.ops.unary import rsqrt
from lucidlite.tape import fresh, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel normalized: by its batch's mean and variance in training, else by running ones.

    Shapes: input (N, C) or (N, C, ...), the others (C). In training the running statistics, where
    given, move by ``momentum`` towards the batch's (the variance unbiased), in place.
    ValueError where training has one value a channel.

    >>> import lucidlite
    >>> x = lucidlite.tensor([[1.0], [3.0]])
    >>> lucidlite.nn.functional.batch_norm(x, None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]])

    Semantics: torch.nn.functional.batch_norm. Source: Ioffe and Szegedy, 2015.
    """
    check_tensor("batch_norm", "input", input)
    check_device("batch_norm", input, running_mean, running_var, weight, bias)
    _check_settings(input, running_mean, running_var, weight, bias, training, eps)
    stats = running_mean, running_var
    if input.array.dtype.itemsize > 2 or input.backend.norms_float16:
        return _batch_norm(input, stats, weight, bias, training, momentum, eps)
    # Statistics of float16 images are taken in float32, and so is the rest.
    wide = np.dtype(np.float32)
    x, w, b = (None if t is None else to_dtype(t, wide) for t in (input, weight, bias))
    return to_dtype(_batch_norm(x, stats, w, b, training, momentum, eps), input.array.dtype)


def _check_settings(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    eps: float,
) -> None:
    x = input.array
    if training and x.ndim > 1 and x.size == x.shape[1]:
        raise error(
            ValueError,
            "batch_norm: expected more than 1 value per channel when training, "
            f"got input size {tuple(x.shape)}",
            for_one_value(x.shape),
        )
    if eps < 0.0 or (training and eps == 0.0):
        rule = "positive during training" if training else "non-negative"
        raise error(ValueError, f"batch_norm: eps must be {rule}, but got eps={eps}")
    if x.ndim < 2:
        raise error(
            RuntimeError, f"batch_norm: expected at least 2 dimensions, got shape={tuple(x.shape)}"
        )
    if not training and (running_mean is None or running_var is None):
        raise error(
            RuntimeError, "batch_norm: expected running_mean and running_var when training=False"
        )
    if (running_mean is None) != (running_var is None):
        raise error(
            ValueError,
            "batch_norm: running_mean and running_var must either both be None or neither be None",
        )
    if x.dtype.kind != "f":
        raise error(NotImplementedError, f"batch_norm: not implemented for {input.dtype}")
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight,
             "bias": bias}  # fmt: skip
    there = {name: t for name, t in given.items() if t is not None}
    for name, value in there.items():
        if value.array.shape != (x.shape[1],):
            raise error(
                RuntimeError,
                f"batch_norm: {name} should contain {x.shape[1]} elements, "
                f"got {name}={tuple(value.array.shape)}",
                for_batch_norm(x.shape, value.array.size),
            )
    kinds = {t.array.dtype for t in there.values()}
    # float16 images may come with parameters and statistics that are all float32.
    if kinds - {x.dtype} and not (x.dtype.itemsize == 2 and kinds == {np.dtype(np.float32)}):
        found = ", ".join(f"{name}={t.dtype}" for name, t in there.items())
        raise error(
            RuntimeError,
            f"batch_norm: expected one dtype, got input={input.dtype}, {found}",
            for_layer_dtype(input.dtype, next(iter(there.values())).dtype),
        )


def _batch_norm(
    input: Any,
    stats: tuple[Tensor | None, Tensor | None],
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    x, backend = input.array, input.backend
    w, b = (None if t is None else t.array for t in (weight, bias))
    if training:
        running = [t for t in stats if t is not None]
        arrays = (running[0].array, running[1].array) if running else (None, None)
        try:
            out, mean_, invstd = backend.batch_norm_train(x, w, b, arrays, momentum, eps)
        finally:  # one that is interrupted may have written too
            for t in running:
                t.bump_version()
    else:
        # Copies: backward wants the values of now, whatever becomes of the running ones.
        wide = np.dtype(np.float32) if x.dtype == np.float16 else x.dtype
        mean_, var = (t.array.astype(wide) for t in stats if t is not None)
        invstd = backend.inverse_std(var, eps)
        out = backend.batch_norm(x, mean_, invstd, w, b)
    inputs, state = (input, weight, bias), (mean_, invstd)
    return record(out, batch_norm_vjp, inputs, (training, eps), (input, weight), state)


def batch_norm_vjp(node: Node, grad: Tensor, training: bool, eps: float) -> Gradients:
    x, w = node.saved_tensors
    mean_, invstd = node.kernel_state()
    needs = node.needs_input_grad
    if grad_mode.enabled:
        return _batch_norm_composite(grad, x, w, mean_, invstd, needs, training, eps)
    found = grad.backend.batch_norm_backward(
        grad.array, x.array, mean_, invstd, None if w is None else w.array, training
    )
    return tuple(
        fresh(wrap(array, grad.backend)) if need else None
        for array, need in zip(found, needs, strict=True)
    )


def _batch_norm_composite(
    grad: Tensor, x: Tensor, w: Any, mean_: Any, invstd: Any, needs: Any, training: bool, eps: float
) -> Gradients:
    """The same gradients as differentiable operations, for second and higher order."""
    grad, x = widened(grad, x)
    dims = tuple(d for d in range(x.array.ndim) if d != 1)
    row = (1, -1) + (1,) * (x.array.ndim - 2)
    if training:
        center = x - mean(x, dims, True)
        scale = rsqrt(mean(center * center, dims, True) + eps)
    else:
        center = x - wrap(mean_.reshape(row), x.backend)
        scale = wrap(invstd.reshape(row), x.backend)
    xhat = center * scale
    g = grad if w is None else grad * w.reshape(row)
    if training:
        g = g - mean(g, dims, True) - xhat * mean(g * xhat, dims, True)
    return (
        g * scale if needs[0] else None,
        sum(grad * xhat, dims) if needs[1] else None,
        sum(grad, dims) if needs[2] else None,
    )


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Elements set to 0 with probability ``p``, the others scaled by ``1 / (1 - p)``.

    Element i (in row-major order, whatever the memory order) takes draw i of the default
    generator, so one seed gives one mask on every device. Without ``training``, the input itself.

    Semantics: torch.nn.functional.dropout. Source: Srivastava et al., 2014.
    """
    check_tensor("dropout", "input", input)
    if not 0.0 <= p <= 1.0:
        raise error(ValueError, f"dropout: probability has to be between 0 and 1, but got p={p}")
    if not training or p == 0.0:
        return input
    if input.array.dtype.kind != "f":
        raise error(
            RuntimeError, f"dropout: result type float can't be cast to the input's {input.dtype}"
        )
    backend = input.backend
    out, state = backend.dropout(input.array, p, current_generator())
    return record(out, dropout_vjp, (input,), state=state, name="mul")


def dropout_vjp(node: Node, grad: Tensor) -> Tensor:
    state = node.kernel_state()
    out = grad.backend.drop_alike(grad.array, state)
    if grad_mode.enabled:
        return record(out, dropout_vjp, (grad,), state=state, name="mul")
    return fresh(wrap(out, grad.backend))
