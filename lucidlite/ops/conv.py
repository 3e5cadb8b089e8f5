"""Convolution: three ops that are each other's derivatives, so any order of gradient is there.

conv2d is linear in the input and in the weight; its gradients for one are linear in the other.
First order runs as one kernel call for all the gradients wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import Window, conv_window
from lucidlite.grad_mode import grad_mode
from lucidlite.ops.common import check_device, check_tensor
from lucidlite.ops.indexing import getitem, index_put_add, taken
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
    check_tensor("conv2d", "input", input)
    check_tensor("conv2d", "weight", weight)
    # What a kernel derives from a weight is worth keeping where the weight stays as it is. (Asked
    # before anybody here holds the array: holders are counted.)
    memo = None if grad_mode.enabled else weight.version_cell().memo(weight)
    x, w = input.array, weight.array
    window = conv_window("conv2d", x.shape, w.shape, stride, padding, dilation, groups)
    if weight.backend is not input.backend:
        check_device("conv2d", input, weight)
    if w.dtype != x.dtype:
        raise _mixed(input, "weight", weight)
    if x.dtype.kind == "b":
        raise error(NotImplementedError, "conv2d: not implemented for dtype=torch.bool")
    if bias is not None:
        _check_bias(bias, input, w)
    if x.ndim == 3:
        return squeeze(_conv2d(unsqueeze(input, 0), weight, bias, window, groups, memo), 0)
    return _conv2d(input, weight, bias, window, groups, memo)


def _check_bias(bias: Tensor, input: Tensor, w: Any) -> None:
    check_tensor("conv2d", "bias", bias)
    if bias.backend is not input.backend:
        check_device("conv2d", input, bias)
    b = bias.array
    if b.shape != w.shape[:1]:
        raise error(
            RuntimeError,
            f"conv2d: given weight of size {list(w.shape)}, expected bias to be 1-dimensional with "
            f"{w.shape[0]} elements, but got bias of size {list(b.shape)} instead",
        )
    if b.dtype != w.dtype:
        raise _mixed(input, "bias", bias)


def _mixed(input: Tensor, name: str, other: Tensor) -> RuntimeError:
    return error(
        RuntimeError,
        f"conv2d: input and {name} should have the same dtype, got input={input.dtype}, "
        f"{name}={other.dtype}",
    )


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    window: Window,
    groups: int,
    memo: dict[Any, Any] | None = None,
) -> Tensor:
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
        _conv2d(grad, w, None, window, groups) if node.needs_input_grad[0] else None,
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
        _conv2d(x, grad, None, window, groups) if node.needs_input_grad[0] else None,
        conv2d_input_grad(g, grad, x.array.shape, window, groups)
        if node.needs_input_grad[1]
        else None,
    )


def pad_from_inside(input: Tensor, padding: tuple[int, int, int, int], mode: str) -> Tensor:
    """Borders (left, right, top, bottom) filled from the image: reflect, replicate or circular.

    Semantics: torch.nn.functional.pad.
    """
    height, width = input.array.shape[-2:]
    left, right, top, bottom = padding
    rows = _source("pad", height, top, bottom, mode)
    columns = _source("pad", width, left, right, mode)
    backend = input.backend
    row = wrap(backend.asarray(rows).reshape(-1, 1), backend)
    column = wrap(backend.asarray(columns), backend)
    return taken(input, (Ellipsis, row, column), f"pad_{mode}")


def pad_with_value(input: Tensor, padding: tuple[int, ...], value: float) -> Tensor:
    """Borders of one value: (before, after) of the last dim, then of the one before it, ...

    Negative sizes crop. Semantics: torch.nn.functional.pad.
    """
    check_tensor("pad", "input", input)
    ndim = input.array.ndim
    if len(padding) % 2 or len(padding) > 2 * ndim:
        raise error(
            RuntimeError,
            f"pad: padding length must be even and at most twice the number of dimensions, "
            f"got pad={padding}, shape={tuple(input.array.shape)}",
        )
    pairs = [(0, 0)] * (ndim - len(padding) // 2)
    pairs += [(padding[i], padding[i + 1]) for i in range(len(padding) - 2, -1, -2)]
    shape = tuple(n + a + b for n, (a, b) in zip(input.array.shape, pairs, strict=True))
    if any(n < 0 for n in shape):
        raise error(
            RuntimeError,
            f"pad: resulted in a negative output size, got pad={padding}, "
            f"shape={tuple(input.array.shape)}",
        )
    inner = tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, pairs, strict=True))
    kept = tuple(
        slice(max(-a, 0), n - max(-b, 0))
        for n, (a, b) in zip(input.array.shape, pairs, strict=True)
    )
    out = input.backend.padded(input.array[kept], shape, inner, value)
    return record(out, pad_vjp, (input,), (inner, kept, input.array.shape))


def pad_vjp(
    node: Node, grad: Tensor, inner: tuple[slice, ...], kept: tuple[slice, ...], shape: Any
) -> Tensor:
    return index_put_add(getitem(grad, inner), kept, (), shape)


def _source(op: str, n: int, before: int, after: int, mode: str) -> list[int]:
    """For each place of a padded axis, the element of the axis it copies."""
    limit = {"reflect": n - 1, "circular": n}.get(mode)
    if limit is not None and max(before, after) > limit:
        raise error(
            RuntimeError,
            f"{op}: padding size should be less than the corresponding input dimension for mode "
            f"'{mode}', got padding={(before, after)}, size={n}",
        )
    places = range(-before, n + after)
    if mode == "replicate":
        return [min(max(i, 0), n - 1) for i in places]
    if mode == "circular":
        return [i % n for i in places]
    return [-i if i < 0 else 2 * (n - 1) - i if i >= n else i for i in places]
