"""Maxima put back where they were, and pools by a power mean."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.geometry import integer, pair
from lucidlite.ops.activation import relu
from lucidlite.ops.common import check_device, check_tensor
from lucidlite.ops.gather import gather
from lucidlite.ops.one_dim import avg_pool1d, max_pool1d, single
from lucidlite.ops.pooling import avg_pool2d, max_pool2d
from lucidlite.ops.precision import precision
from lucidlite.ops.shape import reshape, squeeze, unsqueeze
from lucidlite.ops.unary import sign
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]

Shape = tuple[int, ...]


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Planes of zeros with ``input`` at ``indices``, as ``max_pool2d`` returned both.

    Shapes: input and int64 indices (N, C, H, W) or (C, H, W). ``output_size`` settles the size
    where the pool's input is one of several; ValueError where it isn't.

    Semantics: torch.nn.functional.max_unpool2d.
    """
    op = "max_unpool2d"
    kernel, pads = pair(op, "kernel_size", kernel_size), pair(op, "padding", padding)
    steps = kernel if stride is None else pair(op, "stride", stride)
    check_tensor(op, "input", input)
    size = _unpooled(op, input.array.shape, kernel, steps, pads, output_size)
    _check_indices(op, input, indices, (3, 4), size)
    return _unpool(input, indices, (size[0], size[1]))


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Sequences of zeros with ``input`` at ``indices``, as ``max_pool1d`` returned both.

    Otherwise as ``max_unpool2d``. Semantics: torch.nn.functional.max_unpool1d.
    """
    op = "max_unpool1d"
    kernel, pads = single(op, "kernel_size", kernel_size), single(op, "padding", padding)
    step = kernel if stride is None else single(op, "stride", stride)
    check_tensor(op, "input", input)
    size = _unpooled(op, input.array.shape, (kernel,), (step,), (pads,), output_size)
    _check_indices(op, input, indices, (2, 3), size)
    out = _unpool(unsqueeze(input, -1), unsqueeze(indices, -1), (size[0], 1))
    return squeeze(out, -1)


def _unpooled(
    op: str, shape: Shape, kernel: Shape, stride: Shape, padding: Shape, output_size: Any
) -> Shape:
    """The size of the result's planes."""
    count = len(kernel)
    if len(shape) < count:
        raise error(
            IndexError, f"{op}: Expected {count + 1}D or {count + 2}D input, got {list(shape)}"
        )
    usual = tuple(
        (n - 1) * s + k - 2 * p
        for n, k, s, p in zip(shape[-count:], kernel, stride, padding, strict=True)
    )
    if output_size is None:
        size = usual
    else:
        given = tuple(integer(op, "output_size", n) for n in output_size)
        size = given[2:] if len(given) == count + 2 else given
        if len(size) != count:
            raise error(
                ValueError,
                f"{op}: output_size should be a sequence containing {count} or {count + 2} "
                f"elements, but it has a length of {len(given)}",
            )
        for n, middle, s in zip(size, usual, stride, strict=True):
            if not middle - s < n < middle + s:
                raise error(
                    ValueError,
                    f"{op}: invalid output_size, must be between {middle - s} and {middle + s} "
                    f"and neither, got output_size={given}",
                )
    if min(size) < 0:
        raise error(
            ValueError,
            f"{op}: output_size must contain non-negative spatial dimensions, but got {size}",
        )
    return size


def _check_indices(
    op: str, input: Tensor, indices: Any, ranks: tuple[int, int], size: Shape
) -> None:
    check_tensor(op, "indices", indices)
    check_device(op, input, indices)
    if indices.array.dtype != np.int64:
        raise error(
            RuntimeError,
            f"{op}: elements in indices should be type int64 but got: {indices.dtype}",
        )
    shape = input.array.shape
    if len(shape) not in ranks or 0 in shape[-len(size) - 1 :]:
        raise error(
            RuntimeError,
            f"{op}: Input should be a {ranks[0]}d or {ranks[1]}d Tensor with non-zero size for "
            f"non-batch dimensions, but got {list(shape)}",
        )
    if indices.array.shape != shape:
        raise error(
            RuntimeError,
            f"{op}: Expected shape of indices to be same as that of the input tensor "
            f"({list(shape)}) but got {list(indices.array.shape)}",
        )
    places = prod(size)
    rule = f"{op}: found an invalid max index: {{}} (output volumes are of size {places})"
    indices.backend.check_index(indices.array, 0, places, RuntimeError, rule)


def _unpool(input: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Zero planes of ``size`` with ``input`` at flat places ``indices``; the last of several."""
    if precision.active:
        (input,) = precision.cast("max_unpool2d", input)
    x, xp = input.array, input.backend.xp
    lead = x.shape[:-2]
    planes = xp.zeros((prod(lead), prod(size)), x.dtype)
    flat = (prod(lead), prod(x.shape[-2:]))
    planes[xp.arange(prod(lead)).reshape(-1, 1), indices.array.reshape(flat)] = x.reshape(flat)
    out = planes.reshape(*lead, *size)
    return record(out, max_unpool2d_vjp, (input, None), (x.shape,), (indices,))


def max_unpool2d_vjp(node: Node, grad: Tensor, shape: Shape) -> Gradients:
    (indices,) = node.saved_tensors
    lead = shape[:-2]
    flat = reshape(grad, (*lead, prod(grad.array.shape[-2:])))
    places = reshape(indices, (*lead, prod(shape[-2:])))
    return reshape(gather(flat, -1, places), shape), None


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The ``norm_type``-norm of each window of (N, C, L) or (C, L).

    Semantics: torch.nn.functional.lp_pool1d.
    """
    size = single("lp_pool1d", "kernel_size", kernel_size)
    if abs(norm_type) == float("inf"):
        return _extreme(max_pool1d, input, norm_type, size, stride, ceil_mode)
    out = avg_pool1d(input**norm_type, size, stride, 0, ceil_mode)
    return _root(out, size, norm_type)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The ``norm_type``-norm of each window of (N, C, H, W) or (C, H, W).

    The mean of the powers times the elements of a whole window, where windows are cut off too.

    Semantics: torch.nn.functional.lp_pool2d.
    """
    size = pair("lp_pool2d", "kernel_size", kernel_size)
    if abs(norm_type) == float("inf"):
        return _extreme(max_pool2d, input, norm_type, size, stride, ceil_mode)
    out = avg_pool2d(input**norm_type, size, stride, 0, ceil_mode)
    return _root(out, size[0] * size[1], norm_type)


def _extreme(
    pool: Any, input: Tensor, norm_type: float, size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    """The largest or, of the norm -inf, the smallest absolute value of each window."""
    lowest = norm_type < 0
    out: Tensor = pool(-abs(input) if lowest else abs(input), size, stride, 0, 1, ceil_mode)
    return -out if lowest else out


def _root(mean: Tensor, count: int, norm_type: float) -> Tensor:
    return (sign(mean) * relu(abs(mean)) * count) ** (1.0 / norm_type)
