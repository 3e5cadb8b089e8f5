"""Conv2d."""

from __future__ import annotations

from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import empty
from lucidlite.geometry import conv_padding, pair
from lucidlite.nn import functional as F
from lucidlite.nn.linear import reset_uniform
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.tensor import Tensor

Size2d = int | tuple[int, int]
_MODES = ("zeros", "reflect", "replicate", "circular")


class Conv2d(Module):
    """Convolution of (N, C, H, W) or (C, H, W) images: see ``functional.conv2d``.

    ``padding`` is an int, a pair, 'same' or 'valid'; ``padding_mode`` what the border holds: zeros,
    reflect, replicate or circular. Weight (out_channels, in_channels / groups, kH, kW) and bias
    start uniform in ``+-1 / sqrt(fan_in)``. ValueError for settings that can't fit together.

    >>> from lucidlite import nn, ones
    >>> nn.Conv2d(3, 8, 3, padding=1)(ones(2, 3, 10, 10)).shape
    (2, 8, 10, 10)

    Semantics: torch.nn.Conv2d.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size2d,
        stride: Size2d = 1,
        padding: str | Size2d = 0,
        dilation: Size2d = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise error(
                ValueError, f"Conv2d: groups must be a positive integer, got groups={groups}"
            )
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise error(
                    ValueError,
                    f"Conv2d: {name} must be divisible by groups, got {name}={channels}, "
                    f"groups={groups}",
                )
        if padding_mode not in _MODES:
            raise error(
                ValueError,
                f"Conv2d: padding_mode must be one of {_MODES}, got padding_mode={padding_mode!r}",
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride = pair("Conv2d", "stride", stride)
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.groups = groups
        self.padding_mode = padding_mode
        self.padding: Any = (
            padding if isinstance(padding, str) else pair("Conv2d", "padding", padding)
        )
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise error(
                    ValueError,
                    f"Conv2d: Invalid padding string {padding!r}, should be one of 'valid', 'same'",
                )
            if padding == "same" and self.stride != (1, 1):
                raise error(
                    ValueError,
                    "Conv2d: padding='same' is not supported for strided convolutions, "
                    f"got stride={stride}",
                )
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, dtype=dtype, device=device))
        self.bias: Any
        if bias:
            self.bias = Parameter(empty(out_channels, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        reset_uniform(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            (top, bottom), (left, right) = conv_padding(
                "Conv2d", padding, self.kernel_size, self.stride, self.dilation
            )
            input = F.pad(input, (left, right, top, bottom), self.padding_mode)
            padding = 0
        return F.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text
