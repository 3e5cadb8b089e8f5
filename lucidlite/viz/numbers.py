"""What is told of a gradient: its norm, its range, and a histogram. Finite numbers only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 32


def statistics(arrays: Sequence[np.ndarray[Any, Any]]) -> dict[str, Any] | None:
    """The numbers of all elements of host ``arrays`` together; None where there are none.

    ``norm`` and ``mean`` are None where something is NaN or infinite; ``min``, ``max`` and the
    histogram are those of the finite elements.
    """
    parts = [array.reshape(-1) for array in arrays]
    values = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0)
    if not values.size:
        return None
    finite = np.isfinite(values)
    whole = bool(finite.all())
    known = (values if whole else values[finite]).astype(np.float64)
    if not known.size:
        low = high = largest = 0.0
    else:
        low, high = float(known.min()), float(known.max())
        largest = max(-low, high)
    drawn = _histogram(known, low, high)
    if largest:  # scaled by it, so that no square overflows or vanishes
        known /= largest
    nan = 0 if whole else int(np.isnan(values).sum())
    return {
        "norm": number(largest * math.sqrt(float(known @ known))) if whole else None,
        "min": number(low) if known.size else None,
        "max": number(high) if known.size else None,
        "mean": number(largest * float(known.mean())) if whole else None,
        "zeros": number((values.size - np.count_nonzero(values)) / values.size),
        "nan": nan,
        "inf": values.size - known.size - nan,
        "histogram": drawn,
    }


def _histogram(values: np.ndarray[Any, Any], low: float, high: float) -> dict[str, Any] | None:
    """How many of finite ``values`` lie in each of 32 equal parts of their range."""
    if not values.size or not math.isfinite(high - low):
        return None
    counts = np.zeros(BINS, np.int64)
    if low == high:
        counts[BINS // 2] = values.size
    else:
        place = ((values - low) / (high - low) * BINS).astype(np.int64)
        counts = np.bincount(place.clip(0, BINS - 1), minlength=BINS)
    return {"low": number(low), "high": number(high), "counts": counts.tolist()}


def number(value: float) -> float | None:
    """A number as JSON takes it, to 7 digits; None for one that isn't finite."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
