"""Activation functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.dtypes import as_dtype
from lucidlite.grad_mode import grad_mode
from lucidlite.ops.common import check_tensor, floating, to_dtype, widened, wrap_dim
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.unary import exp
from lucidlite.saved import OUT
from lucidlite.tape import fresh, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def relu(input: Tensor) -> Tensor:
    """``max(input, 0)``; NaN stays, the gradient at 0 is 0. Semantics: torch.relu."""
    check_tensor("relu", "input", input)
    if input.array.dtype.kind == "b":
        raise error(RuntimeError, "relu: boolean inputs not supported, got dtype=torch.bool")
    return record(input.backend.relu(input.array), relu_vjp, (input,), save=(OUT,))


def relu_vjp(node: Node, grad: Tensor) -> Tensor:
    (y,) = node.saved_tensors
    if grad_mode.enabled:
        return relu_grad(grad, y)
    out = grad.array if grad._fresh else None
    return fresh(wrap(grad.backend.relu_grad(grad.array, y.array, out), grad.backend))


def relu_grad(grad: Tensor, output: Tensor) -> Tensor:
    """``grad`` where ``output`` is positive, 0 elsewhere: linear in ``grad``, its own transpose."""
    out = grad.backend.relu_grad(grad.array, output.array)
    return record(out, relu_grad_vjp, (grad, None), save=(output.detach(),))


def relu_grad_vjp(node: Node, grad: Tensor) -> Gradients:
    (output,) = node.saved_tensors
    return relu_grad(grad, output), None


def sloped(op: str, grad: Tensor, x: Tensor, *numbers: float) -> Tensor:
    """``grad`` times a function's slope by one kernel, outside the tape; ``x`` as that takes it."""
    backend, g = grad.backend, grad.array
    if g.dtype != x.array.dtype:
        g = backend.cast(g, x.array.dtype)
    out = g if grad._fresh else None
    return fresh(wrap(backend.unit_grad(op, g, x.array, numbers, out), backend))


def _check_floating(op: str, input: Tensor) -> None:
    if input.array.dtype.kind != "f":
        raise error(NotImplementedError, f"{op}: not implemented for {input.dtype}; use float()")


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``. Semantics: torch.sigmoid."""
    x = floating("sigmoid", input)
    return record(x.backend.sigmoid(x.array), sigmoid_vjp, (x,), save=(OUT,))


def sigmoid_vjp(node: Node, grad: Tensor) -> Tensor:
    (y,) = node.saved_tensors
    if not grad_mode.enabled:
        return sloped("sigmoid", grad, y)
    return grad * ((1 - y) * y)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent. Semantics: torch.tanh."""
    x = floating("tanh", input)
    return record(x.backend.map("tanh", x.array), tanh_vjp, (x,), save=(OUT,))


def tanh_vjp(node: Node, grad: Tensor) -> Tensor:
    (y,) = node.saved_tensors
    if not grad_mode.enabled:
        return sloped("tanh", grad, y)
    return grad * (1 - y * y)


def erf(input: Tensor) -> Tensor:
    """The error function. Semantics: torch.erf."""
    x = floating("erf", input)
    return record(x.backend.erf(x.array), erf_vjp, (x,), save=(x,))


def erf_vjp(node: Node, grad: Tensor) -> Tensor:
    (x,) = node.saved_tensors
    return grad * exp(-(x * x)) * (2.0 / math.sqrt(math.pi))


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """``input * Phi(input)``, Phi the normal distribution function; 'tanh' approximates it.

    Semantics: torch.nn.functional.gelu. Source: Hendrycks and Gimpel, 2016.
    """
    check_tensor("gelu", "input", input)
    if not isinstance(approximate, str):
        raise error(TypeError, f"gelu: approximate must be str, got approximate={approximate!r}")
    if approximate not in ("none", "tanh"):
        raise error(
            RuntimeError,
            "gelu: approximate argument must be either none or tanh, "
            f"got approximate={approximate!r}",
        )
    _check_floating("gelu", input)
    out = input.backend.gelu(input.array, approximate == "tanh")
    return record(out, gelu_vjp, (input,), (approximate,), save=(input,))


def _gelu_inner(x: Tensor) -> Tensor:
    return math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))


def gelu_vjp(node: Node, grad: Tensor, approximate: str) -> Tensor:
    (x,) = node.saved_tensors
    if not grad_mode.enabled:
        return sloped("gelu" if approximate == "none" else "gelu_tanh", grad, x)
    x, grad = widened(x, grad)
    if approximate == "none":
        distribution = 0.5 * (1 + erf(x * math.sqrt(0.5)))
        density = exp(-0.5 * (x * x)) * (1.0 / math.sqrt(2.0 * math.pi))
        return grad * (distribution + x * density)
    inner = tanh(_gelu_inner(x))
    slope = math.sqrt(2.0 / math.pi) * (1 + 3 * 0.044715 * (x * x))
    return grad * (0.5 * (1 + inner) + 0.5 * x * (1 - inner * inner) * slope)


def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``exp(input) / sum(exp(input))`` along ``dim``, without overflow.

    >>> import lucidlite
    >>> lucidlite.softmax(lucidlite.zeros(2), dim=0)
    tensor([0.5000, 0.5000])

    Semantics: torch.softmax.
    """
    x, axis = _softmax_input("softmax", input, dim, dtype)
    return record(x.backend.softmax(x.array, axis), softmax_vjp, (x,), (axis,), save=(OUT,))


def softmax_vjp(node: Node, grad: Tensor, dim: int) -> Tensor:
    if not grad_mode.enabled:
        return _softmax_grad(node, grad, dim, False)
    y, grad = widened(*node.saved_tensors, grad)
    weighted = grad * y
    return weighted - y * sum(weighted, dim, keepdim=True)


def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``log(softmax(input))`` along ``dim``, without overflow. Semantics: torch.log_softmax."""
    x, axis = _softmax_input("log_softmax", input, dim, dtype)
    return record(x.backend.log_softmax(x.array, axis), log_softmax_vjp, (x,), (axis,), save=(OUT,))


def log_softmax_vjp(node: Node, grad: Tensor, dim: int) -> Tensor:
    if not grad_mode.enabled:
        return _softmax_grad(node, grad, dim, True)
    y, grad = widened(*node.saved_tensors, grad)
    return grad - exp(y) * sum(grad, dim, keepdim=True)


def _softmax_grad(node: Node, grad: Tensor, dim: int, logarithm: bool) -> Tensor:
    (y,) = node.saved_tensors
    backend = grad.backend
    return fresh(wrap(backend.softmax_grad(grad.array, y.array, dim, logarithm), backend))


def _softmax_input(op: str, input: Tensor, dim: int, dtype: Any) -> tuple[Tensor, int]:
    check_tensor(op, "input", input)
    if precision.active and dtype is None:
        (input,) = precision.cast(op, input)
    if dtype is not None:
        input = to_dtype(input, as_dtype(dtype, op).numpy)
    axis = wrap_dim(op, dim, input.array.ndim)
    _check_floating(op, input)
    return input, axis
