"""The same training run here and in PyTorch: same starting values, same gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lucidlite as ll

STEPS = 25
SHAPES = [(3, 4), (5,), ()]


def gradients(step: int, shapes: Any = SHAPES) -> list[np.ndarray]:
    rng = np.random.default_rng(1000 + step)
    return [np.asarray(rng.standard_normal(s), dtype=np.float32) for s in shapes]


def start(shapes: Any = SHAPES) -> list[np.ndarray]:
    return [np.asarray(a + 0.5, dtype=np.float32) for a in gradients(-1, shapes)]


def parameters(lib: Any, shapes: Any = SHAPES, dtype: str = "float32") -> list[Any]:
    kind = getattr(lib, dtype)
    return [lib.tensor(a.tolist(), dtype=kind, requires_grad=True) for a in start(shapes)]


def give_gradients(lib: Any, params: list[Any], step: int) -> None:
    for p, g in zip(params, gradients(step, [tuple(p.shape) for p in params]), strict=True):
        p.grad = lib.tensor(g.tolist(), dtype=p.dtype)


def run(lib: Any, make: Any, steps: int = STEPS, dtype: str = "float32") -> list[list[np.ndarray]]:
    params = parameters(lib, dtype=dtype)
    optimizer = make(lib, params)
    seen = []
    for step in range(steps):
        give_gradients(lib, params, step)
        optimizer.step()
        seen.append([p.detach().numpy().copy() for p in params])
    return seen


def assert_same_run(make: Any, dtype: str = "float32") -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    limits = {"rtol": 3e-6, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
    both = zip(run(ll, make, dtype=dtype), run(torch, make, dtype=dtype), strict=True)
    for ours, theirs in both:
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, **limits)
