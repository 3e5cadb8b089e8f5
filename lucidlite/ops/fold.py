"""Windows of images as columns, and columns added up in images: each is the other's transpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import Window, pair
from lucidlite.ops.common import check_tensor
from lucidlite.ops.shape import squeeze, unsqueeze
from lucidlite.tape import fresh, record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Every window of (N, C, H, W) or (C, H, W) as a column: (N, C * kH * kW, windows).

    >>> import lucidlite
    >>> lucidlite.nn.functional.unfold(lucidlite.ones(1, 2, 4, 4), 3).shape
    (1, 18, 4)

    Semantics: torch.nn.functional.unfold.
    """
    check_tensor("unfold", "input", input)
    shape = input.array.shape
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise error(
            IndexError if len(shape) < 2 else RuntimeError,
            "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other "
            f"non-zero dimensions for input, but got: {list(shape)}",
        )
    window = _window("unfold", kernel_size, dilation, padding, stride)
    outputs = window.output_size((shape[-2], shape[-1]))
    if min(outputs) < 1:
        raise error(
            RuntimeError,
            f"unfold: Given input with spatial size {tuple(shape[-2:])}, {_said(window)}, "
            f"calculated shape of the array of sliding blocks as {outputs}, but its components "
            "must be at least one",
        )
    if len(shape) == 3:
        return squeeze(unfold2d(unsqueeze(input, 0), window), 0)
    return unfold2d(input, window)


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns (N, C * kH * kW, windows) added up in images of ``output_size``: unfold's transpose.

    Semantics: torch.nn.functional.fold.
    """
    check_tensor("fold", "input", input)
    size = pair("fold", "output_size", output_size)
    window = _window("fold", kernel_size, dilation, padding, stride)
    shape = input.array.shape
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        raise error(
            RuntimeError,
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(shape)}",
        )
    if min(size) < 1:
        raise error(RuntimeError, f"fold: output_size must be positive, got output_size={size}")
    if shape[-2] % window.taps:
        raise error(
            RuntimeError,
            "fold: Expected size of input's dimension 1 to be divisible by the product of "
            f"kernel_size, but got input.size(1)={shape[-2]} and kernel_size={window.kernel_size}",
        )
    outputs = window.output_size(size)
    if min(outputs) < 1 or outputs[0] * outputs[1] != shape[-1]:
        raise error(
            RuntimeError,
            f"fold: Given output_size={size}, {_said(window)}, expected the size of input's "
            "dimension 2 to match the calculated number of sliding blocks "
            f"{outputs[0]} * {outputs[1]}, "
            f"but got input.size(2)={shape[-1]}",
        )
    if len(shape) == 2:
        return squeeze(fold2d(unsqueeze(input, 0), size, window), 0)
    return fold2d(input, size, window)


def _window(op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Window:
    kernel, pads = pair(op, "kernel_size", kernel_size), pair(op, "padding", padding)
    steps, gaps = pair(op, "stride", stride), pair(op, "dilation", dilation)
    for name, value, least in (
        ("kernel_size", kernel, 1),
        ("dilation", gaps, 1),
        ("padding", pads, 0),
        ("stride", steps, 1),
    ):
        if min(value) < least:
            rule = "greater than zero" if least else "non-negative"
            raise error(RuntimeError, f"{op}: {name} should be {rule}, but got {name}={value}")
    return Window(kernel, steps, ((pads[0], pads[0]), (pads[1], pads[1])), gaps)


def _said(window: Window) -> str:
    padding = window.padding[0][0], window.padding[1][0]
    return (
        f"kernel_size={window.kernel_size}, dilation={window.dilation}, padding={padding}, "
        f"stride={window.stride}"
    )


def unfold2d(input: Tensor, window: Window) -> Tensor:
    """``unfold`` of a batch, with its settings as a checked window."""
    shape = input.array.shape
    args = ((shape[2], shape[3]), window)
    return record(input.backend.unfold2d(input.array, window), unfold2d_vjp, (input,), args)


def unfold2d_vjp(node: Node, grad: Tensor, size: tuple[int, int], window: Window) -> Tensor:
    return fresh(fold2d(grad, size, window))


def fold2d(input: Tensor, size: tuple[int, int], window: Window) -> Tensor:
    """``fold`` of a batch, with its settings as a checked window."""
    n, rows, _ = input.array.shape
    shape = (n, rows // window.taps, *size)
    return record(input.backend.fold2d(input.array, shape, window), fold2d_vjp, (input,), (window,))


def fold2d_vjp(node: Node, grad: Tensor, window: Window) -> Tensor:
    return fresh(unfold2d(grad, window))
