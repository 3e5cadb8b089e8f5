"""The text of a tensor, in PyTorch's format to the last byte.

Only the numbers that appear are ever fetched or formatted: a tensor longer than the threshold is
reduced to its corner blocks first, and widths are measured on those, as torch does.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.dtypes import bool_, get_default_dtype, int64

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


class _Options:
    def __init__(self) -> None:
        self.precision: int = 4
        self.threshold: float = 1000
        self.edgeitems: int = 3
        self.linewidth: int = 80
        self.sci_mode: bool | None = None


_options = _Options()

_PROFILES: dict[str, dict[str, float]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors print, from now on.

    precision: digits after the point. threshold: tensors with more elements are summarised.
    edgeitems: items shown at each end of a summarised dimension. linewidth: characters per line.
    profile: "default", "short" or "full", applied before the other arguments.
    sci_mode: always (True), never (False) or when useful (None); every call sets it anew.
    Raises ValueError or TypeError for a value that cannot be used; nothing is changed then.

    >>> import lucidlite
    >>> lucidlite.set_printoptions(precision=2)
    >>> lucidlite.tensor([1.12345])
    tensor([1.12])
    >>> lucidlite.set_printoptions(profile="default")

    Semantics: torch.set_printoptions.
    """
    chosen: dict[str, Any] = {}
    if profile is not None:
        if profile not in _PROFILES:
            raise error(
                ValueError,
                "set_printoptions: profile should be 'default', 'short' or 'full', "
                f"got profile={profile!r}",
            )
        chosen.update(_PROFILES[profile])
    counts = {"precision": precision, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in counts.items():
        if value is not None:
            chosen[name] = _count(name, value)
    if threshold is not None:
        # `not >= 0` also turns NaN away.
        if not isinstance(threshold, (int, float, np.number)) or not threshold >= 0:
            raise error(
                ValueError,
                f"set_printoptions: threshold should be a number >= 0, got threshold={threshold!r}",
            )
        chosen["threshold"] = threshold
    if sci_mode is not None and not isinstance(sci_mode, bool):
        raise error(
            TypeError,
            f"set_printoptions: sci_mode should be True, False or None, got sci_mode={sci_mode!r}",
        )
    for name, value in chosen.items():
        setattr(_options, name, value)
    _options.sci_mode = sci_mode


def _count(name: str, value: object) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise error(
            TypeError, f"set_printoptions: {name} should be an int, got {name}={value!r}"
        ) from None
    if number < 0:
        raise error(ValueError, f"set_printoptions: {name} should be >= 0, got {name}={number}")
    return number


def get_printoptions() -> dict[str, Any]:
    """Return the current print options, ready to be passed back to `set_printoptions`."""
    return dict(vars(_options))


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Change the print options inside a `with` block; takes the arguments of `set_printoptions`.

    >>> import lucidlite
    >>> with lucidlite.printoptions(precision=1):
    ...     print(lucidlite.tensor([0.25, 1.5]))
    tensor([0.2, 1.5])

    Semantics: torch.printoptions.
    """
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


def tensor_repr(tensor: Tensor) -> str:
    """Return what `repr(tensor)` shows: the values, then what is not the default."""
    shape = tuple(tensor.array.shape)
    size = math.prod(shape)
    suffixes = []
    device = tensor.device
    if device.type != "cpu":
        index = "" if device.index is None else f":{device.index}"
        suffixes.append(f"device='{device.type}{index}'")
    # An empty tensor shows no number that would tell int64 or bool from the default.
    usual = (get_default_dtype(),) if size == 0 else (get_default_dtype(), int64, bool_)
    if (size == 0 and len(shape) != 1) or (size and not _options.edgeitems):
        suffixes.append(f"size={shape}")
    if tensor.dtype not in usual:
        suffixes.append(f"dtype={tensor.dtype!r}")
    if tensor.grad_fn is not None:
        suffixes.append(f"grad_fn=<{tensor.grad_fn.name()}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    kind = type(tensor).__name__
    prefix = "tensor(" if kind in ("Tensor", "Parameter") else f"{kind}("
    items = _visible(tensor.array, tensor.backend.to_numpy)
    return _with_suffixes(prefix + _body(items, shape, len(prefix)), suffixes, len(prefix))


def tensor_format(tensor: Tensor, spec: str) -> str:
    """Return `format(tensor, spec)`: a 0-dim tensor is formatted as its number.

    Semantics: torch.Tensor.__format__.
    """
    if tensor.array.ndim == 0 and type(tensor).__name__ == "Tensor":
        return format(tensor.backend.to_numpy(tensor.array).item(), spec)
    if spec:
        raise error(
            TypeError,
            f"unsupported format string passed to {type(tensor).__name__}.__format__: only a "
            f"0-dim tensor takes one, got spec={spec!r}, shape={tuple(tensor.array.shape)}",
        )
    return str(tensor)


def format_tensor(array: np.ndarray, *, suffixes: list[str]) -> str:
    """Return the text of a host array as a tensor: `tensor(<values>, <suffixes>)`."""
    prefix = "tensor("
    items = _visible(array, np.asarray)
    return _with_suffixes(prefix + _body(items, array.shape, len(prefix)), suffixes, len(prefix))


def _summarised(shape: tuple[int, ...]) -> bool:
    return bool(shape) and math.prod(shape) > _options.threshold


def _visible(array: Any, to_numpy: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Return the items that will be shown, on the host, as one small array.

    Each corner block is a view, so only shown items are copied or cross from a device.
    """
    shape = tuple(array.shape)
    if not _summarised(shape):
        return to_numpy(array)
    edge = _options.edgeitems
    sides: list[list[tuple[slice, slice]]] = []  # per axis: (place in the result, in the array)
    for n in shape:
        if n > 2 * edge:
            head, tail = slice(0, edge), slice(n - edge, n)
            sides.append([(head, head), (slice(edge, 2 * edge), tail)])
        else:
            sides.append([(slice(0, n), slice(0, n))])
    items = np.empty([axis[-1][0].stop for axis in sides], dtype=np.dtype(array.dtype))
    if items.size:
        for block in itertools.product(*sides):
            place, source = (tuple(part) for part in zip(*block, strict=True))
            items[place] = to_numpy(array[source])
    return items


def _body(items: np.ndarray, shape: tuple[int, ...], indent: int) -> str:
    if 0 in shape:
        return "[]"
    summarised = _summarised(shape)
    if summarised and not _options.edgeitems:
        return "[...]"
    texts, width = _texts(items)
    if not shape:
        return texts[0].rjust(width)
    cells = [text.rjust(width) for text in texts]
    per_line = max(1, (_options.linewidth - indent - len(shape) + 1) // (width + 2))

    def nest(start: int, axis: int) -> str:
        """Return the bracketed text of the block whose first cell is `start`."""
        step = math.prod(items.shape[axis + 1 :])
        stop = start + step * items.shape[axis]
        inner = axis == len(shape) - 1
        if inner:
            parts = cells[start:stop]
        else:
            parts = [nest(i, axis + 1) for i in range(start, stop, step)]
        if summarised and shape[axis] > 2 * _options.edgeitems:
            # The space before the dots is torch's: the separator ends in another one.
            parts.insert(_options.edgeitems, " ..." if inner else "...")
        newline = "\n" * (1 if inner else len(shape) - axis - 1) + " " * (indent + axis + 1)
        if not inner:
            return "[" + f",{newline}".join(parts) + "]"
        lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
        return "[" + f",{newline}".join(lines) + "]"

    return nest(0, 0)


def _texts(items: np.ndarray) -> tuple[list[str], int]:
    """Return each number's text and the width they are all padded to."""
    if items.dtype.kind != "f":
        texts = [str(value) for value in items.reshape(-1).tolist()]
        return texts, max(map(len, texts))
    values = items.reshape(-1).astype(np.float64)
    ordinary = np.isfinite(values) & (values != 0)
    style = _float_style(values[ordinary])
    texts = [style(value) for value in values.tolist()]
    # Zeros, infinities and NaN do not count towards the width, even where they are the longest.
    measured = itertools.compress(texts, ordinary.tolist())
    return texts, max(map(len, measured), default=1)


def _float_style(ordinary: np.ndarray) -> Callable[[float], str]:
    """Choose one notation for all numbers of a tensor from its finite non-zero ones."""
    precision = _options.precision
    whole, scientific = True, False
    if ordinary.size:
        magnitudes = np.abs(ordinary)
        low, high = float(magnitudes.min()), float(magnitudes.max())
        whole = bool((ordinary == np.ceil(ordinary)).all())
        scientific = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        if _options.sci_mode is not None:
            scientific = _options.sci_mode
    if scientific:
        return lambda value: f"{value:.{precision}e}"
    if whole:
        return lambda value: f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
    return lambda value: f"{value:.{precision}f}"


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """Append the suffixes, each on the last line if it fits, and the closing parenthesis."""
    # torch counts one character more than the last line holds; the same wrapping needs the same sum
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text + ")"
