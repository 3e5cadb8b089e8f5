"""The settings of convolutions and pools: checked as PyTorch checks them, made into a Window."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

from lucidlite.callsite import error
from lucidlite.hints import as_given, for_channels, for_images, for_pool, for_small_image
from lucidlite.window import Pair, Window, adaptive_bins, adaptive_window

__all__ = [
    "Pair",
    "Window",
    "adaptive_bins",
    "adaptive_output_size",
    "adaptive_window",
    "conv_padding",
    "conv_window",
    "flag",
    "integer",
    "pair",
    "pool_divisor",
    "pool_window",
]


def refuse(op: str, message: str, hint: str = "") -> NoReturn:
    raise error(RuntimeError, f"{op}: {message}", hint)


def integer(op: str, name: str, value: Any) -> int:
    """``value`` as an int; TypeError for floats, bools and all else that isn't a whole number."""
    if type(value) is int:
        return value
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    kind = type(value).__name__
    raise error(
        TypeError, f"{op}: {name} must be an int or a tuple of ints, got {name}={value!r} ({kind})"
    )


def flag(op: str, name: str, value: Any) -> bool:
    """``value``, which must be True or False: a number there is a setting in the wrong place."""
    if type(value) is not bool:
        kind = type(value).__name__
        raise error(TypeError, f"{op}: {name} must be bool, got {name}={value!r} ({kind})")
    return value


def pair(op: str, name: str, value: Any) -> Pair:
    """An int, or a sequence of one or two ints, as a pair.

    TypeError for anything but whole numbers, RuntimeError for another count of them.

    >>> from lucidlite.geometry import pair
    >>> pair("max_pool2d", "kernel_size", 3), pair("max_pool2d", "kernel_size", [2, 1])
    ((3, 3), (2, 1))
    """
    if type(value) is int:
        return value, value
    if not isinstance(value, (tuple, list)):
        single = integer(op, name, value)
        return single, single
    numbers = [integer(op, name, v) for v in value]
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) != 2:
        refuse(
            op,
            f"{name} must either be a single int, or a tuple of two ints, got {name}={value!r}",
        )
    return numbers[0], numbers[1]


def _plain(*settings: Any) -> bool:
    """Whether settings are their own key: as one, (1, 1) would be found for (True, 1.0) too."""
    for setting in settings:
        kind = type(setting)
        if kind is tuple:
            for n in setting:
                if type(n) is not int:
                    return False
        elif kind is not int and kind is not str and setting is not None:
            return False
    return True


def pool_window(
    op: str,
    shape: Sequence[int],
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Window:
    """The window of a pool over an input of ``shape`` (N, C, H, W) or (C, H, W), all checked.

    ``stride`` None or () means ``kernel_size``. RuntimeError, as torch: a kernel, stride or
    dilation below one, a negative padding or one above half the kernel, a shape that isn't an
    image's, or a kernel that fits nowhere.
    """
    known = type(shape) is tuple and _plain(kernel_size, stride, padding, dilation)
    make = _known_pool if known and type(ceil_mode) is bool else _pool_window
    return make(op, shape, kernel_size, stride, padding, dilation, ceil_mode)


def _pool_window(
    op: str,
    shape: Sequence[int],
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> Window:
    kernel = pair(op, "kernel_size", kernel_size)
    steps = kernel if _omitted(stride) else pair(op, "stride", stride)
    pad = pair(op, "padding", padding)
    window = Window(
        kernel,
        steps,
        ((pad[0], pad[0]), (pad[1], pad[1])),
        pair(op, "dilation", dilation),
        flag(op, "ceil_mode", ceil_mode),
    )
    _check_pool(op, window)
    _check_pool_shape(op, window, shape)
    return window


# A network asks for the same few windows at every step. Errors are not remembered.
_known_pool = lru_cache(maxsize=1024, typed=True)(_pool_window)


def _omitted(stride: Any) -> bool:
    return stride is None or (isinstance(stride, (tuple, list)) and not stride)


def _check_pool(op: str, window: Window) -> None:
    _require_positive(op, "kernel size", "kernel_size", window.kernel_size)
    if 0 in window.stride:
        refuse(op, f"stride should not be zero, got stride={window.stride}")
    _require_positive(op, "stride", "stride", window.stride)
    _require_positive(op, "dilation", "dilation", window.dilation)
    for axis, (pad, _) in enumerate(window.padding):
        kernel, dilation = window.kernel_size[axis], window.dilation[axis]
        if pad < 0:
            refuse(op, f"pad must be non-negative, but got pad: {pad}")
        if pad > window.extent[axis] // 2:
            refuse(
                op,
                f"pad should be at most half of effective kernel size, but got pad={pad}, "
                f"kernel_size={kernel} and dilation={dilation}",
            )
        if pad > kernel // 2:
            refuse(
                op,
                "pad should be smaller than or equal to half of kernel size, "
                f"got padding={pad}, kernel_size={kernel}",
            )


def _check_pool_shape(op: str, window: Window, shape: Sequence[int]) -> None:
    # Only the batch may be empty.
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        refuse(
            op,
            "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, "
            f"but got:{list(shape)}",
            for_pool(shape),
        )
    channels, height, width = shape[-3:]
    rows, columns = window.output_size((height, width))
    if rows < 1 or columns < 1:
        refuse(
            op,
            f"Given input size: ({channels}x{height}x{width}). Calculated output size: "
            f"({channels}x{rows}x{columns}). Output size is too small",
            for_small_image(height, width),
        )


def pool_divisor(op: str, divisor_override: Any) -> int | None:
    """A checked ``divisor_override``: None, or an int other than zero."""
    if divisor_override is None:
        return None
    divisor = integer(op, "divisor_override", divisor_override)
    if divisor == 0:
        refuse(op, "divisor must be not zero, got divisor_override=0")
    return divisor


def adaptive_output_size(op: str, shape: Sequence[int], output_size: Any) -> Pair:
    """The checked (H, W) of an adaptive pool's output; None in a pair keeps the input's size."""
    if isinstance(output_size, (tuple, list)) and len(output_size) >= len(shape):
        raise error(
            ValueError,
            f"{op}: Input dimension should be at least {len(output_size) + 1}, "
            f"got input of shape {tuple(shape)}, output_size={output_size!r}",
        )
    if len(shape) not in (3, 4):
        refuse(op, f"Expected 3D or 4D tensor, but got {list(shape)}", for_pool(shape))
    empty = next((d for d in range(len(shape) - 2, len(shape)) if shape[d] == 0), None)
    if empty is not None:
        refuse(
            op,
            "Expected input to have non-zero size for non-batch dimensions, but input has "
            f"sizes {list(shape)} with dimension {empty} being empty",
        )
    if isinstance(output_size, (tuple, list)):
        if len(output_size) != 2:
            refuse(op, f"output_size must be 2 numbers, got output_size={output_size!r}")
        wanted = [n if v is None else v for v, n in zip(output_size, shape[-2:], strict=True)]
    else:
        wanted = [output_size, output_size]
    rows, columns = (integer(op, "output_size", v) for v in wanted)
    if rows < 0 or columns < 0:
        refuse(
            op,
            "elements of output_size must be greater than or equal to 0, "
            f"got output_size={output_size!r}",
        )
    return rows, columns


def conv_window(
    op: str,
    shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Window:
    """The window of a convolution of ``shape`` (N, C, H, W) or (C, H, W), all checked.

    ``weight_shape`` is (K, C / groups, kH, kW). ``padding`` may be 'valid' (none) or 'same' (an
    output as large as the input; stride 1 only; an odd total gives the far side one more).
    RuntimeError, as torch's functional form, for every setting it refuses.
    """
    known = type(shape) is type(weight_shape) is tuple
    make = _known_conv if known and _plain(stride, padding, dilation, groups) else _conv_window
    return make(op, shape, weight_shape, stride, padding, dilation, groups)


def _conv_window(
    op: str,
    shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Window:
    if len(shape) not in (3, 4):
        refuse(
            op,
            f"Expected 3D (unbatched) or 4D (batched) input, but got input of size: {list(shape)}",
            for_images(shape, weight_shape[1] if len(weight_shape) == 4 else 1),
        )
    if len(weight_shape) != 4:
        refuse(op, f"Expected a 4D weight, got weight of size {list(weight_shape)}")
    kernel = weight_shape[2], weight_shape[3]
    steps, gaps = pair(op, "stride", stride), pair(op, "dilation", dilation)
    _require_positive(op, "kernel size", "kernel_size", kernel)
    _require_positive(op, "stride", "stride", steps)
    _require_positive(op, "dilation", "dilation", gaps)
    window = Window(kernel, steps, conv_padding(op, padding, kernel, steps, gaps), gaps)
    _check_channels(op, shape, weight_shape, integer(op, "groups", groups))
    size = [n + sum(window.padding[axis]) for axis, n in enumerate(shape[-2:])]
    if any(n < extent for n, extent in zip(size, window.extent, strict=True)):
        (height, width), (kh, kw) = size, window.extent
        refuse(
            op,
            f"Calculated padded input size per channel: ({height} x {width}). Kernel size: "
            f"({kh} x {kw}). Kernel size can't be greater than actual input size",
            for_small_image(shape[-2], shape[-1]),
        )
    if 0 in shape[-2:]:
        refuse(
            op,
            "Only zero batch or zero channel inputs are supported, "
            f"but got input shape: {list(shape)}",
        )
    return window


_known_conv = lru_cache(maxsize=1024, typed=True)(_conv_window)


def conv_padding(
    op: str, padding: Any, kernel_size: Pair, stride: Pair, dilation: Pair
) -> tuple[Pair, Pair]:
    """``padding`` of a convolution as ((top, bottom), (left, right))."""
    if not isinstance(padding, str):
        pad = pair(op, "padding", padding)
        if min(pad) < 0:
            refuse(op, f"negative padding is not supported, got padding={padding}")
        return (pad[0], pad[0]), (pad[1], pad[1])
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding != "same":
        refuse(op, f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if stride != (1, 1):
        refuse(
            op,
            f"padding='same' is not supported for strided convolutions, got stride={stride}",
        )
    total_h, total_w = ((k - 1) * d for k, d in zip(kernel_size, dilation, strict=True))
    return (total_h // 2, total_h - total_h // 2), (total_w // 2, total_w - total_w // 2)


def _check_channels(
    op: str, shape: Sequence[int], weight_shape: Sequence[int], groups: int
) -> None:
    outputs, inputs = weight_shape[0], weight_shape[1]
    if groups < 1:
        refuse(op, f"non-positive groups is not supported, got groups={groups}")
    if outputs < groups or outputs % groups:
        refuse(
            op,
            f"Given groups={groups}, expected weight to be divisible by {groups} and at least "
            f"{groups} at dimension 0, but got weight of size {list(weight_shape)} instead",
        )
    if shape[-3] != inputs * groups:
        refuse(
            op,
            f"Given groups={groups}, weight of size {as_given(op, weight_shape)}, expected input "
            f"{as_given(op, shape)} to have {inputs * groups} channels, but got {shape[-3]} "
            "instead",
            for_channels(op, shape, inputs * groups),
        )


def _require_positive(op: str, what: str, name: str, value: Pair) -> None:
    if min(value) < 1:
        refuse(op, f"{what} should be greater than zero, got {name}={value}")
