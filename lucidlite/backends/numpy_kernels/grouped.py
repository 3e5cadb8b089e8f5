"""Grouped convolution on NumPy: a direct one, whose matrices are a batch of one a group.

Groups of few channels make thin matrices, at which no product is quick. Some of them are put
together as one group whose weights are zero from one member to another: a block-diagonal matrix.
It multiplies more, all the same in less time; and of its gradient only the blocks are wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.conv import Grads, Shape
from lucidlite.backends.numpy_kernels.direct import Direct
from lucidlite.window import Window

# Groups are put together up to so many input channels.
CHANNELS = 16


class Grouped:
    """For any window and any number of groups."""

    def __init__(self) -> None:
        self.direct = Direct()

    def forward(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        window: Window,
        groups: int,
        keep: bool,
        memo: dict[Any, Any] | None = None,
    ) -> tuple[Array, None]:
        members = _members(w.shape, groups)
        w = _put_together(w, groups, members)
        return self.direct.forward(x, w, bias, window, groups // members, keep, memo)

    def backward(
        self,
        g: Array,
        x: Array,
        w: Array,
        state: Any,
        window: Window,
        groups: int,
        needs: tuple[bool, ...],
    ) -> Grads:
        members = _members(w.shape, groups)
        joint = _put_together(w, groups, members)
        dx, dw, db = self.direct.backward(g, x, joint, state, window, groups // members, needs)
        return dx, dw if dw is None else _taken_apart(dw, w.shape, groups, members), db


def _members(w_shape: Shape, groups: int) -> int:
    """How many groups make one."""
    most = max(1, CHANNELS // w_shape[1])
    return max(members for members in range(1, most + 1) if groups % members == 0)


def _put_together(w: Array, groups: int, members: int) -> Array:
    """w (K, C / groups, kH, kW) as the weights of ``groups / members`` groups."""
    if members == 1:
        return w
    k, c, *kernel = w.shape
    joint = np.zeros((groups // members, members, k // groups, members, c, *kernel), w.dtype)
    each = np.arange(members)
    blocks = w.reshape(groups // members, members, k // groups, c, *kernel)
    joint[:, each, :, each] = blocks.swapaxes(0, 1)
    return joint.reshape(k, members * c, *kernel)


def _taken_apart(joint: Array, shape: Shape, groups: int, members: int) -> Array:
    """The blocks of the gradient of what ``_put_together`` made, for w of ``shape``."""
    if members == 1:
        return joint
    k, c, *kernel = shape
    each = np.arange(members)
    blocks = joint.reshape(groups // members, members, k // groups, members, c, *kernel)
    return np.ascontiguousarray(blocks[:, each, :, each].swapaxes(0, 1)).reshape(shape)
