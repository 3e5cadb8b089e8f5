"""Borders around the last dims: of one value, or filled from the input itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.geometry import integer
from lucidlite.mixes import Mix
from lucidlite.ops.common import check_tensor
from lucidlite.ops.indexing import getitem, index_put_add
from lucidlite.ops.precision import precision
from lucidlite.ops.resample import mix
from lucidlite.tape import record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

# What PyTorch calls the operation of a mode; a number of dims follows ("" where it says none).
_OPS = {"reflect": "reflection_pad", "replicate": "replication_pad", "circular": "pad_circular"}


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Borders added: ``pad`` is (left, right, top, bottom, ...), last dim first; negative crops.

    mode 'constant' fills with ``value`` (0), in any number of dims; 'reflect', 'replicate' and
    'circular' fill from the input: its last dim, or the last two or three, where one or two are
    left (channels, batch), and raise NotImplementedError for others. RuntimeError where more is
    asked for than there is.

    >>> import lucidlite
    >>> lucidlite.nn.functional.pad(lucidlite.ones(2), (1, 0))
    tensor([0., 1., 1.])

    Semantics: torch.nn.functional.pad.
    """
    check_tensor("pad", "input", input)
    if not isinstance(pad, (tuple, list)):
        raise error(TypeError, f"pad: pad must be a tuple of ints, got pad={pad!r}")
    sizes = tuple(integer("pad", "pad", n) for n in pad)
    shape, count = input.array.shape, len(sizes) // 2
    if len(sizes) % 2 or count > len(shape):
        raise error(
            RuntimeError,
            f"pad: padding length must be even and at most twice the number of dimensions, "
            f"got pad={sizes}, shape={tuple(shape)}",
        )
    if mode == "constant":
        return pad_with_value(input, sizes, 0.0 if value is None else value)
    if mode not in _OPS:
        raise error(NotImplementedError, f"pad: unrecognised padding mode, got mode={mode!r}")
    if value:
        raise error(RuntimeError, f"pad: mode {mode!r} doesn't take in value, got value={value}")
    if count not in (1, 2, 3) or len(shape) - count not in (1, 2):
        raise error(
            NotImplementedError,
            f"pad: mode {mode!r} pads the last dim of 2D or 3D input, the last two of 3D or 4D or "
            f"the last three of 4D or 5D input, got pad={sizes}, shape={tuple(shape)}",
        )
    return pad_from_inside(input, sizes, mode)


def pad_with_value(input: Tensor, padding: tuple[int, ...], value: float) -> Tensor:
    """Borders of one value; ``padding`` has (before, after) for each dim, the last dim first."""
    shape = input.array.shape
    pairs = [(0, 0)] * (len(shape) - len(padding) // 2)
    pairs += [(padding[i], padding[i + 1]) for i in range(len(padding) - 2, -1, -2)]
    sizes = tuple(n + a + b for n, (a, b) in zip(shape, pairs, strict=True))
    left = [n + min(a, 0) + min(b, 0) for n, (a, b) in zip(shape, pairs, strict=True)]
    if any(n < 0 for n in (*sizes, *left)):
        raise error(
            RuntimeError,
            f"pad: resulted in a negative output size, got pad={padding}, shape={tuple(shape)}",
        )
    inner = tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(sizes, pairs, strict=True))
    kept = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(shape, pairs, strict=True))
    out = input.backend.padded(input.array[kept], sizes, inner, value)
    return record(out, pad_vjp, (input,), (inner, kept, shape))


def pad_vjp(
    node: Node, grad: Tensor, inner: tuple[slice, ...], kept: tuple[slice, ...], shape: Any
) -> Tensor:
    return index_put_add(getitem(grad, inner), kept, (), shape)


def pad_from_inside(input: Tensor, padding: tuple[int, ...], mode: str) -> Tensor:
    """Borders filled from the input: reflect, replicate or circular; ``padding`` as above."""
    count = len(padding) // 2
    name = _OPS[mode] if mode == "circular" else f"{_OPS[mode]}{count}d"
    if precision.active:
        (input,) = precision.cast(name, input)
    shape = input.array.shape
    tables = []
    for i in range(count):
        n, before, after = shape[-1 - i], padding[2 * i], padding[2 * i + 1]
        tables.append(Mix(n, (_source(n, before, after, mode),)))
    for i, table in enumerate(tables):
        input = mix(input, table, len(shape) - 1 - i, name)
    return input


def _source(n: int, before: int, after: int, mode: str) -> tuple[int, ...]:
    """For each place of a padded axis, the element of the axis it copies."""
    limit = {"reflect": n - 1, "circular": n}.get(mode)
    if limit is not None and max(before, after) > limit:
        raise error(
            RuntimeError,
            "pad: padding size should be less than the corresponding input dimension for mode "
            f"'{mode}', got padding={(before, after)}, size={n}",
        )
    kept = n + min(before, 0) + min(after, 0)
    if n + before + after < 1 or not n or (mode == "circular" and kept < 1):
        raise error(
            RuntimeError,
            f"pad: input is too small: mode '{mode}' leaves {n + before + after} elements, "
            f"got padding={(before, after)}, size={n}",
        )
    places = range(-before, n + after)
    if mode == "replicate":
        return tuple(min(max(i, 0), n - 1) for i in places)
    if mode == "circular":  # of what is left, where an end is cropped
        low, high = max(-before, 0), n - max(-after, 0)
        return tuple(low + (i - low) % (high - low) for i in places)
    return tuple(-i if i < 0 else 2 * (n - 1) - i if i >= n else i for i in places)
