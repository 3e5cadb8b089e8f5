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
    wide = values.astype(np.float64)
    finite = np.isfinite(wide)
    whole = bool(finite.all())
    known = wide if whole else wide[finite]
    largest = float(np.abs(known).max()) if known.size else 0.0
    # Scaled by the largest, so that no square overflows or vanishes.
    scaled = known / largest if largest else known
    return {
        "norm": number(largest * math.sqrt(float(scaled @ scaled))) if whole else None,
        "min": number(float(known.min())) if known.size else None,
        "max": number(float(known.max())) if known.size else None,
        "mean": number(largest * float(scaled.mean())) if whole else None,
        "zeros": number(float(np.count_nonzero(wide == 0)) / wide.size),
        "nan": int(np.isnan(wide).sum()),
        "inf": int(np.isinf(wide).sum()),
        "histogram": histogram(known),
    }


def histogram(values: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """How many finite values lie in each of 32 equal parts of their range."""
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        return None
    counts = np.zeros(BINS, np.int64)
    if low == high:
        counts[BINS // 2] = values.size
    else:
        place = ((values - low) * (BINS / (high - low))).astype(np.int64)
        counts = np.bincount(place.clip(0, BINS - 1), minlength=BINS)
    return {"low": number(low), "high": number(high), "counts": counts.tolist()}


def number(value: float) -> float | None:
    """A number as JSON takes it, to 7 digits; None for one that isn't finite."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
