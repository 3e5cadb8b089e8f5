"""Padding layers: each holds its border's sizes and calls ``functional.pad``."""

from __future__ import annotations

from typing import Any, ClassVar

from lucidlite.callsite import error
from lucidlite.nn import functional as F
from lucidlite.nn.module import Module
from lucidlite.tensor import Tensor

Border1d = int | tuple[int, int]
Border2d = int | tuple[int, int, int, int]
Border3d = int | tuple[int, int, int, int, int, int]


class _Pad(Module):
    """A border around the last ``rank`` dims: a number, or (before, after) of each, last first."""

    rank: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: Any) -> None:
        super().__init__()
        wide = padding if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.rank)
        self.padding: tuple[int, ...] = tuple(wide)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """A border of one value."""

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _CircularPad(_Pad):
    """A border from the other end; the input must have one or two dims more than are padded."""

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() - self.rank not in (1, 2):
            raise error(
                ValueError,
                f"{type(self).__name__}: expected {self.rank + 1}D or {self.rank + 2}D input "
                f"(got {input.dim()}D input)",
            )
        return super().forward(input)


class ConstantPad1d(_ConstantPad):
    """``value`` before and after the last dim. Semantics: torch.nn.ConstantPad1d."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around images. Semantics: torch.nn.ConstantPad2d."""

    rank = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around volumes. Semantics: torch.nn.ConstantPad3d."""

    rank = 3


class ZeroPad1d(ConstantPad1d):
    """Zeros before and after the last dim. Semantics: torch.nn.ZeroPad1d."""

    def __init__(self, padding: Border1d) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Zeros around images: ``padding`` is (left, right, top, bottom) or one number.

    >>> from lucidlite import nn, ones
    >>> nn.ZeroPad2d((1, 1, 2, 0))(ones(1, 1, 4, 4)).shape
    (1, 1, 6, 6)

    Semantics: torch.nn.ZeroPad2d.
    """

    def __init__(self, padding: Border2d) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Zeros around volumes. Semantics: torch.nn.ZeroPad3d."""

    def __init__(self, padding: Border3d) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_Pad):
    """Sequences mirrored at their ends. Semantics: torch.nn.ReflectionPad1d."""

    rank, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Images mirrored at their edges. Semantics: torch.nn.ReflectionPad2d."""

    rank, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Volumes mirrored at their faces. Semantics: torch.nn.ReflectionPad3d."""

    rank, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The first and last element repeated. Semantics: torch.nn.ReplicationPad1d."""

    rank, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The edges of images repeated. Semantics: torch.nn.ReplicationPad2d."""

    rank, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The faces of volumes repeated. Semantics: torch.nn.ReplicationPad3d."""

    rank, mode = 3, "replicate"


class CircularPad1d(_CircularPad):
    """Sequences continued from their other end. Semantics: torch.nn.CircularPad1d."""

    rank = 1


class CircularPad2d(_CircularPad):
    """Images continued from their other edge. Semantics: torch.nn.CircularPad2d."""

    rank = 2


class CircularPad3d(_CircularPad):
    """Volumes continued from their other face. Semantics: torch.nn.CircularPad3d."""

    rank = 3
