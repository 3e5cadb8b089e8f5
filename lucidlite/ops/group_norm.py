"""Normalization of examples by themselves: over their last dims, or over groups of channels."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.geometry import integer
from lucidlite.grad_mode import grad_mode
from lucidlite.hints import for_layer_norm
from lucidlite.ops.common import as_int, check_device, check_tensor, widened
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import mean, sum
from lucidlite.ops.shape import reshape
from lucidlite.ops.unary import rsqrt
from lucidlite.tape import fresh, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]

Shape = tuple[int, ...]


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Every example's last dims, of shape ``normalized_shape``, with mean 0 and variance 1.

    ``weight`` and ``bias`` have that shape. RuntimeError where shapes don't fit.

    >>> import lucidlite
    >>> lucidlite.nn.functional.layer_norm(lucidlite.tensor([[1.0, 3.0]]), (2,))
    tensor([[-1.0000,  1.0000]])

    Semantics: torch.nn.functional.layer_norm. Source: Ba, Kiros and Hinton, 2016.
    """
    if precision.active:
        input, weight, bias = precision.cast("layer_norm", input, weight, bias)
    shape = check_normalized("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    count = prod(shape)
    rows = input.array.size // count if count else prod(input.array.shape[: -len(shape)])
    return _group_norm(input, weight, bias, (rows, 1, count), shape, eps, "layer_norm")


def check_normalized(op: str, input: Any, normalized_shape: Any, **affine: Tensor | None) -> Shape:
    """``normalized_shape`` as a tuple; RuntimeError where input or parameters don't have it."""
    check_tensor(op, "input", input)
    if not isinstance(normalized_shape, (tuple, list)):
        raise error(
            TypeError,
            f"{op}: argument 'normalized_shape' must be tuple of ints, "
            f"not {type(normalized_shape).__name__}",
        )
    shape = tuple(as_int(op, "normalized_shape", n) for n in normalized_shape)
    if not shape:
        raise error(
            RuntimeError,
            f"{op}: Expected normalized_shape to be at least 1-dimensional, got {list(shape)}",
        )
    if input.array.shape[-len(shape) :] != shape:
        raise error(
            ValueError if op == "rms_norm" and input.array.ndim < len(shape) else RuntimeError,
            f"{op}: Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size {list(input.array.shape)}",
            for_layer_norm(input.array.shape, shape),
        )
    _check_affine(op, input, shape, affine)
    return shape


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each of ``num_groups`` groups of every example's channels, with mean 0 and variance 1.

    Shapes: input (N, C, ...) with C divisible by num_groups, weight and bias (C). RuntimeError
    where shapes don't fit, ValueError where a group has a single element.

    Semantics: torch.nn.functional.group_norm. Source: Wu and He, 2018.
    """
    if precision.active:
        input, weight, bias = precision.cast("group_norm", input, weight, bias)
    check_tensor("group_norm", "input", input)
    groups, shape = integer("group_norm", "num_groups", num_groups), input.array.shape
    if len(shape) < 2:
        raise error(
            RuntimeError,
            "group_norm: Expected at least 2 dimensions for input tensor "
            f"but received {len(shape)}",
        )
    if groups > 0 and shape[0] * shape[1] // groups * prod(shape[2:]) == 1:
        raise error(
            ValueError,
            "group_norm: Expected more than 1 value per channel when training, "
            f"got input size {list(shape)}, num_groups={groups}",
        )
    if groups < 1 or shape[1] % groups:
        raise error(
            RuntimeError,
            "group_norm: Expected number of channels in input to be divisible by num_groups, "
            f"but got input of shape {list(shape)} and num_groups={groups}",
        )
    _check_affine("group_norm", input, (shape[1],), {"weight": weight, "bias": bias})
    seen: Shape = (shape[0], groups, shape[1] // groups)
    if len(shape) > 2:
        seen = (*seen, prod(shape[2:]))
    return _group_norm(input, weight, bias, seen, (shape[1],), eps, "group_norm")


def _check_affine(op: str, input: Tensor, shape: Shape, affine: dict[str, Tensor | None]) -> None:
    kind = input.array.dtype
    if kind.kind != "f":
        raise error(NotImplementedError, f"{op}: not implemented for {input.dtype}")
    for name, value in affine.items():
        if value is None:
            continue
        check_tensor(op, name, value)
        check_device(op, input, value)
        if value.array.shape != shape:
            raise error(
                RuntimeError,
                f"{op}: Expected {name} to be of shape {list(shape)}, but got {name} of shape "
                f"{list(value.array.shape)} and input of shape {list(input.array.shape)}",
            )
        # float16 input may come with float32 parameters.
        if value.array.dtype != kind and not (kind == np.float16 and value.array.dtype == "f4"):
            raise error(
                RuntimeError,
                f"{op}: expected one dtype, got input={input.dtype}, {name}={value.dtype}",
            )


def _group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    seen: Shape,
    affine: Shape,
    eps: float,
    op: str,
) -> Tensor:
    """The kernel's (N, G, D) or (N, G, D, S) view of the input, normalized over all but (N, G)."""
    w, b = (None if t is None else t.array.reshape(seen[1:3]) for t in (weight, bias))
    x = input.array
    out, level, invstd = input.backend.group_norm(x.reshape(seen), w, b, eps)
    return record(
        out.reshape(x.shape),
        group_norm_vjp,
        (input, weight, bias),
        (seen, affine, eps),
        (input, weight),
        (level, invstd),
        name=op,
    )


def group_norm_vjp(node: Node, grad: Tensor, seen: Shape, affine: Shape, eps: float) -> Gradients:
    x, w = node.saved_tensors
    level, invstd = node.kernel_state()
    needs, backend = node.needs_input_grad, grad.backend
    shapes = (x.array.shape, affine, affine)
    if grad_mode.enabled:
        parts = _composite(grad, x, w, needs, seen, eps)
        return tuple(
            t if t is None else reshape(t, shape) for t, shape in zip(parts, shapes, strict=True)
        )
    features = None if w is None else w.array.reshape(seen[1:3])
    g, x = grad.array.reshape(seen), x.array.reshape(seen)
    found = backend.group_norm_backward(g, x, level, invstd, features, needs)
    return tuple(
        None if array is None else fresh(wrap(array.reshape(shape), backend))
        for array, shape in zip(found, shapes, strict=True)
    )


def _composite(
    grad: Tensor, x: Tensor, w: Any, needs: tuple[bool, ...], seen: Shape, eps: float
) -> Gradients:
    """The same gradients as differentiable operations, for second and higher order."""
    grad, x = widened(reshape(grad, seen), reshape(x, seen))
    dims, others = tuple(range(2, len(seen))), (0,) if len(seen) == 3 else (0, 3)
    center = x - mean(x, dims, True)
    scale = rsqrt(mean(center * center, dims, True) + eps)
    xhat = center * scale
    features = seen[1:3] if len(seen) == 3 else (*seen[1:3], 1)
    g = grad if w is None else grad * reshape(w, features)
    g = g - mean(g, dims, True) - xhat * mean(g * xhat, dims, True)
    return (
        g * scale if needs[0] else None,
        sum(grad * xhat, others) if needs[1] else None,
        sum(grad, others) if needs[2] else None,
    )
