"""Elements moved between channels and places: shuffles of pixels and of channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import integer
from lucidlite.ops.common import check_tensor
from lucidlite.tape import fresh, record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Shape = tuple[int, ...]


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C * r * r, H, W) as (..., C, H * r, W * r): channels become r x r squares of pixels.

    Semantics: torch.nn.functional.pixel_shuffle. Source: Shi et al., 2016.
    """
    r = _factor("pixel_shuffle", "upscale_factor", input, upscale_factor)
    *lead, channels, height, width = input.array.shape
    if channels % (r * r):
        raise error(
            RuntimeError,
            "pixel_shuffle: expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, got input of shape {tuple(input.array.shape)}, upscale_factor={r}",
        )
    n = len(lead)
    split = (*lead, channels // (r * r), r, r, height, width)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    shape = (*lead, channels // (r * r), height * r, width * r)
    return _moved(input, split, order, shape, "pixel_shuffle")


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H * r, W * r) as (..., C * r * r, H, W): what ``pixel_shuffle`` undoes.

    Semantics: torch.nn.functional.pixel_unshuffle.
    """
    r = _factor("pixel_unshuffle", "downscale_factor", input, downscale_factor)
    *lead, channels, height, width = input.array.shape
    for what, size in (("height", height), ("width", width)):
        if size % r:
            raise error(
                RuntimeError,
                f"pixel_unshuffle: expects {what} to be divisible by downscale_factor, "
                f"got {what}={size}, downscale_factor={r}",
            )
    n = len(lead)
    split = (*lead, channels, height // r, r, width // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    shape = (*lead, channels * r * r, height // r, width // r)
    return _moved(input, split, order, shape, "pixel_unshuffle")


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of ``groups`` groups dealt out: first of each group, second of each, ...

    Shapes: input (N, C, ...) with C divisible by groups. Semantics:
    torch.nn.functional.channel_shuffle. Source: Zhang et al., 2018.
    """
    check_tensor("channel_shuffle", "input", input)
    groups = integer("channel_shuffle", "groups", groups)
    shape = input.array.shape
    if len(shape) < 3:
        raise error(
            RuntimeError,
            f"channel_shuffle: expects input with > 2 dims, but got input with sizes {list(shape)}",
        )
    if groups < 1:
        raise error(
            RuntimeError,
            f"channel_shuffle: number of groups to divide channels in must be positive, "
            f"got groups={groups}",
        )
    n, channels, *rest = shape
    if channels % groups:
        raise error(
            RuntimeError,
            "channel_shuffle: number of channels must be divisible by groups, "
            f"got {channels} channels, groups={groups}",
        )
    split = (n, groups, channels // groups, *rest)
    order = (0, 2, 1, *range(3, len(split)))
    return _moved(input, split, order, shape, "channel_shuffle")


def _factor(op: str, name: str, input: Any, factor: Any) -> int:
    check_tensor(op, "input", input)
    size = integer(op, name, factor)
    if input.array.ndim < 3:
        raise error(
            RuntimeError,
            f"{op}: expects input to have at least 3 dimensions, got input with "
            f"{input.array.ndim} dimension(s)",
        )
    if size < 1:
        raise error(RuntimeError, f"{op}: expects a positive {name}, but got {size}")
    return size


def _moved(input: Tensor, split: Shape, order: Shape, shape: Shape, name: str) -> Tensor:
    """``input`` seen in shape ``split``, its dims in another order, in memory of its own."""
    backend, x = input.backend, input.array
    out = backend.copy(x.reshape(split).transpose(order)).reshape(shape)
    return record(out, moved_vjp, (input,), (split, order, x.shape, name), name=name)


def moved_vjp(
    node: Node, grad: Tensor, split: Shape, order: Shape, shape: Shape, name: str
) -> Tensor:
    back = tuple(sorted(range(len(order)), key=order.__getitem__))
    turned = tuple(split[d] for d in order)
    return fresh(_moved(grad, turned, back, shape, f"{name.removesuffix('_grad')}_grad"))
