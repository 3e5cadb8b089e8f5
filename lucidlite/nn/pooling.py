"""Pooling layers: each holds its settings and calls its function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lucidlite.geometry import pair
from lucidlite.nn import functional as F
from lucidlite.nn.module import Module
from lucidlite.ops.one_dim import single
from lucidlite.tensor import Tensor

Size1d = int | tuple[int]
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


class MaxPool1d(MaxPool2d):
    """The largest value of each window of (N, C, L) or (C, L): see ``functional.max_pool1d``.

    Semantics: torch.nn.MaxPool1d.
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class AvgPool1d(Module):
    """The mean of each window of (N, C, L) or (C, L): see ``functional.avg_pool1d``.

    Semantics: torch.nn.AvgPool1d.
    """

    def __init__(
        self,
        kernel_size: Size1d,
        stride: Size1d | None = None,
        padding: Size1d = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _one("AvgPool1d", "kernel_size", kernel_size)
        self.stride = _one("AvgPool1d", "stride", kernel_size if stride is None else stride)
        self.padding = _one("AvgPool1d", "padding", padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool1d(AdaptiveAvgPool2d):
    """Means of ``output_size`` bins of (N, C, L) or (C, L).

    Semantics: torch.nn.AdaptiveAvgPool1d.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveMaxPool1d(AdaptiveMaxPool2d):
    """The largest value of ``output_size`` bins of (N, C, L) or (C, L).

    Semantics: torch.nn.AdaptiveMaxPool1d.
    """

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class _LPPool(Module):
    """What the pools by a power mean share."""

    def __init__(
        self,
        norm_type: float,
        kernel_size: Any,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The ``norm_type``-norm of each window of sequences. Semantics: torch.nn.LPPool1d."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool2d(_LPPool):
    """The ``norm_type``-norm of each window of images. Semantics: torch.nn.LPPool2d."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class MaxUnpool1d(Module):
    """Maxima of sequences put back where they were. Semantics: torch.nn.MaxUnpool1d."""

    def __init__(
        self, kernel_size: Size1d, stride: Size1d | None = None, padding: Size1d = 0
    ) -> None:
        super().__init__()
        self.kernel_size = _one("MaxUnpool1d", "kernel_size", kernel_size)
        self.stride = _one("MaxUnpool1d", "stride", kernel_size if stride is None else stride)
        self.padding = _one("MaxUnpool1d", "padding", padding)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        return F.max_unpool1d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool2d(Module):
    """Maxima of images put back where they were, zeros elsewhere: see ``functional.max_unpool2d``.

    >>> from lucidlite import nn, ones
    >>> maxima, places = nn.MaxPool2d(2, return_indices=True)(ones(1, 1, 4, 4))
    >>> nn.MaxUnpool2d(2)(maxima, places).sum()
    tensor(4.)

    Semantics: torch.nn.MaxUnpool2d.
    """

    def __init__(
        self, kernel_size: Size2d, stride: Size2d | None = None, padding: Size2d = 0
    ) -> None:
        super().__init__()
        self.kernel_size = pair("MaxUnpool2d", "kernel_size", kernel_size)
        self.stride = pair("MaxUnpool2d", "stride", kernel_size if stride is None else stride)
        self.padding = pair("MaxUnpool2d", "padding", padding)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        return F.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _one(op: str, name: str, value: Any) -> tuple[int]:
    return (single(op, name, value),)
