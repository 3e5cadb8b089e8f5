"""Sequences (N, C, L): convolution and pools of images with one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import Window, conv_window, flag, integer, pool_window
from lucidlite.ops.common import check_dtype, check_tensor
from lucidlite.ops.conv import check_operands, convolved
from lucidlite.ops.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_windows,
    max_windows,
)
from lucidlite.ops.precision import precision
from lucidlite.ops.shape import squeeze, squeeze_vjp, unsqueeze
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def single(op: str, name: str, value: Any) -> int:
    """An int, or a sequence of one; TypeError for no whole number, RuntimeError for several."""
    if not isinstance(value, (tuple, list)):
        return integer(op, name, value)
    if len(value) != 1:
        raise error(
            RuntimeError,
            f"{op}: {name} must be a single int, or a tuple of one int, got {name}={value!r}",
        )
    return integer(op, name, value[0])


def one_row(op: str, input: Any) -> Tensor:
    """(N, C, L) or (C, L) as images with one row."""
    check_tensor(op, "input", input)
    if input.array.ndim not in (2, 3):
        raise error(
            RuntimeError,
            f"{op}: Expected 2D (unbatched) or 3D (batched) input, "
            f"got input of size: {list(input.array.shape)}",
        )
    return unsqueeze(input, -2)


def rowless(images: Tensor, name: str) -> Tensor:
    """Images with one row as the sequences they are; ``name`` is that of the whole operation."""
    shape = images.array.shape
    out = images.array.reshape(*shape[:-2], shape[-1])
    return record(out, squeeze_vjp, (images,), (shape,), name=name)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """1-D convolution (cross-correlation): input (N, C, L) or (C, L), weight (K, C / groups, k).

    Otherwise as ``conv2d``. Semantics: torch.nn.functional.conv1d.
    """
    if precision.active:
        input, weight, bias = precision.cast("conv1d", input, weight, bias)
    image = one_row("conv1d", input)
    check_tensor("conv1d", "weight", weight)
    if weight.array.ndim != 3:
        raise error(
            RuntimeError,
            f"conv1d: Expected a 3D weight, got weight of size {list(weight.array.shape)}",
        )
    filters = unsqueeze(weight, 2)
    if not isinstance(padding, str):
        padding = (0, single("conv1d", "padding", padding))
    step, gap = single("conv1d", "stride", stride), single("conv1d", "dilation", dilation)
    window = conv_window(
        "conv1d", image.array.shape, filters.array.shape, (1, step), padding, (1, gap), groups
    )
    check_operands("conv1d", input, weight, bias, weight.array.shape[0])
    if image.array.ndim == 4:
        return rowless(convolved(image, filters, bias, window, groups), "conv1d")
    out = convolved(unsqueeze(image, 0), filters, bias, window, groups)
    return squeeze(rowless(out, "conv1d"), 0)


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of (N, C, L) or (C, L): see ``max_pool2d``.

    Semantics: torch.nn.functional.max_pool1d.
    """
    op = "max_pool1d"
    image = one_row(op, input)
    window = _window(op, image, kernel_size, stride, padding, dilation, ceil_mode)
    check_dtype(op, input, "fiu")
    found = max_windows(image, window, return_indices)
    if not return_indices:
        return squeeze(found, -2)
    return squeeze(found[0], -2), squeeze(found[1], -2)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L): see ``avg_pool2d``.

    Semantics: torch.nn.functional.avg_pool1d.
    """
    op = "avg_pool1d"
    image = one_row(op, input)
    include_pad = flag(op, "count_include_pad", count_include_pad)
    window = _window(op, image, kernel_size, stride, padding, 1, ceil_mode)
    check_dtype(op, input, "f" if input.array.dtype.itemsize < 8 else "fi")
    return squeeze(avg_windows(image, window, include_pad, None), -2)


def _window(
    op: str,
    image: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> Window:
    """The window of a pool in an image with one row."""
    size = single(op, "kernel_size", kernel_size)
    omitted = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    return pool_window(
        op,
        image.array.shape,
        (1, size),
        (1, size if omitted else single(op, "stride", stride)),
        (0, single(op, "padding", padding)),
        (1, single(op, "dilation", dilation)),
        ceil_mode,
    )


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of ``output_size`` bins of (N, C, L) or (C, L): see ``adaptive_avg_pool2d``.

    Semantics: torch.nn.functional.adaptive_avg_pool1d.
    """
    image = one_row("adaptive_avg_pool1d", input)
    size = single("adaptive_avg_pool1d", "output_size", output_size)
    return squeeze(adaptive_avg_pool2d(image, (1, size)), -2)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest value of ``output_size`` bins of (N, C, L) or (C, L), and its place if asked.

    Semantics: torch.nn.functional.adaptive_max_pool1d.
    """
    image = one_row("adaptive_max_pool1d", input)
    size = single("adaptive_max_pool1d", "output_size", output_size)
    found = adaptive_max_pool2d(image, (1, size), return_indices)
    if not return_indices:
        return squeeze(found, -2)
    return squeeze(found[0], -2), squeeze(found[1], -2)
