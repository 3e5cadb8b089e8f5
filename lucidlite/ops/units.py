"""Activation functions of one tensor, element by element: a table of values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.grad_mode import grad_mode, no_grad
from lucidlite.ops.activation import sigmoid, sloped, softmax, tanh
from lucidlite.ops.choose import clamp, where
from lucidlite.ops.common import SCALARS, check_dtype, check_tensor, to_dtype, widened
from lucidlite.ops.inplace import assign
from lucidlite.ops.precision import precision
from lucidlite.ops.unary import abs as absolute
from lucidlite.ops.unary import exp, log1p
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


class Unit(NamedTuple):
    """The gradient ``grad(g, x, *args)`` of a function, and its ``value(x, *args)``, on tensors.

    Without a value the backend has a kernel for it. For all gradients it has one: what stands here
    is derived again for second derivatives, which multiply also what a branch doesn't choose, by 0,
    so what it would overflow on is limited before. ``kinds`` are the dtypes it takes.
    """

    grad: Callable[..., Tensor]
    value: Callable[..., Tensor] | None = None
    kinds: str = "f"


def _limit(x: Tensor, low: float, high: float) -> Tensor:
    return clamp(x, low, high)


def _limit_grad(g: Tensor, x: Tensor, low: float, high: float) -> Tensor:
    return where((x > low) & (x < high), g, 0.0)


def _bend_grad(g: Tensor, x: Tensor, alpha: float, scale: float, rate: float) -> Tensor:
    below = exp(where(x >= 0, 0.0, x) * rate) * (alpha * scale * rate)
    return where(x > 0, g * scale, g * below)


def _silu_grad(g: Tensor, x: Tensor) -> Tensor:
    share = sigmoid(x)
    return g * (share * (1 + x * (1 - share)))


def _mish_grad(g: Tensor, x: Tensor) -> Tensor:
    gate = tanh(_soft(x, 1.0, 20.0))
    return g * (gate + x * sigmoid(x) * (1 - gate * gate))


def _soft(x: Tensor, beta: float, threshold: float) -> Tensor:
    scaled = x * beta
    return where(scaled > threshold, x, log1p(exp(clamp(scaled, max=threshold))) / beta)


def _soft_grad(g: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    scaled = x * beta
    return where(scaled > threshold, g, g * sigmoid(scaled))


def _shrunk_grad(g: Tensor, x: Tensor, lambd: float) -> Tensor:
    return where((x < -lambd) | (x > lambd), g, 0.0)


UNITS = {
    "hardtanh": Unit(_limit_grad, _limit, "fiu"),
    "relu6": Unit(_limit_grad, _limit, "fiu"),
    "leaky_relu": Unit(lambda g, x, slope: where(x > 0, g, g * slope)),
    "threshold": Unit(
        lambda g, x, least, value: where(x <= least, 0, g),  # noqa: ARG005
        lambda x, least, value: where(x <= least, value, x),
        "fiu",
    ),
    "hardsigmoid": Unit(lambda g, x: where((x > -3) & (x < 3), g / 6, 0.0)),
    "hardswish": Unit(lambda g, x: g * where(x >= 3, 1.0, where(x <= -3, 0.0, x / 3 + 0.5))),
    "hardshrink": Unit(_shrunk_grad),
    "softshrink": Unit(_shrunk_grad),
    "elu": Unit(_bend_grad),
    "selu": Unit(_bend_grad),
    "celu": Unit(_bend_grad),
    "silu": Unit(_silu_grad),
    "mish": Unit(_mish_grad),
    "softplus": Unit(_soft_grad),
    "logsigmoid": Unit(lambda g, x: g * sigmoid(-x)),
}


# Of these PyTorch prints another node in place.
_OTHER_NODE = ("leaky_relu", "elu", "selu", "celu", "threshold")


def _unit(
    op: str, input: Tensor, args: tuple[Any, ...] = (), inplace: bool = False, name: str = ""
) -> Tensor:
    if inplace:
        name = f"{op}_inplace" if op in _OTHER_NODE else op
        return assign(f"{op}_", input, partial(_unit, op, args=args, name=name))
    check_tensor(op, "input", input)
    _, value, kinds = UNITS[op]
    check_dtype(op, input, kinds)
    if value is None:
        out = input.backend.unit(op, input.array, args)
    else:
        with no_grad():
            out = to_dtype(value(*widened(input), *args), input.array.dtype).array
    return record(out, unit_vjp, (input,), (op, *args), save=(input,), name=name or op)


def unit_vjp(node: Node, grad: Tensor, op: str, *args: Any) -> Tensor:
    (x,) = node.saved_tensors
    if not grad_mode.enabled:
        return sloped(op, grad, x, *args)
    x, grad = widened(x, grad)
    return UNITS[op].grad(grad, x, *args)


def _numbers(op: str, input: Any, **values: Any) -> tuple[Any, ...]:
    """Arguments that are numbers, as ``input``'s dtype holds them."""
    check_tensor(op, "input", input)
    for name, value in values.items():
        if not isinstance(value, SCALARS):
            raise error(
                TypeError, f"{op}: {name} must be a number, got {name} as {type(value).__name__}"
            )
    kind = float if input.array.dtype.kind == "f" else int
    return tuple(map(kind, values.values()))


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """``input`` limited to [min_val, max_val]. Semantics: torch.nn.functional.hardtanh."""
    bounds = _numbers("hardtanh", input, min_val=min_val, max_val=max_val)
    _no_bool("hardtanh", input)
    if min_val > max_val:
        raise error(
            ValueError,
            "hardtanh: min_val cannot be greater than max_val, "
            f"got min_val={min_val}, max_val={max_val}",
        )
    if input.array.dtype.kind == "u" and bounds[0] < 0:
        raise error(
            RuntimeError,
            "hardtanh: cannot do hardtanh on an unsigned type with negative limits, "
            f"got min_val={min_val}",
        )
    return _unit("hardtanh", input, bounds, inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``input`` limited to [0, 6]. Semantics: torch.nn.functional.relu6."""
    bounds = _numbers("relu6", input, low=0, high=6)
    _no_bool("relu6", input)
    return _unit("relu6", input, bounds, inplace)


def _no_bool(op: str, input: Tensor) -> None:
    if input.array.dtype.kind == "b":
        raise error(RuntimeError, f"{op}: bool inputs not supported, got dtype={input.dtype}")


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input`` where positive, ``negative_slope * input`` elsewhere.

    Semantics: torch.nn.functional.leaky_relu.
    """
    numbers = _numbers("leaky_relu", input, negative_slope=negative_slope)
    return _unit("leaky_relu", input, numbers, inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``input`` where it is above ``threshold``, else ``value``.

    Semantics: torch.nn.functional.threshold.
    """
    numbers = _numbers("threshold", input, threshold=threshold, value=value)
    return _unit("threshold", input, numbers, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``relu6(input + 3) / 6``. Semantics: torch.nn.functional.hardsigmoid."""
    return _unit("hardsigmoid", input, (), inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * relu6(input + 3) / 6``. Semantics: torch.nn.functional.hardswish.

    Source: Howard et al., Searching for MobileNetV3, 2019.
    """
    return _unit("hardswish", input, (), inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input`` outside [-lambd, lambd], else 0. Semantics: torch.nn.functional.hardshrink."""
    return _unit("hardshrink", input, _numbers("hardshrink", input, lambd=lambd))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input`` brought ``lambd`` closer to 0, 0 if it is closer than that.

    Semantics: torch.nn.functional.softshrink.
    """
    numbers = _numbers("softshrink", input, lambd=lambd)
    if lambd < 0:
        raise error(
            RuntimeError, f"softshrink: lambda must be greater or equal to 0, got lambd={lambd}"
        )
    return _unit("softshrink", input, numbers)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` where positive, ``alpha * (exp(input) - 1)`` elsewhere.

    Semantics: torch.nn.functional.elu. Source: Clevert et al., 2015.
    """
    return _unit("elu", input, (*_numbers("elu", input, alpha=alpha), 1.0, 1.0), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``elu`` scaled so that activations keep mean 0 and variance 1.

    Semantics: torch.nn.functional.selu. Source: Klambauer et al., 2017.
    """
    return _unit("selu", input, (1.6732632423543772, 1.0507009873554805, 1.0), inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` where positive, ``alpha * (exp(input / alpha) - 1)`` elsewhere.

    Semantics: torch.nn.functional.celu. Source: Barron, 2017.
    """
    (number,) = _numbers("celu", input, alpha=alpha)
    if number == 0:
        raise error(RuntimeError, f"celu: alpha cannot be 0, got alpha={alpha}")
    return _unit("celu", input, (number, 1.0, 1.0 / number), inplace)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * sigmoid(input)``, also called swish. Semantics: torch.nn.functional.silu."""
    return _unit("silu", input, (), inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * tanh(softplus(input))``. Semantics: torch.nn.functional.mish.

    Source: Misra, 2019.
    """
    return _unit("mish", input, (), inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``; ``input`` where ``beta * input > threshold``.

    Semantics: torch.nn.functional.softplus.
    """
    if precision.active:
        (input,) = precision.cast("softplus", input)
    numbers = _numbers("softplus", input, beta=beta, threshold=threshold)
    return _unit("softplus", input, numbers)


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(input))``, without overflow. Semantics: torch.nn.functional.logsigmoid."""
    return _unit("logsigmoid", input)


def softsign(input: Tensor) -> Tensor:
    """``input / (1 + |input|)``. Semantics: torch.nn.functional.softsign."""
    return input / (absolute(input) + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """``input - tanh(input)``. Semantics: torch.nn.functional.tanhshrink."""
    return input - tanh(input)


def softmin(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``softmax(-input)`` along ``dim``. Semantics: torch.nn.functional.softmin."""
    return softmax(-input, dim, dtype)
