"""Images of another size: nearest elements, linear and cubic mixes of neighbours, means of bins."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import integer
from lucidlite.mixes import bins, resizing
from lucidlite.ops.common import check_dtype, check_tensor
from lucidlite.ops.one_dim import adaptive_avg_pool1d
from lucidlite.ops.pooling import adaptive_avg_pool2d
from lucidlite.ops.precision import precision
from lucidlite.ops.resample import mix

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

# Mode -> the ranks it takes, its filter, the name of its operation before the number of dims.
_MODES: dict[str, tuple[tuple[int, ...], str, str]] = {
    "nearest": ((3, 4, 5), "nearest", "upsample_nearest"),
    "nearest-exact": ((3, 4, 5), "nearest-exact", "upsample_nearest_exact"),
    "linear": ((3,), "linear", "upsample_linear"),
    "bilinear": ((4,), "linear", "upsample_bilinear"),
    "trilinear": ((5,), "linear", "upsample_trilinear"),
    "bicubic": ((4,), "cubic", "upsample_bicubic"),
    "lanczos": ((4,), "lanczos", "upsample_lanczos"),
    "area": ((3, 4, 5), "area", "adaptive_avg_pool"),
}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """``input`` (N, C, L), (N, C, H, W) or (N, C, D, H, W) with its last dims of another size.

    ``size`` or ``scale_factor`` is a number, or one a dim. mode: 'nearest', 'nearest-exact',
    'area' (means of bins), 'linear' (3D), 'bilinear', 'bicubic', 'lanczos' (4D) or 'trilinear'
    (5D). ``align_corners`` lays the corner elements of both on each other.
    ``antialias`` widens the filter where an image shrinks. ValueError for settings that don't go
    together, NotImplementedError for a mode that isn't one of the input's rank.

    >>> import lucidlite
    >>> lucidlite.nn.functional.interpolate(lucidlite.tensor([[[1.0, 3.0]]]), size=3, mode="linear")
    tensor([[[1., 2., 3.]]])

    Semantics: torch.nn.functional.interpolate.
    """
    check_tensor("interpolate", "input", input)
    shape = input.array.shape
    ranks, kind, name = _MODES.get(mode, ((), "", ""))
    _check_settings(len(shape), mode, align_corners, antialias)
    if recompute_scale_factor and size is not None:
        raise error(
            ValueError,
            "interpolate: recompute_scale_factor is not meaningful with an explicit size, "
            f"got size={size}",
        )
    sizes, scales = _sizes(shape[2:], size, scale_factor)
    if len(shape) not in ranks:
        raise error(
            NotImplementedError,
            "interpolate: modes are nearest, nearest-exact, area (3D to 5D input), linear (3D), "
            "bilinear, bicubic, lanczos (4D) and trilinear (5D), "
            f"got mode={mode!r}, input of shape {tuple(shape)}",
        )
    if mode == "area" and len(sizes) < 3:
        pool = adaptive_avg_pool1d if len(sizes) == 1 else adaptive_avg_pool2d
        return pool(input, sizes)
    if min(sizes) < 1 or 0 in shape[1:]:
        raise error(
            RuntimeError,
            "interpolate: Input and output sizes should be greater than 0, "
            f"got input of shape {tuple(shape)}, output size {sizes}",
        )
    if input.array.dtype != "uint8" or kind[0] != "n":
        check_dtype("interpolate", input, "f")
    if recompute_scale_factor:
        scales = (None,) * len(sizes)
    double = input.array.dtype == "float64"
    tables = [
        bins(n, out)
        if mode == "area"
        else resizing(kind, n, out, scale, bool(align_corners), antialias, double)
        for n, out, scale in zip(shape[2:], sizes, scales, strict=True)
    ]
    name = f"{name}{len(tables)}d" + ("_aa" if antialias else "")
    if precision.active:
        (input,) = precision.cast(name, input)
    result = input
    for dim in range(len(tables) - 1, -1, -1):
        if not tables[dim].same or (dim == 0 and result is input):
            result = mix(result, tables[dim], dim + 2, name)
    return result


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """``interpolate`` under its old name. Semantics: torch.nn.functional.upsample."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` with mode 'nearest'. Semantics: torch.nn.functional.upsample_nearest."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` with mode 'bilinear' and corners aligned.

    Semantics: torch.nn.functional.upsample_bilinear.
    """
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)


def _deprecated(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=3,
    )


def _check_settings(rank: int, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise error(
            ValueError,
            "interpolate: align_corners option can only be set with the interpolating modes: "
            f"linear | bilinear | bicubic | trilinear, got mode={mode!r}",
        )
    if antialias and (mode not in ("bilinear", "bicubic", "lanczos") or rank != 4):
        raise error(
            ValueError,
            "interpolate: Anti-alias option is restricted to bilinear, bicubic, and lanczos modes "
            f"and requires a 4-D tensor as input, got mode={mode!r}, {rank}D input",
        )
    if mode == "lanczos" and (align_corners or not antialias):
        raise error(
            ValueError,
            "interpolate: lanczos mode requires antialias=True and no align_corners, "
            f"got antialias={antialias}, align_corners={align_corners}",
        )


def _sizes(
    shape: tuple[int, ...], size: Any, scale_factor: Any
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The new size of every dim, and the factor where factors were given."""
    if (size is None) == (scale_factor is None):
        rule = "either size or scale_factor" if size is None else "only one of size or scale_factor"
        raise error(
            ValueError,
            f"interpolate: {rule} should be defined, got size={size}, scale_factor={scale_factor}",
        )
    name, given = ("size", size) if scale_factor is None else ("scale_factor", scale_factor)
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(shape)
    if len(values) != len(shape):
        raise error(
            ValueError,
            f"interpolate: Input and {name} must have the same number of spatial dimensions, "
            f"got input with spatial dimensions {list(shape)}, {name}={given}",
        )
    if scale_factor is None:
        return tuple(integer("interpolate", "size", v) for v in values), (None,) * len(shape)
    factors = tuple(float(v) for v in values)
    return tuple(int(n * f) for n, f in zip(shape, factors, strict=True)), factors
