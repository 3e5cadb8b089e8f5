"""Transposed convolution: the gradient of a convolution for its input, as an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import Window, integer, pair
from lucidlite.hints import as_given, for_channels, for_images
from lucidlite.ops.common import check_tensor
from lucidlite.ops.conv import check_operands, conv2d_weight_grad, convolved
from lucidlite.ops.one_dim import one_row, rowless, single
from lucidlite.ops.pad import pad_with_value
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import squeeze, unsqueeze
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """Transposed convolution: every input element adds its multiple of the filters to the output.

    Shapes: input (N, C, H, W) or (C, H, W), weight (C, K / groups, kH, kW), bias (K); result
    (N, K, OH, OW) with OH = (H - 1) * stride - 2 * padding + dilation * (kH - 1) + output_padding
    + 1. RuntimeError where shapes or geometry don't fit.

    >>> import lucidlite
    >>> x, w = lucidlite.ones(1, 1, 2, 2), lucidlite.ones(1, 1, 2, 2)
    >>> lucidlite.nn.functional.conv_transpose2d(x, w, stride=2).shape
    (1, 1, 4, 4)

    Semantics: torch.nn.functional.conv_transpose2d.
    """
    op = "conv_transpose2d"
    if precision.active:
        input, weight, bias = precision.cast(op, input, weight, bias)
    check_tensor(op, "input", input)
    check_tensor(op, "weight", weight)
    if input.array.ndim not in (3, 4):
        raise error(
            RuntimeError,
            f"{op}: Expected 3D (unbatched) or 4D (batched) input, "
            f"but got input of size: {list(input.array.shape)}",
            for_images(input.array.shape, weight.array.shape[0] if weight.array.ndim else 1),
        )
    settings = (
        pair(op, "stride", stride),
        pair(op, "padding", padding),
        pair(op, "output_padding", output_padding),
        pair(op, "dilation", dilation),
    )
    if input.array.ndim == 4:
        return _transposed(op, input, weight, bias, settings, groups)
    return squeeze(_transposed(op, unsqueeze(input, 0), weight, bias, settings, groups), 0)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """Transposed convolution of (N, C, L) or (C, L), weight (C, K / groups, k).

    Otherwise as ``conv_transpose2d``. Semantics: torch.nn.functional.conv_transpose1d.
    """
    op = "conv_transpose1d"
    if precision.active:
        input, weight, bias = precision.cast(op, input, weight, bias)
    image = one_row(op, input)
    check_tensor(op, "weight", weight)
    if weight.array.ndim != 3:
        raise error(
            RuntimeError,
            f"{op}: Expected a 3D weight, got weight of size {list(weight.array.shape)}",
        )
    settings = (
        (1, single(op, "stride", stride)),
        (0, single(op, "padding", padding)),
        (0, single(op, "output_padding", output_padding)),
        (1, single(op, "dilation", dilation)),
    )
    filters = unsqueeze(weight, 2)
    if image.array.ndim == 4:
        return rowless(_transposed(op, image, filters, bias, settings, groups), op)
    out = _transposed(op, unsqueeze(image, 0), filters, bias, settings, groups)
    return squeeze(rowless(out, op), 0)


Pair = tuple[int, int]


def _transposed(
    op: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    settings: tuple[Pair, Pair, Pair, Pair],
    groups: int,
) -> Tensor:
    """The transposed convolution of a batch of images, checked."""
    sizes = input.array.shape, weight.array.shape
    window, shape = _geometry(op, *sizes, settings, integer(op, "groups", groups))
    check_operands(op, input, weight, bias, shape[1])
    # Where more is added than a stride, the convolution that this is the gradient of would have
    # more windows. What is too much is padding left out, and beyond it nothing but the bias.
    over = [max(0, e - s + 1) for e, s in zip(settings[2], window.stride, strict=True)]
    if not any(over):
        return _conv_transpose(input, weight, bias, shape, window, groups)
    (top, bottom), (left, right) = window.padding
    window = window._replace(
        padding=((top, max(bottom - over[0], 0)), (left, max(right - over[1], 0)))
    )
    rows, columns = max(over[0] - bottom, 0), max(over[1] - right, 0)
    inner = (*shape[:2], shape[2] - rows, shape[3] - columns)
    out = _conv_transpose(input, weight, None, inner, window, groups)
    out = pad_with_value(out, (0, columns, 0, rows), 0.0)
    return out if bias is None else out + bias.view(-1, 1, 1)


def _geometry(
    op: str,
    shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    settings: tuple[Pair, Pair, Pair, Pair],
    groups: int,
) -> tuple[Window, tuple[int, ...]]:
    """The window of the convolution that this is the gradient of, and the shape of its input."""
    stride, padding, extra, dilation = settings
    if len(weight_shape) != 4:
        raise error(RuntimeError, f"{op}: Expected a 4D weight, got {list(weight_shape)}")
    kernel = (weight_shape[2], weight_shape[3])
    for what, name, value, least in (
        ("kernel size", "kernel_size", kernel, 1),
        ("stride", "stride", stride, 1),
        ("dilation", "dilation", dilation, 1),
        ("padding", "padding", padding, 0),
        ("output padding", "output_padding", extra, 0),
    ):
        if min(value) < least:
            rule = "greater than zero" if least else "non-negative"
            raise error(RuntimeError, f"{op}: {what} should be {rule}, got {name}={value}")
    if groups < 1:
        raise error(
            RuntimeError, f"{op}: non-positive groups is not supported, got groups={groups}"
        )
    if shape[1] != weight_shape[0] or weight_shape[0] < groups or weight_shape[0] % groups:
        raise error(
            RuntimeError,
            f"{op}: given transposed=1, weight of size {as_given(op, weight_shape)}, expected "
            f"input {as_given(op, shape)} to have {weight_shape[0]} channels, a multiple of "
            f"groups={groups}",
            for_channels(op, shape, weight_shape[0]),
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise error(
            RuntimeError,
            f"{op}: output padding must be smaller than either stride or dilation, got "
            f"output_padding={extra}, stride={stride}, dilation={dilation}",
        )
    window = Window(kernel, stride, ((padding[0], padding[0]), (padding[1], padding[1])), dilation)
    sizes = [
        (n - 1) * s - 2 * p + extent + e
        for n, s, p, extent, e in zip(shape[2:], stride, padding, window.extent, extra, strict=True)
    ]
    if min(sizes) < 1 or 0 in shape[2:]:
        raise error(
            RuntimeError,
            f"{op}: Given input size per channel: {list(shape[2:])}. Calculated output size per "
            f"channel: {sizes}. Output size is too small",
        )
    return window, (shape[0], weight_shape[1] * groups, *sizes)


def _conv_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: tuple[int, ...],
    window: Window,
    groups: int,
) -> Tensor:
    x, w, backend = input.array, weight.array, input.backend
    if bias is None:
        out = backend.conv2d_input_grad(x, w, shape, window, groups)
    else:
        out = backend.conv_transpose2d(x, w, bias.array, shape, window, groups)
    inputs = (input, weight, bias)
    return record(out, conv_transpose2d_vjp, inputs, (window, groups), save=(input, weight))


def conv_transpose2d_vjp(node: Node, grad: Tensor, window: Window, groups: int) -> Gradients:
    x, w = node.saved_tensors
    needs = node.needs_input_grad
    return (
        convolved(grad, w, None, window, groups) if needs[0] else None,
        conv2d_weight_grad(x, grad, w.array.shape, window, groups) if needs[1] else None,
        sum(grad, (0, 2, 3)) if needs[2] else None,
    )
