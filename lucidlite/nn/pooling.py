"""Pooling layers: each holds its settings and calls its function."""

from __future__ import annotations

from typing import Any

from lucidlite.nn import functional as F
from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor

Size2d = int | tuple[int, int]
OutputSize = int | None | tuple[int | None, int | None]


class MaxPool2d(Module):
    """The largest value of each window: see ``functional.max_pool2d``.

    >>> from lucidlite import nn, arange
    >>> nn.MaxPool2d(2)(arange(16.0).view(1, 4, 4))
    tensor([[[ 5.,  7.],
             [13., 15.]]])

    Semantics: torch.nn.MaxPool2d.
    """

    def __init__(
        self,
        kernel_size: Size2d,
        stride: Size2d | None = None,
        padding: Size2d = 0,
        dilation: Size2d = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window: see ``functional.avg_pool2d``.

    >>> from lucidlite import nn, ones
    >>> nn.AvgPool2d(kernel_size=2, stride=2)(ones((1, 64, 56, 56))).shape
    (1, 64, 28, 28)

    Semantics: torch.nn.AvgPool2d.
    """

    def __init__(
        self,
        kernel_size: Size2d,
        stride: Size2d | None = None,
        padding: Size2d = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Means of bins that divide any image into ``output_size``: 1 is global average pooling.

    >>> from lucidlite import nn, ones
    >>> nn.AdaptiveAvgPool2d((1, 7))(ones(2, 64, 10, 20)).shape
    (2, 64, 1, 7)

    Semantics: torch.nn.AdaptiveAvgPool2d.
    """

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(Module):
    """The largest value of bins that divide any image into ``output_size``.

    Semantics: torch.nn.AdaptiveMaxPool2d.
    """

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
