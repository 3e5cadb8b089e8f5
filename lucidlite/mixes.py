"""Tables by which the elements of an axis are made of those of another: resizing and padding.

Numbers only: no arrays of a device, no tensors. ``Mix`` is what kernels read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lucidlite.window import adaptive_bins


class Mix(NamedTuple):
    """Output i is the sum over t of ``weights[t][i]`` times input ``places[t][i]``.

    ``inputs`` is how many there are; weights None are all 1.

    >>> from lucidlite.mixes import Mix
    >>> Mix(2, ((0, 0, 1),)).transposed()
    Mix(inputs=3, places=((0, 2), (1, 0)), weights=(None, (1.0, 0.0)))
    """

    inputs: int
    places: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...] | None, ...] = (None,)

    @property
    def same(self) -> bool:
        """Whether the outputs are the inputs."""
        return self.places == (tuple(range(self.inputs)),) and self.weights == (None,)

    def transposed(self) -> Mix:
        """The table by which gradients of the outputs become those of the inputs."""
        return _transposed(self)


@lru_cache(maxsize=256)
def _transposed(mix: Mix) -> Mix:
    found: list[list[tuple[int, float]]] = [[] for _ in range(mix.inputs)]
    for places, weights in zip(mix.places, mix.weights, strict=True):
        for i, at in enumerate(places):
            weight = 1.0 if weights is None else weights[i]
            if weight:
                found[at].append((i, weight))
    rows = []
    for t in range(max(1, *map(len, found), 1)):
        rows.append([terms[t] if t < len(terms) else (0, 0.0) for terms in found])
    return _mix(len(mix.places[0]), rows)


def _mix(inputs: int, rows: list[list[tuple[int, float]]]) -> Mix:
    """A table of rows of (place, weight); those of no weight are left out, but for the first."""
    rows = [row for t, row in enumerate(rows) if not t or any(weight for _, weight in row)]
    weights = [tuple(float(weight) for _, weight in row) for row in rows]
    return Mix(
        inputs,
        tuple(tuple(int(at) for at, _ in row) for row in rows),
        tuple(None if all(w == 1.0 for w in each) else each for each in weights),
    )


@lru_cache(maxsize=256)
def bins(inputs: int, outputs: int) -> Mix:
    """The table of means of the bins of adaptive pooling."""
    spans = adaptive_bins(inputs, outputs)
    return _mix(
        inputs,
        [
            [(start + t, 1 / (end - start)) if start + t < end else (start, 0.0)
             for start, end in spans]
            for t in range(max(end - start for start, end in spans))
        ],
    )  # fmt: skip


def _cubic(x: Any, a: float) -> Any:
    """Keys' cubic convolution: of distance x, with slope ``a`` at 1."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


# Of each filter the reach and the weight at a distance, as smoothed resizing uses them.
_FILTERS: dict[str, tuple[int, Any]] = {
    "linear": (1, lambda x: np.maximum(1 - np.abs(x), 0)),
    "cubic": (2, lambda x: _cubic(x, -0.5)),
    "lanczos": (3, lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)),
}


@lru_cache(maxsize=256)
def resizing(
    kind: str,
    inputs: int,
    outputs: int,
    scale_factor: float | None,
    align_corners: bool,
    antialias: bool,
    double: bool,
) -> Mix:
    """The table that resizes an axis: 'nearest', 'nearest-exact', 'linear', 'cubic', 'lanczos'.

    Places are found in the precision that PyTorch finds them in, float32 but for ``double`` ones.
    """
    if inputs == outputs and (antialias or kind == "linear"):
        return Mix(inputs, (tuple(range(inputs)),))
    real = np.float64 if double else np.float32
    if align_corners:
        step = real(inputs - 1) / real(outputs - 1) if outputs > 1 else real(0)
    elif scale_factor is not None and scale_factor > 0:
        step = real(1.0 / scale_factor)
    else:
        step = real(inputs) / real(outputs)
    at = np.arange(outputs, dtype=real)
    if antialias:
        return _smoothed(kind, inputs, at, step)
    if kind == "nearest":
        places = np.floor(at * step)
        return _clamped(inputs, [(places, np.ones_like(at))])
    source = at * step if align_corners else step * (at + real(0.5)) - real(0.5)
    if kind != "cubic":
        source = np.maximum(source, real(0))
    if kind == "nearest-exact":
        return _clamped(inputs, [(np.floor(source + real(0.5)), np.ones_like(at))])
    first = np.minimum(np.floor(source), real(inputs - 1))
    part = np.clip(source - first, real(0), real(1))
    if kind == "linear":
        return _clamped(inputs, [(first, 1 - part), (first + 1, part)])
    return _clamped(
        inputs, [(first + k, _cubic(part - real(k), -0.75).astype(real)) for k in range(-1, 3)]
    )


def _clamped(inputs: int, terms: list[tuple[Any, Any]]) -> Mix:
    """A table of (places, weights); places outside the axis are its ends."""
    return _mix(
        inputs,
        [
            list(zip(np.clip(places, 0, inputs - 1).tolist(), weights.tolist(), strict=True))
            for places, weights in terms
        ],
    )


def _smoothed(kind: str, inputs: int, at: Any, step: Any) -> Mix:
    """Resizing whose filter is widened to cover all the inputs where there are fewer outputs."""
    real = at.dtype.type
    reach, weight = _FILTERS[kind]
    stretch = np.maximum(step, real(1))
    center = step * (at + real(0.5))
    support = real(reach) * stretch
    low = np.maximum((center - support + real(0.5)).astype(np.int64), 0)
    high = np.minimum((center + support + real(0.5)).astype(np.int64), inputs)
    taps = np.arange(int(np.max(high - low)))[:, None] + low
    weights = weight((taps - center + real(0.5)) / stretch) * (taps < high)
    weights = (weights / weights.sum(axis=0)).astype(real)
    return _clamped(inputs, list(zip(taps, weights, strict=True)))
