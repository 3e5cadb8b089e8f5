"""Convolution on NumPy: which algorithm computes what, and the way to them.

Each algorithm is an object in a file of its own, with ``forward`` and ``backward``; they take and
return raw arrays as the kernels do. A backward works without a state too, by making it again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from lucidlite.backends.kernels import Array, in_float32, nchw
from lucidlite.backends.kernels.conv import ConvKernels, Grads, Shape
from lucidlite.backends.numpy_kernels.columns import Columns
from lucidlite.backends.numpy_kernels.depthwise import Depthwise
from lucidlite.backends.numpy_kernels.direct import Direct
from lucidlite.backends.numpy_kernels.few_windows import FewWindows
from lucidlite.backends.numpy_kernels.grouped import Grouped
from lucidlite.backends.numpy_kernels.pointwise import Pointwise
from lucidlite.backends.numpy_kernels.winograd import Winograd
from lucidlite.callsite import error
from lucidlite.determinism import exact_here
from lucidlite.threads import take_blas
from lucidlite.window import Pair, Window


class Algorithm(Protocol):
    """One way to compute a convolution and its gradients."""

    def forward(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        window: Window,
        groups: int,
        keep: bool,
        memo: dict[Any, Any] | None = None,
    ) -> tuple[Array, Any]:
        """(y, state): an array for ``backward`` or None, and None unless ``keep``."""

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
        """(dx, dw, db), None where ``needs`` is false; the same bits with a state and without."""


ALGORITHMS: dict[str, Algorithm] = {
    "depthwise": Depthwise(),
    "grouped": Grouped(),
    "pointwise": Pointwise(),
    "columns": Columns(),
    "F2": Winograd(2),
    "F4": Winograd(4),
    "few windows": FewWindows(),
    "direct": Direct(),
}

# Fewer input channels are a run too short to copy: columns of planes are quicker than windows of
# channels, where there are many windows.
FEW_CHANNELS, FEW_WINDOWS = 16, 256
# Up to so many windows for each filter, turning the weights takes longer than it saves.
WINDOWS_A_FILTER = 4
# Winograd's tiles have channels to multiply over, and many multiplications to save.
TILED_CHANNELS, TILED_FILTERS, TILED_PRODUCTS = 8, 2, 1 << 18
# With its transforms a tile takes so many times as long as its multiplications. Those of weights
# and their gradients cost as much as so many tiles; kept from call to call, to read them does.
TILE_COST, WEIGHTS_COST, KEPT_WEIGHTS_COST = 1.5, 16, 7

CHOICES = "auto", "exact"


@lru_cache(maxsize=1024)
def choose(
    x_shape: Shape,
    w_shape: Shape,
    window: Window,
    groups: int,
    dtype: np.dtype[Any],
    exact: bool = False,
    cached: bool = False,
) -> str:
    """The name in ``ALGORITHMS`` of what is quickest for a convolution.

    ``exact`` forgoes Winograd's tiles, in which rounding errors are larger and an element that
    isn't finite reaches all outputs; ``cached`` says that transformed weights are kept.
    """
    if groups > 1:
        return "depthwise" if w_shape[1] == 1 else "grouped"
    if window.taps == 1 and not window.padded:
        return "pointwise"
    outputs = window.output_size((x_shape[2], x_shape[3]))
    if dtype == np.float32 and not exact and _winograd_fits(w_shape, window):
        tiled = _tiled(x_shape[0], outputs, w_shape, cached)
        if tiled:
            return tiled
    windows = x_shape[0] * outputs[0] * outputs[1]
    if windows <= WINDOWS_A_FILTER * w_shape[0] and not cached:
        return "few windows"
    return "columns" if x_shape[1] < FEW_CHANNELS and windows > FEW_WINDOWS else "direct"


def _winograd_fits(w_shape: Shape, window: Window) -> bool:
    return (
        window.kernel_size == (3, 3)
        and window.stride == window.dilation == (1, 1)
        and max(map(max, window.padding)) <= 2
        and w_shape[0] >= TILED_FILTERS
        and w_shape[1] >= TILED_CHANNELS
    )


def _tiled(n: int, outputs: Pair, w_shape: Shape, cached: bool) -> str | None:
    """The size of tiles with which there is least to multiply; None where it isn't worth it."""
    height, width = outputs
    if n * height * width * w_shape[0] * w_shape[1] <= TILED_PRODUCTS:
        return None
    weights = KEPT_WEIGHTS_COST if cached else WEIGHTS_COST
    # For a pair of channels: (m + 2)^2 products a tile, nine a window.
    f2, f4 = ((m + 2) ** 2 * (n * -(-height // m) * -(-width // m) + weights) for m in (2, 4))
    if TILE_COST * min(f2, f4) >= 9 * n * height * width:
        return None
    return "F2" if f2 < f4 else "F4"


class _State(tuple[Any, ...]):
    """What an algorithm kept, a tuple of one array, and the algorithm's name."""

    by: str

    def __new__(cls, kept: Array, by: str) -> _State:
        state = super().__new__(cls, (kept,))
        state.by = by
        return state


class NumPyConv(ConvKernels):
    """ConvKernels by the algorithm that is quickest for the shapes."""

    _conv_algorithm = "auto"

    @property
    def conv_algorithm(self) -> str:
        """'auto', or 'exact': direct sums only, as float64 always has them."""
        return self._conv_algorithm

    @conv_algorithm.setter
    def conv_algorithm(self, name: str) -> None:
        if name not in CHOICES:
            raise error(
                ValueError,
                f"conv_algorithm: expects 'auto' or 'exact', got conv_algorithm={name!r}",
            )
        self._conv_algorithm = name

    def conv2d(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        window: Window,
        groups: int,
        keep: bool,
        memo: dict[Any, Any] | None = None,
    ) -> tuple[Array, Any]:
        height, width = window.output_size(x.shape[2:])
        if not (x.size and w.size and height * width):
            return self._without_sums(x, w, bias, (height, width)), None
        name = self._choose(x.shape, w.shape, window, groups, x.dtype, memo is not None)
        return self._forward(x, w, bias, window, groups, keep, memo, name)

    def conv2d_backward(
        self,
        g: Array,
        x: Array,
        w: Array,
        state: Any,
        window: Window,
        groups: int,
        needs: tuple[bool, ...],
    ) -> Grads:
        if not (g.size and x.size and w.size):
            return self._no_grads(g, x.shape, w.shape, needs)
        name = self._choose(x.shape, w.shape, window, groups, g.dtype, False)
        # It may have been another's: exactness can be asked for at any time.
        kept = state[0] if isinstance(state, _State) and state.by == name else None
        return self._backward(g, x, w, kept, window, groups, needs, name)

    def conv2d_input_grad(
        self, g: Array, w: Array, x_shape: Shape, window: Window, groups: int
    ) -> Array:
        needs = True, False, False
        return self.conv2d_backward(g, _shape_only(g, x_shape), w, None, window, groups, needs)[0]

    def conv2d_weight_grad(
        self, g: Array, x: Array, w_shape: Shape, window: Window, groups: int
    ) -> Array:
        needs = False, True, False
        return self.conv2d_backward(g, x, _shape_only(g, w_shape), None, window, groups, needs)[1]

    @in_float32
    def _forward(self, *args: Any) -> tuple[Array, Any]:
        take_blas()
        y, kept = ALGORITHMS[args[-1]].forward(*args[:-1])
        return y, None if kept is None else _State(kept, args[-1])

    @in_float32
    def _backward(self, *args: Any) -> Grads:
        take_blas()
        return ALGORITHMS[args[-1]].backward(*args[:-1])

    def _choose(
        self,
        x_shape: Shape,
        w_shape: Shape,
        window: Window,
        groups: int,
        dtype: np.dtype[Any],
        cached: bool,
    ) -> str:
        exact = exact_here.on or self._conv_algorithm == "exact"
        return choose(x_shape, w_shape, window, groups, dtype, exact, cached)

    def _without_sums(
        self, x: Array, w: Array, bias: Array | None, outputs: tuple[int, int]
    ) -> Array:
        """No images, or no channels to sum over: what is left is the bias."""
        y = np.zeros((*outputs, x.shape[0], w.shape[0]), x.dtype)
        if bias is not None:
            y += bias
        return nchw(y)

    def _no_grads(self, g: Array, x_shape: Shape, w_shape: Shape, needs: tuple[bool, ...]) -> Grads:
        n, c, *size = x_shape
        return (
            nchw(np.zeros((*size, n, c), g.dtype)) if needs[0] else None,
            np.zeros(w_shape, g.dtype) if needs[1] else None,
            g.sum((0, 2, 3), dtype=g.dtype) if needs[2] else None,
        )


def _shape_only(like: Array, shape: Shape) -> Array:
    """An array of a shape, with no memory behind it, where only the shape is asked for."""
    return np.broadcast_to(like.dtype.type(0), shape)
