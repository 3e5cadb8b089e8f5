"""Is it right? Ceilings, a run beside the CPU's, every operation, the test-suite on the GPU."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_check import Failed, LeftOut, Phase
from gpu_parity import GEOMETRIES, geometries, ops, poisoned, two_routes
from gpu_tools import TESTS, backend, best, device_facts, process, tf32, training, use_tests, waits

import lucidlite
from lucidlite import nn

F = nn.functional


def run(phase: Phase) -> None:
    def check(title: str, function: Callable[[Phase], Any], least: float = 5.0) -> None:
        phase.check(title, lambda: function(phase), least)

    if phase.check("device", device_facts) is None:
        return
    check("ceilings", ceilings)
    check("no waits in 10 steps", no_waits)
    check("trajectory of 20 steps", trajectory)
    check("every op against float64", ops)
    for name, settings in GEOMETRIES.items():
        phase.check(f"convolutions and pools, {name}", lambda s=settings: geometries(phase, **s))
    check("two routes of convolution", two_routes)
    check("memory full of NaN", poisoned)
    check("the kernels' tests on the device", kernel_tests, 60.0)
    check("the test-suite on the device", suite, 60.0)


# -- ceilings --------------------------------------------------------------------------------------


def ceilings(phase: Phase) -> dict[str, Any]:
    """What this GPU can do: bytes copied, products in each precision, by our own calls."""
    n, megabytes = (64, 1) if phase.tiny else (8192, 1024)
    repeats = 1 if phase.tiny else 10
    source = backend().xp.zeros(megabytes << 18, np.float32)
    target = backend().xp.empty_like(source)

    def copy() -> None:
        target[...] = source

    found = {"copy_gb_per_s": 2 * source.nbytes / best(copy, repeats)["gpu_ms"] / 1e6}
    for name, allowed, dtype in (
        ("float32", False, lucidlite.float32), ("tf32", True, lucidlite.float32),
        ("float16", True, lucidlite.float16),
    ):  # fmt: skip
        a = lucidlite.rand(n, n).to("cuda").to(dtype)
        with tf32(allowed), lucidlite.no_grad():
            figures = best(lambda a=a: a @ a, repeats, 3)
        found[f"{name}_tflops"] = 2 * n**3 / figures["gpu_ms"] / 1e9
    return {name: float(f"{value:.4g}") for name, value in found.items()}


# -- a whole run -----------------------------------------------------------------------------------


def no_waits(phase: Phase) -> dict[str, Any]:
    step = training("CNNWithGAP", 2 if phase.tiny else 128, phase.tiny)[0]
    figures = waits(step, 2 if phase.tiny else 10)
    if figures["sync"]:
        raise Failed("the host waits for the device in a training step", **figures)
    return figures


def losses(device: str, steps: int, tiny: bool) -> list[float]:
    """Of a small network with every kind of layer, from one seed."""
    lucidlite.manual_seed(1)
    wide = 4 if tiny else 32
    model = nn.Sequential(
        nn.Conv2d(3, wide, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(wide, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
        nn.AvgPool2d(2), nn.Conv2d(wide, wide, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(wide, 10),
    ).to(device)  # fmt: skip
    optimizer = lucidlite.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    size = 4 if tiny else 64
    x = lucidlite.randn(size, 3, 8 if tiny else 32, 8 if tiny else 32).to(device)
    y = (lucidlite.arange(size) % 10).to(device)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        found.append(loss)
    return [loss.item() for loss in found]


def trajectory(phase: Phase) -> dict[str, Any]:
    steps = 3 if phase.tiny else 20
    expected = np.array(losses("cpu", steps, phase.tiny))
    figures: dict[str, Any] = {}
    for name, allowed in (("strict", False), ("tf32", True)):
        with tf32(allowed):
            got = np.array(losses("cuda", steps, phase.tiny))
        figures[f"{name}_worst"] = float(np.abs(got / expected - 1).max())
    if not figures["strict_worst"] < 1e-4:
        raise Failed("losses leave the CPU's by more than 1e-4 in 20 steps", **figures)
    return figures


# -- the test-suite --------------------------------------------------------------------------------

OUTCOME = re.compile(r"(PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")
TEST = re.compile(r"(tests/\S+?::\S+)")


# Tests that name their devices: they run on the GPU wherever one answers.
KERNEL_TESTS = (
    "test_cuda*.py", "test_cupy_*.py", "test_same_numbers.py", "test_graphed_step.py",
    "test_grad_scaler.py", "test_autocast*.py",
)  # fmt: skip


def suite(phase: Phase) -> dict[str, Any]:
    """The whole test-suite with its tensors on the GPU, as far as the time goes."""
    which = ["tests/test_setitem.py" if phase.tiny else "tests"]
    return tests(phase, which, phase.left() - 10, "suite", {"LUCIDLITE_TEST_DEVICE": "cuda"})


def kernel_tests(phase: Phase) -> dict[str, Any]:
    """The tests of the kernels, each against NumPy, in what the suite leaves out."""
    use_tests()
    patterns = ("test_cupy_special.py",) if phase.tiny else KERNEL_TESTS
    which = [f"tests/{path.name}" for p in patterns for path in sorted(TESTS.glob(p))]
    return tests(phase, which, phase.left() * 0.45, "kernel_tests", {})


def tests(
    phase: Phase, which: list[str], limit: float, name: str, environment: dict[str, str]
) -> dict[str, Any]:
    """What pytest makes of some tests in ``limit`` seconds."""
    use_tests()
    if importlib.util.find_spec("pytest") is None:
        raise LeftOut("pytest isn't installed")
    words = [sys.executable, "-m", "pytest", *which, "-v", "--tb=line", "-p", "no:cacheprovider"]
    if importlib.util.find_spec("xdist") is not None and not phase.tiny:
        words += ["-n", "8"]
    log = phase.out / f"{name}.log"
    code = process(words, limit, log, environment)
    counts: Counter[str] = Counter()
    wrong = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        outcome, test = OUTCOME.search(line), TEST.search(line)
        if outcome and test and not line.startswith(("FAILED", "ERROR")):
            counts[outcome[1]] += 1
            if outcome[1] in ("FAILED", "ERROR"):
                wrong.append(test[1])
    figures = {**counts, "exit": code, "wrong": wrong[:200]}
    if code is None:
        figures["note"] = "time was over: a part of the tests"
    if wrong or not counts["PASSED"] or code not in (0, None):
        raise Failed(f"{len(wrong)} of {sum(counts.values())} tests failed, see {log}", **figures)
    return figures
