"""Convolution: three ops that are each other's derivatives, so any order of gradient is there.

conv2d is linear in the input and in the weight; its gradients for one are linear in the other.
First order runs as one kernel call for all the gradients wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import Window, conv_window
from lucidlite.grad_mode import grad_mode
from lucidlite.hints import for_layer_dtype
from lucidlite.ops.common import check_device, check_tensor
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import squeeze, unsqueeze
from lucidlite.tape import fresh, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """2-D convolution (cross-correlation) of images with a bank of filters.

    Shapes: input (N, C, H, W) or (C, H, W), weight (K, C / groups, kH, kW), bias (K); result
    (N, K, OH, OW) or (K, OH, OW). stride, padding and dilation are ints or pairs in elements;
    padding may be 'same' or 'valid'. RuntimeError where shapes or geometry don't fit.

    On the CPU, float32 convolutions with 3 x 3 windows of stride 1 may be computed in tiles of
    4 x 4 outputs (Winograd's F(4x4, 3x3)): of the result's norm the rounding error is about 1e-6
    (a direct sum's: 2e-7), of a gradient's 2e-6 to 3e-6; the largest error is below 1e-5 of the
    largest value. An inf or NaN then makes all outputs of its tiles NaN; nothing warns.
    ``backends.cpu.conv_algorithm = "exact"`` forgoes that, as float64 and detect_anomaly() do.

    >>> import lucidlite
    >>> x, w = lucidlite.ones(1, 1, 3, 3), lucidlite.ones(1, 1, 2, 2)
    >>> lucidlite.nn.functional.conv2d(x, w).shape
    (1, 1, 2, 2)

    Semantics: torch.nn.functional.conv2d.
    """
    if precision.active:
        input, weight, bias = precision.cast("conv2d", input, weight, bias)
    check_tensor("conv2d", "input", input)
    check_tensor("conv2d", "weight", weight)
    # What a kernel derives from a weight is worth keeping where the weight stays as it is. (Asked
    # before anybody here holds the array: holders are counted.)
    memo = None if grad_mode.enabled else weight.version_cell().memo(weight)
    shape = input.array.shape
    window = conv_window("conv2d", shape, weight.array.shape, stride, padding, dilation, groups)
    check_operands("conv2d", input, weight, bias, weight.array.shape[0])
    if len(shape) == 3:
        return squeeze(convolved(unsqueeze(input, 0), weight, bias, window, groups, memo), 0)
    return convolved(input, weight, bias, window, groups, memo)


def check_operands(
    op: str, input: Tensor, weight: Tensor, bias: Tensor | None, outputs: int
) -> None:
    """Refuse a weight or bias of another device or dtype, a bias of another size, and bools."""
    if weight.backend is not input.backend:
        check_device(op, input, weight)
    kind = input.array.dtype
    if weight.array.dtype != kind:
        raise _mixed(op, input, "weight", weight)
    if kind.kind == "b":
        raise error(NotImplementedError, f"{op}: not implemented for dtype=torch.bool")
    if bias is None:
        return
    check_tensor(op, "bias", bias)
    if bias.backend is not input.backend:
        check_device(op, input, bias)
    if bias.array.shape != (outputs,):
        raise error(
            RuntimeError,
            f"{op}: given weight of size {list(weight.array.shape)}, expected bias to be "
            f"1-dimensional with {outputs} elements, but got bias of size "
            f"{list(bias.array.shape)} instead",
        )
    if bias.array.dtype != kind:
        raise _mixed(op, input, "bias", bias)


def _mixed(op: str, input: Tensor, name: str, other: Tensor) -> RuntimeError:
    return error(
        RuntimeError,
        f"{op}: input and {name} should have the same dtype, got input={input.dtype}, "
        f"{name}={other.dtype}",
        for_layer_dtype(input.dtype, other.dtype),
    )


def convolved(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    window: Window,
    groups: int,
    memo: dict[Any, Any] | None = None,
) -> Tensor:
    """``conv2d`` of a batch, with its settings as a checked window."""
    x, b = input.array, None if bias is None else bias.array
    # Images, and what the kernel keeps of them, are for the weight's gradient alone.
    keep = grad_mode.enabled and weight.requires_grad
    out, state = input.backend.conv2d(x, weight.array, b, window, groups, keep, memo)
    args, save = (x.shape, window, groups), (input if keep else None, weight)
    return record(out, conv2d_vjp, (input, weight, bias), args, save, state)


def conv2d_vjp(
    node: Node, grad: Tensor, shape: tuple[int, ...], window: Window, groups: int
) -> Gradients:
    x, w = node.saved_tensors
    needs = node.needs_input_grad
    if grad_mode.enabled or x is None:
        return (
            conv2d_input_grad(grad, w, shape, window, groups) if needs[0] else None,
            conv2d_weight_grad(grad, x, w.array.shape, window, groups) if needs[1] else None,
            sum(grad, (0, 2, 3)) if needs[2] else None,
        )
    found = grad.backend.conv2d_backward(
        grad.array, x.array, w.array, node.state, window, groups, needs
    )
    return tuple(None if array is None else fresh(wrap(array, grad.backend)) for array in found)


def conv2d_input_grad(
    grad: Tensor, weight: Tensor, shape: tuple[int, ...], window: Window, groups: int
) -> Tensor:
    """The gradient of ``conv2d`` for an input of ``shape``: linear in ``grad`` and ``weight``."""
    out = grad.backend.conv2d_input_grad(grad.array, weight.array, shape, window, groups)
    inputs = (grad, weight)
    return record(out, conv2d_input_grad_vjp, inputs, (window, groups), save=inputs)


def conv2d_input_grad_vjp(node: Node, grad: Tensor, window: Window, groups: int) -> Gradients:
    g, w = node.saved_tensors
    return (
        convolved(grad, w, None, window, groups) if node.needs_input_grad[0] else None,
        conv2d_weight_grad(g, grad, w.array.shape, window, groups)
        if node.needs_input_grad[1]
        else None,
    )


def conv2d_weight_grad(
    grad: Tensor, input: Tensor, shape: tuple[int, ...], window: Window, groups: int
) -> Tensor:
    """The gradient of ``conv2d`` for a weight of ``shape``: linear in ``grad`` and ``input``."""
    out = grad.backend.conv2d_weight_grad(grad.array, input.array, shape, window, groups)
    inputs = (grad, input)
    return record(out, conv2d_weight_grad_vjp, inputs, (window, groups), save=inputs)


def conv2d_weight_grad_vjp(node: Node, grad: Tensor, window: Window, groups: int) -> Gradients:
    g, x = node.saved_tensors
    return (
        convolved(x, grad, None, window, groups) if node.needs_input_grad[0] else None,
        conv2d_input_grad(g, grad, x.array.shape, window, groups)
        if node.needs_input_grad[1]
        else None,
    )
