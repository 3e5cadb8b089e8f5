"""Convolutions and transposed convolutions of sequences and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import empty
from lucidlite.geometry import conv_padding, pair
from lucidlite.nn import functional as F
from lucidlite.nn.linear import reset_uniform
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.ops.one_dim import single
from lucidlite.tensor import Tensor

Size1d = int | tuple[int]
Size2d = int | tuple[int, int]
_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What the layers share: settings as tuples, one number a dim, and weight and bias.

    ``rank`` is the number of dims a filter has besides channels; ``transposed`` layers have their
    weight's first two dims the other way round.
    """

    rank: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        self._check_channels(in_channels, out_channels, groups)
        self._check_mode(padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.stride = self._sizes("stride", stride)
        self.padding: Any = padding
        if isinstance(padding, str):
            self._check_word(padding)
        else:
            self.padding = self._sizes("padding", padding)
        self.dilation = self._sizes("dilation", dilation)
        self.output_padding = self._sizes("output_padding", output_padding)
        self.groups = groups
        self.padding_mode = padding_mode
        channels = (out_channels, in_channels // groups)
        if self.transposed:
            channels = (in_channels, out_channels // groups)
        self.weight = Parameter(empty((*channels, *self.kernel_size), dtype=dtype, device=device))
        self.bias: Any
        if bias:
            self.bias = Parameter(empty(out_channels, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _sizes(self, name: str, value: Any) -> tuple[int, ...]:
        op = type(self).__name__
        return pair(op, name, value) if self.rank == 2 else (single(op, name, value),)

    def _check_channels(self, in_channels: int, out_channels: int, groups: int) -> None:
        op = type(self).__name__
        if groups <= 0:
            raise error(ValueError, f"{op}: groups must be a positive integer, got groups={groups}")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise error(
                    ValueError,
                    f"{op}: {name} must be divisible by groups, got {name}={channels}, "
                    f"groups={groups}",
                )

    def _check_mode(self, padding_mode: str) -> None:
        known = _MODES[:1] if self.transposed else _MODES
        if padding_mode not in known:
            raise error(
                ValueError,
                f"{type(self).__name__}: padding_mode must be one of {known}, "
                f"got padding_mode={padding_mode!r}",
            )

    def _check_word(self, padding: str) -> None:
        op = type(self).__name__
        if padding not in ("same", "valid"):
            raise error(
                ValueError,
                f"{op}: Invalid padding string {padding!r}, should be one of 'valid', 'same'",
            )
        if padding == "same" and any(n != 1 for n in self.stride):
            raise error(
                ValueError,
                f"{op}: padding='same' is not supported for strided convolutions, "
                f"got stride={self.stride}",
            )

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        reset_uniform(self.weight, self.bias)

    def _bordered(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input with the border that ``padding_mode`` asks for, and the padding left to do."""
        if self.padding_mode == "zeros":
            return input, self.padding
        op, padding = type(self).__name__, self.padding
        if self.rank == 1 and not isinstance(padding, str):
            padding = (0, *padding)
        wide = [(1,) * (2 - self.rank) + n for n in (self.kernel_size, self.stride, self.dilation)]
        kernel, stride, dilation = ((n[0], n[1]) for n in wide)
        (top, bottom), (left, right) = conv_padding(op, padding, kernel, stride, dilation)
        border = (left, right, top, bottom)[: 2 * self.rank]
        return F.pad(input, border, self.padding_mode), 0

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for name, usual in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
            value = getattr(self, name)
            if value != (usual,) * self.rank:
                text += f", {name}={value}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class Conv1d(_Conv):
    """Convolution of (N, C, L) or (C, L) sequences: see ``functional.conv1d``, and ``Conv2d``.

    >>> from lucidlite import nn, ones
    >>> nn.Conv1d(3, 8, 3, padding=1)(ones(2, 3, 10)).shape
    (2, 8, 10)

    Semantics: torch.nn.Conv1d.
    """

    rank = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size1d,
        stride: Size1d = 1,
        padding: str | Size1d = 0,
        dilation: Size1d = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._bordered(input)
        return F.conv1d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv2d(_Conv):
    """Convolution of (N, C, H, W) or (C, H, W) images: see ``functional.conv2d``.

    ``padding`` is an int, a pair, 'same' or 'valid'; ``padding_mode`` what the border holds: zeros,
    reflect, replicate or circular. Weight (out_channels, in_channels / groups, kH, kW) and bias
    start uniform in ``+-1 / sqrt(fan_in)``. ValueError for settings that can't fit together.

    >>> from lucidlite import nn, ones
    >>> nn.Conv2d(3, 8, 3, padding=1)(ones(2, 3, 10, 10)).shape
    (2, 8, 10, 10)

    Semantics: torch.nn.Conv2d.
    """

    rank = 2

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
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._bordered(input)
        return F.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class _ConvTranspose(_Conv):
    """What the transposed layers share: their arguments, and ``output_size`` at a call."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def _extra(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output padding that gives ``output_size``, whose first dims may be those of all."""
        if output_size is None:
            return self.output_padding
        op, lead = type(self).__name__, input.dim() - self.rank
        given = tuple(output_size)
        wanted = given[lead:] if len(given) == lead + self.rank else given
        if len(wanted) != self.rank:
            raise error(
                ValueError,
                f"{op}: for {input.dim()}D input, output_size must have {self.rank} or "
                f"{lead + self.rank} elements (got {len(given)})",
            )
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[lead:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        extra = tuple(n - low for n, low in zip(wanted, least, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
            raise error(
                ValueError,
                f"{op}: requested an output size of {wanted}, but valid sizes range from {least} "
                f"to {most} (for an input of {tuple(input.shape[lead:])})",
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of (N, C, L) or (C, L) sequences: see ``ConvTranspose2d``.

    Semantics: torch.nn.ConvTranspose1d.
    """

    rank = 1

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self._extra(input, output_size)
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of (N, C, H, W) or (C, H, W) images: what a convolution's gradient is.

    Weight (in_channels, out_channels / groups, kH, kW). Several sizes of image become one in a
    strided convolution: ``output_padding``, or ``output_size`` at a call, says which of them to go
    back to. See ``functional.conv_transpose2d``.

    >>> from lucidlite import nn, ones
    >>> nn.ConvTranspose2d(3, 8, 3, stride=2, padding=1)(ones(2, 3, 5, 5), (10, 10)).shape
    (2, 8, 10, 10)

    Semantics: torch.nn.ConvTranspose2d.
    """

    rank = 2

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self._extra(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip
