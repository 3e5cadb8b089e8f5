"""Pooling: maxima and averages of windows, with the transposes that are their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import (
    Window,
    adaptive_output_size,
    adaptive_window,
    flag,
    pool_divisor,
    pool_window,
)
from lucidlite.ops.common import check_dtype, check_tensor
from lucidlite.ops.reduce import mean
from lucidlite.tape import fresh, needs_grad, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def _images(array: Any) -> Any:
    """A single image as a batch of one, for the kernels."""
    return array if array.ndim == 4 else array[None]


def _of_rank(array: Any, out: Any) -> Any:
    """A kernel's result without the batch where ``array`` was a single image."""
    return out if array.ndim == 4 else out[0]


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window; ties go to the first, NaN wins.

    Shapes: input (N, C, H, W) or (C, H, W); result the same rank. kernel_size, stride (default
    kernel_size), padding (-inf) and dilation are ints or pairs. With ``return_indices`` also the
    int64 position of each maximum in its flattened, unpadded plane. RuntimeError for geometry
    that doesn't fit.

    >>> import lucidlite
    >>> x = lucidlite.arange(16.0).view(1, 1, 4, 4)
    >>> lucidlite.nn.functional.max_pool2d(x, 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])

    Semantics: torch.nn.functional.max_pool2d.
    """
    check_tensor("max_pool2d", "input", input)
    shape = input.array.shape
    window = pool_window("max_pool2d", shape, kernel_size, stride, padding, dilation, ceil_mode)
    check_dtype("max_pool2d", input, "fiu")
    return max_windows(input, window, return_indices)


def max_windows(input: Tensor, window: Window, return_indices: bool, name: str = "") -> Any:
    """``max_pool2d`` with its settings as a checked window."""
    backend, x = input.backend, _images(input.array)
    keep = return_indices or True in needs_grad(input)
    out, offsets = backend.max_pool2d(x, window, keep)
    out, args = _of_rank(input.array, out), (x.shape, window)
    pooled = record(out, max_pool2d_vjp, (input,), args, state=offsets, name=name)
    if not return_indices:
        return pooled
    found = backend.max_pool2d_indices(offsets, x.shape, window)
    return pooled, wrap(_of_rank(input.array, found), backend)


def max_pool2d_vjp(node: Node, grad: Tensor, shape: tuple[int, ...], window: Window) -> Tensor:
    offsets = wrap(node.kernel_state(), grad.backend)
    return fresh(max_pool2d_input_grad(grad, offsets, shape, window))


def max_pool2d_input_grad(
    grad: Tensor, offsets: Tensor, shape: tuple[int, ...], window: Window
) -> Tensor:
    """``grad`` scattered to the elements of a ``shape`` image that ``offsets`` name."""
    g = grad.array
    out = grad.backend.max_pool2d_input_grad(_images(g), offsets.array, shape, window)
    args = (shape, window)
    return record(_of_rank(g, out), max_pool2d_input_grad_vjp, (grad, None), args, save=(offsets,))


def max_pool2d_input_grad_vjp(
    node: Node, grad: Tensor, shape: tuple[int, ...], window: Window
) -> Gradients:
    (offsets,) = node.saved_tensors
    return max_pool2d_gather(grad, offsets, shape, window), None


def max_pool2d_gather(
    input: Tensor, offsets: Tensor, shape: tuple[int, ...], window: Window
) -> Tensor:
    """The elements of ``input`` that ``offsets`` name, one a window."""
    x = input.array
    out = _of_rank(x, input.backend.max_pool2d_gather(_images(x), offsets.array, window))
    return record(out, max_pool2d_gather_vjp, (input, None), (shape, window), save=(offsets,))


def max_pool2d_gather_vjp(
    node: Node, grad: Tensor, shape: tuple[int, ...], window: Window
) -> Gradients:
    (offsets,) = node.saved_tensors
    return max_pool2d_input_grad(grad, offsets, shape, window), None


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window.

    Shapes: input (N, C, H, W) or (C, H, W); result the same rank. The divisor is the window's size
    clipped to the padded plane (to the plane itself without ``count_include_pad``), or
    ``divisor_override``. With ``ceil_mode`` a last window that would start in the right padding is
    dropped, so sizes can be one below the plain ceiling. RuntimeError for a geometry that can't be.

    >>> import lucidlite
    >>> lucidlite.nn.functional.avg_pool2d(lucidlite.arange(16.0).view(1, 1, 4, 4), 2)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])

    Semantics: torch.nn.functional.avg_pool2d.
    """
    check_tensor("avg_pool2d", "input", input)
    shape = input.array.shape
    if len(shape) < 3:
        raise error(
            IndexError,
            f"avg_pool2d: Expected 3D or 4D (batch mode) tensor, got input of shape {shape}",
        )
    include_pad = flag("avg_pool2d", "count_include_pad", count_include_pad)
    window = pool_window("avg_pool2d", shape, kernel_size, stride, padding, 1, ceil_mode)
    divisor = pool_divisor("avg_pool2d", divisor_override)
    check_dtype("avg_pool2d", input, "f" if input.array.dtype.itemsize < 8 else "fi")
    return avg_windows(input, window, include_pad, divisor)


def avg_windows(
    input: Tensor, window: Window, include_pad: bool, divisor: int | None, name: str = ""
) -> Tensor:
    """``avg_pool2d`` with its settings as a checked window."""
    x = _images(input.array)
    out = _of_rank(input.array, input.backend.avg_pool2d(x, window, include_pad, divisor))
    args = (x.shape, window, include_pad, divisor)
    return record(out, avg_pool2d_vjp, (input,), args, name=name)


def avg_pool2d_vjp(node: Node, grad: Tensor, *args: Any) -> Tensor:
    return fresh(avg_pool2d_input_grad(grad, *args))


def avg_pool2d_input_grad(
    grad: Tensor, shape: tuple[int, ...], window: Window, include_pad: bool, divisor: int | None
) -> Tensor:
    """``grad`` shared out over its windows: the transpose of ``avg_pool2d``."""
    g = grad.array
    out = grad.backend.avg_pool2d_input_grad(_images(g), shape, window, include_pad, divisor)
    args = (window, include_pad, divisor)
    return record(_of_rank(g, out), avg_pool2d_input_grad_vjp, (grad,), args)


def avg_pool2d_input_grad_vjp(node: Node, grad: Tensor, *args: Any) -> Tensor:
    return avg_windows(grad, *args)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of bins that divide the image into ``output_size`` (int, or pair with None to keep).

    Bin i of n elements over o bins is [floor(i * n / o), ceil((i + 1) * n / o)): bins may overlap.
    Shapes: input (N, C, H, W) or (C, H, W); result (..., *output_size).

    >>> import lucidlite
    >>> lucidlite.nn.functional.adaptive_avg_pool2d(lucidlite.ones(2, 3, 10, 20), (1, 7)).shape
    (2, 3, 1, 7)

    Semantics: torch.nn.functional.adaptive_avg_pool2d.
    """
    check_tensor("adaptive_avg_pool2d", "input", input)
    shape = input.array.shape
    size = adaptive_output_size("adaptive_avg_pool2d", shape, output_size)
    if size == (1, 1):
        return mean(input, (-2, -1), keepdim=True)
    if input.array.size and 0 not in size:
        check_dtype("adaptive_avg_pool2d", input, "f")
    window = adaptive_window((shape[-2], shape[-1]), size)
    if window is not None:
        return avg_windows(input, window, True, None, "adaptive_avg_pool2d")
    return _adaptive_avg_pool2d(input, size)


def _adaptive_avg_pool2d(input: Tensor, size: tuple[int, int]) -> Tensor:
    x = _images(input.array)
    out = _of_rank(input.array, input.backend.adaptive_avg_pool2d(x, size))
    args = (x.shape, size)
    return record(out, adaptive_avg_pool2d_vjp, (input,), args, name="adaptive_avg_pool2d")


def adaptive_avg_pool2d_vjp(node: Node, grad: Tensor, *args: Any) -> Tensor:
    return fresh(adaptive_avg_pool2d_input_grad(grad, *args))


def adaptive_avg_pool2d_input_grad(
    grad: Tensor, shape: tuple[int, ...], size: tuple[int, int]
) -> Tensor:
    """``grad`` shared out over its bins: the transpose of ``adaptive_avg_pool2d``."""
    g = grad.array
    out = _of_rank(g, grad.backend.adaptive_avg_pool2d_input_grad(_images(g), shape))
    return record(out, adaptive_avg_pool2d_input_grad_vjp, (grad,), (size,))


def adaptive_avg_pool2d_input_grad_vjp(node: Node, grad: Tensor, size: tuple[int, int]) -> Tensor:
    return _adaptive_avg_pool2d(grad, size)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest value of each bin (bins as ``adaptive_avg_pool2d``), and its position if asked.

    Semantics: torch.nn.functional.adaptive_max_pool2d.
    """
    check_tensor("adaptive_max_pool2d", "input", input)
    shape = input.array.shape
    size = adaptive_output_size("adaptive_max_pool2d", shape, output_size)
    if not shape[-3]:
        raise error(
            RuntimeError,
            "adaptive_max_pool2d: Expected input to have non-zero size for non-batch dimensions, "
            f"got input of shape {shape}",
        )
    check_dtype("adaptive_max_pool2d", input, "f")
    backend, x = input.backend, _images(input.array)
    window = adaptive_window((shape[-2], shape[-1]), size)
    if window is not None:
        return max_windows(input, window, return_indices, "adaptive_max_pool2d")
    out, found = backend.adaptive_max_pool2d(x, size)
    out, indices = _of_rank(input.array, out), wrap(found, backend)
    pooled = record(out, adaptive_max_pool2d_vjp, (input,), (x.shape,), save=(indices,))
    if not return_indices:
        return pooled
    return pooled, wrap(_of_rank(input.array, found), backend)


def adaptive_max_pool2d_vjp(node: Node, grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    (indices,) = node.saved_tensors
    return plane_scatter(grad, indices, shape)


def plane_scatter(grad: Tensor, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``grad`` added at flat positions ``indices`` of zero planes."""
    g = grad.array
    out = _of_rank(g, grad.backend.plane_scatter(_images(g), indices.array, shape))
    return record(out, plane_scatter_vjp, (grad, None), (shape,), save=(indices,))


def plane_scatter_vjp(node: Node, grad: Tensor, shape: tuple[int, ...]) -> Gradients:
    (indices,) = node.saved_tensors
    return plane_gather(grad, indices, shape), None


def plane_gather(input: Tensor, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The elements of each plane at flat positions ``indices``."""
    x = input.array
    out = _of_rank(x, input.backend.plane_gather(_images(x), indices.array))
    return record(out, plane_gather_vjp, (input, None), (shape,), save=(indices,))


def plane_gather_vjp(node: Node, grad: Tensor, shape: tuple[int, ...]) -> Gradients:
    (indices,) = node.saved_tensors
    return plane_scatter(grad, indices, shape), None
