"""One operation at a time on the GPU, against float64 on the CPU: for the phase "truth"."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_check import Failed, LeftOut, Phase
from gpu_tools import backend, cupy, route, stand_in, tf32, use_tests

import lucidlite
from lucidlite import nn
from lucidlite.backends import cudnn

F = nn.functional

# ||gpu - float64|| / ||float64||, at most, for values and gradients alike.
LIMITS = {"float64": 1e-10, "float32": 1e-5, "tf32": 1e-3, "float16": 1e-2}


def off(got: Any, exact: Any) -> float:
    """||got - exact|| / ||exact||; infinite where infinities or NaN don't agree."""
    got, exact = np.asarray(got, np.float64), np.asarray(exact, np.float64)
    if got.shape != exact.shape:
        return math.inf
    finite = np.isfinite(exact)
    if not np.array_equal(finite, np.isfinite(got)):
        return math.inf
    norm = float(np.linalg.norm(exact[finite]))
    return float(np.linalg.norm(got[finite] - exact[finite])) / (norm or 1.0)


def host(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy()


class Worst:
    """The largest deviation, what had it, and all that were over a limit."""

    def __init__(self, limit: float) -> None:
        self.limit, self.value, self.what, self.made = limit, 0.0, "", 0
        self.over: list[str] = []

    def add(self, value: float, what: str) -> None:
        self.made += 1
        if not value <= self.limit:
            self.over.append(f"{what}: {value:.2e}")
        if not value <= self.value:
            self.value, self.what = value, what

    def figures(self) -> dict[str, Any]:
        return {"compared": self.made, "worst": self.value, "of": self.what, "limit": self.limit,
                "over": self.over[:40], "over_count": len(self.over)}  # fmt: skip


def judge(found: dict[str, Worst]) -> dict[str, Any]:
    figures: dict[str, Any] = {f"{name}_worst": w.value for name, w in found.items()}
    figures["compared"] = sum(w.made for w in found.values())
    figures["details"] = {name: w.figures() for name, w in found.items()}
    over = [each for w in found.values() for each in w.over]
    if over:
        raise Failed(f"{len(over)} over the limit, first {over[0]}", **figures)
    return figures


def ops(phase: Phase) -> dict[str, Any]:
    """Every row of the tests' table, values and gradients: GPU in each dtype, float64 on the CPU.

    Rows whose result float32's own rounding moves a lot are held to the CPU's error in that dtype.
    """
    use_tests()
    from case_kinds import differentiable, leaves, upstream
    from cases import CASES

    found = {name: Worst(LIMITS[name]) for name in ("float32", "float64", "float16")}

    def results(case: Any, arrays: list[Any], device: str, dtype: str) -> list[Any]:
        inputs = [lucidlite.from_numpy(a if a.dtype.kind != "f" else a.astype(dtype))
                  for a in arrays]  # fmt: skip
        inputs = [t.to(device) for t in inputs]
        wanted = [t.requires_grad_() for i, t in enumerate(inputs)
                  if case._takes_grad(i, t.array.dtype.kind)]  # fmt: skip
        result = case.run(lucidlite, inputs)
        outputs = differentiable(result)
        values = [host(t) for t in leaves(result) if hasattr(t, "requires_grad")]
        if not outputs:
            return values
        weights = [lucidlite.from_numpy(np.array(g, dtype)).to(t.device)
                   for g, t in zip(upstream(case, outputs), outputs, strict=True)]  # fmt: skip
        grads = lucidlite.autograd.grad(outputs, wanted, weights, allow_unused=True)
        return values + [host(g) for g in grads if g is not None]

    with tf32(False):
        for case in CASES[:: 40 if phase.tiny else 1]:
            for dtype in (d for d in case.dtypes if d in found):
                arrays = case.arrays(dtype)
                try:
                    got = results(case, arrays, "cuda", dtype)
                    there = results(case, arrays, "cpu", dtype)
                    exact = results(case, arrays, "cpu", "float64")
                except Exception as problem:
                    found[dtype].add(math.inf, f"{case.id} {type(problem).__name__}: {problem}")
                    continue
                for a, b, c in zip(got, there, exact, strict=True):
                    if a.dtype.kind != "f":
                        found[dtype].add(0.0 if np.array_equal(a, b) else math.inf, case.id)
                        continue
                    kind = b.dtype.name if b.dtype.itemsize < np.dtype(dtype).itemsize else dtype
                    own = off(b, c)  # the CPU's error, where the row magnifies rounding
                    excess = off(a, c) if own < LIMITS[kind] / 4 else off(a, b) / 4
                    found[kind].add(excess, f"{case.id} {dtype}")
    return judge(found)


GEOMETRIES: dict[str, dict[str, Any]] = {
    "strict float32": {"dtype": "float32", "limit": "float32", "allowed": False, "fast": True},
    "TF32": {"dtype": "float32", "limit": "tf32", "allowed": True, "fast": True},
    "float16": {"dtype": "float16", "limit": "float16", "allowed": True, "fast": True},
    "without cuDNN": {"dtype": "float32", "limit": "float32", "allowed": False, "fast": False},
    "float64": {"dtype": "float64", "limit": "float64", "allowed": False, "fast": True},
}


def drawn(seed: int) -> tuple[str, Callable[[Any, list[Any]], Any], list[Any]]:
    """A random convolution or pool: its words, a call, and its arrays in float64."""
    from kernel_cases import a_convolution, a_pool

    rng = np.random.default_rng(seed)
    if seed % 2:
        shape, weight, window, groups = a_convolution(rng)
        settings = {"stride": window.stride, "dilation": window.dilation, "groups": groups,
                    "padding": tuple(before for before, _ in window.padding)}  # fmt: skip
        if any(a != b for a, b in window.padding):
            settings["padding"] = "same"
        arrays = [rng.standard_normal(s) for s in (shape, weight, weight[:1])]
        return (f"conv2d {shape} {weight} {settings}",
                lambda F, t: F.conv2d(*t, **settings), arrays)  # fmt: skip
    shape, window = a_pool(rng, True)
    kind = "max_pool2d" if seed % 4 else "avg_pool2d"
    settings = {"kernel_size": window.kernel_size, "stride": window.stride,
                "padding": tuple(before for before, _ in window.padding),
                "ceil_mode": window.ceil_mode}  # fmt: skip
    if kind == "max_pool2d":
        settings["dilation"] = window.dilation
    return (f"{kind} {shape} {settings}",
            lambda F, t: getattr(F, kind)(t[0], **settings),
            [rng.standard_normal(shape)])  # fmt: skip


def values(call: Any, arrays: list[Any], device: str, dtype: str) -> list[Any]:
    """A result and its gradients for an all but constant gradient."""
    inputs = [lucidlite.from_numpy(a.astype(dtype)).to(device).requires_grad_() for a in arrays]
    out = call(F, inputs)
    steps = np.linspace(0.5, 1.5, max(out.numel(), 1))[: out.numel()].reshape(out.shape)
    out.backward(lucidlite.from_numpy(steps.astype(dtype)).to(device))
    return [host(out), *[host(t.grad) for t in inputs]]


def geometries(phase: Phase, dtype: str, limit: str, allowed: bool, fast: bool) -> dict[str, Any]:
    """Random convolutions and pools, values and gradients, against the CPU's float64."""
    use_tests()
    if fast and dtype != "float64" and not phase.tiny and not cudnn.is_available():
        note = "cuDNN isn't there: products of columns"
    else:
        note = ""
    found = Worst(LIMITS[limit])
    with tf32(allowed), route(fast):
        for seed in range(4 if phase.tiny else 200):
            words, call, arrays = drawn(seed)
            arrays = [a.astype(dtype).astype(np.float64) for a in arrays]  # rounded alike on both
            try:
                got, exact = (values(call, arrays, *place) for place in
                              (("cuda", dtype), ("cpu", "float64")))  # fmt: skip
                deviation = max(off(a, b) for a, b in zip(got, exact, strict=True))
            except NotImplementedError as problem:
                raise LeftOut(str(problem)) from None
            except Exception as problem:
                words, deviation = f"{words} {type(problem).__name__}: {problem}", math.inf
            found.add(deviation, words)
    return {**judge({dtype: found}), **({"note": note} if note else {})}


def two_routes(phase: Phase) -> dict[str, Any]:
    """The layers of the documented network through cuDNN and through products of columns."""
    if not cudnn.is_available() and not phase.tiny:
        raise LeftOut("cuDNN or its frontend isn't installed: there is one route")
    found = {"float32": Worst(LIMITS["float32"]), "float16": Worst(LIMITS["float16"])}
    size = (1, 6) if phase.tiny else (64, 32)
    for c_in, c_out in ((3, 8), (8, 4)) if phase.tiny else ((3, 64), (64, 128), (128, 256)):
        rng = np.random.default_rng(c_in)
        arrays = [rng.standard_normal(s).astype(np.float16).astype(np.float64) for s in
                  ((size[0], c_in, size[1], size[1]), (c_out, c_in, 3, 3), (c_out,))]  # fmt: skip
        for dtype, worst in found.items():
            pair = []
            for fast in (True, False):
                with tf32(False), route(fast):
                    pair.append(values(lambda F, t: F.conv2d(*t, padding=1), arrays, "cuda", dtype))
            for a, b in zip(*pair, strict=True):
                worst.add(off(a, b), f"{c_in} to {c_out} channels")
    return judge(found)


def poisoned(phase: Phase) -> dict[str, Any]:
    """Every block of memory handed out is full of NaN: what isn't written shows."""
    module = cupy()
    if stand_in():
        return {
            "note": "the stand-in's memory always is",
            **geometries(phase, **GEOMETRIES["TF32"]),
        }
    before = module.cuda.get_allocator()

    def filled(size: int) -> Any:
        memory = before(size)
        if size:
            memory.memset_async(0xFF, size, backend().stream)
        return memory

    module.cuda.set_allocator(filled)
    try:
        figures = geometries(phase, **GEOMETRIES["strict float32"])
    finally:
        module.cuda.set_allocator(before)
    return figures
