"""What the phases of the GPU check share: the device, clocks, waits, models in both libraries."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import records
from gpu_check import LeftOut

import lucidlite
from lucidlite import nn
from lucidlite.backends import cudnn, get_backend

TESTS = records.HERE.parent / "tests"
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "cupy", "nvidia-cudnn-frontend", "nvidia-cudnn-cu13",
            "nvidia-cudnn-cu12", "torch", "triton", "numpy", "pytest")  # fmt: skip


def backend() -> Any:
    """The GPU's; LeftOut with what is missing."""
    if not lucidlite.cuda.is_available():
        try:
            get_backend("cuda")
        except RuntimeError as why:
            raise LeftOut(str(why)) from None
    return get_backend("cuda")


def cupy() -> Any:
    return backend().xp


def stand_in() -> bool:
    """Whether this is the tests' CuPy without a GPU, whose times mean nothing."""
    return str(cupy().__version__).endswith("fake")


def torch_with_cuda() -> Any:
    """PyTorch, or LeftOut."""
    try:
        import torch
    except ImportError:
        raise LeftOut("PyTorch isn't installed") from None
    if not torch.cuda.is_available():
        raise LeftOut("this PyTorch finds no GPU")
    return torch


def device_facts() -> dict[str, Any]:
    """The GPU, its driver, and the versions of all that takes part."""
    module = cupy()
    facts: dict[str, Any] = {"python": platform.python_version(), "cupy": module.__version__,
                             "stand_in": stand_in()}  # fmt: skip
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            facts[name] = importlib.metadata.version(name)
    wanted = {
        "gpu": lambda: lucidlite.cuda.get_device_name(),
        "capability": lambda: list(lucidlite.cuda.get_device_capability()),
        "memory_gib": lambda: round(lucidlite.cuda.mem_get_info()[1] / 2**30, 1),
        "driver": lambda: module.cuda.runtime.driverGetVersion(),
        "runtime": lambda: module.cuda.runtime.runtimeGetVersion(),
        "cudnn": cudnn.version,
        "nvidia-smi": nvidia_smi,
    }
    for name, ask in wanted.items():
        try:
            facts[name] = ask()
        except Exception as problem:  # one missing fact is no reason to lose the others
            facts[name] = f"{type(problem).__name__}: {problem}"
    return facts


def nvidia_smi() -> str:
    if shutil.which("nvidia-smi") is None:
        return "not there"
    what = "name,driver_version,clocks.sm,clocks.mem,power.limit,temperature.gpu,utilization.gpu"
    words = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"]
    return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.strip()


# -- time ------------------------------------------------------------------------------------------


def synchronize() -> None:
    lucidlite.cuda.synchronize()


def times(run: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Milliseconds a call: on the GPU's clock, and until the host has asked for it all."""
    synchronize()
    start, end = (lucidlite.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    begun = time.perf_counter()
    for _ in range(repeats):
        run()
    asked = time.perf_counter() - begun
    end.record()
    end.synchronize()
    return {"gpu_ms": start.elapsed_time(end) / repeats, "host_ms": asked * 1e3 / repeats}


def best(run: Callable[[], Any], repeats: int, rounds: int = 5) -> dict[str, float]:
    """The quickest of some rounds, after one untimed."""
    run()
    found = [times(run, repeats) for _ in range(rounds)]
    return {name: min(each[name] for each in found) for name in found[0]}


def interleaved(
    contenders: dict[str, Callable[[], Any]],
    finish: dict[str, Callable[[], Any]],
    steps: int,
    rounds: int,
) -> dict[str, dict[str, float]]:
    """Milliseconds a step of every contender, in turns: medians, quartiles, minima.

    ``steps`` calls and then ``finish`` (wait for the device) make one sample.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for name in names:
        contenders[name]()
        finish[name]()
    for _ in range(rounds):
        for name in names:
            contenders[name]()  # another's work may have put clocks and caches elsewhere
            finish[name]()
            begun = time.perf_counter()
            for _ in range(steps):
                contenders[name]()
            finish[name]()
            samples[name].append((time.perf_counter() - begun) * 1e3 / steps)
        names.append(names.pop(0))
    return {name: spread(found) for name, found in samples.items()}


def spread(samples: list[float]) -> dict[str, float]:
    low = high = samples[0]
    if len(samples) > 1:
        low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    figures = {"median_ms": statistics.median(samples), "low_quartile_ms": low,
               "high_quartile_ms": high, "min_ms": min(samples)}  # fmt: skip
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


# -- waits -----------------------------------------------------------------------------------------

SPIN = r"""
extern "C" __global__ void spin(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {}
}
"""


def waits(step: Callable[[], Any], steps: int) -> dict[str, Any]:
    """Whether ``step`` makes the host wait for the device.

    On a GPU the stream is kept busy meanwhile: a host that waits comes back only when that is
    done. The stand-in counts.
    """
    step()
    step()
    synchronize()
    module = cupy()
    if stand_in():
        before = dict(module.counts)
        for _ in range(steps):
            step()
        names = ("sync", "d2h", "h2d")
        return {name: module.counts[name] - before[name] for name in names if name in before}
    kernel = module.RawKernel(SPIN, "spin")
    for milliseconds in (300, 1000, 3000):
        synchronize()
        with backend().stream:
            kernel((1,), (1,), (np.int64(milliseconds * 2_000_000),))
        passed = lucidlite.cuda.Event()
        passed.record()
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        asked, waited = (time.perf_counter() - begun) * 1e3, passed.query()
        synchronize()
        if not waited:
            return {"sync": 0, "host_ms": asked / steps, "busy_ms": milliseconds}
        if asked < 0.5 * milliseconds:
            break
    return {"sync": 1, "host_ms": asked / steps, "busy_ms": milliseconds}


# -- models ----------------------------------------------------------------------------------------


def mlp(library: Any = lucidlite) -> Any:
    """784-1024-1024-10, in either library."""
    made = library.nn
    return made.Sequential(
        made.Flatten(), made.Linear(784, 1024), made.ReLU(), made.Linear(1024, 1024), made.ReLU(),
        made.Linear(1024, 10),
    )  # fmt: skip


IMAGES = {"CNNWithGAP": (3, 32, 32), "LeNet": (1, 28, 28), "ResNet8": (3, 32, 32),
          "MLP": (1, 28, 28)}  # fmt: skip
TINY = (3, 6, 6)


def small(library: Any = lucidlite) -> Any:
    """What stands for every model where all is tiny, in either library."""
    made = library.nn
    return made.Sequential(
        made.Conv2d(3, 4, 3, padding=1), made.BatchNorm2d(4), made.ReLU(), made.MaxPool2d(2),
        made.AdaptiveAvgPool2d(1), made.Flatten(), made.Linear(4, 10),
    )  # fmt: skip


def model_of(name: str, tiny: bool = False) -> Any:
    """lucidlite's model of that name."""
    if tiny:
        return small()
    return mlp() if name == "MLP" else getattr(lucidlite.models, name)()


def torch_model_of(torch: Any, name: str, tiny: bool = False) -> Any:
    """The same model in PyTorch, with the same weights."""
    if tiny or name == "MLP":
        model = small(torch) if tiny else mlp(torch)
    else:
        from twins import PAIRS

        model = PAIRS[name].torchs()
    lucidlite.manual_seed(0)
    held = model_of(name, tiny).state_dict()
    model.load_state_dict({key: torch.tensor(value.numpy()) for key, value in held.items()})
    return model


def batch_of(name: str, size: int, tiny: bool = False) -> tuple[Any, Any]:
    """Images and labels on the host."""
    rng = np.random.default_rng(0)
    shape = TINY if tiny else IMAGES[name]
    return rng.standard_normal((size, *shape)).astype(np.float32), rng.integers(0, 10, size)


def training(name: str, size: int, tiny: bool = False, mixed: bool = False) -> Any:
    """(step, model, images, labels, optimizer) of one of the models, on the GPU."""
    lucidlite.manual_seed(0)
    model = model_of(name, tiny).to("cuda")
    images, labels = (lucidlite.from_numpy(a).to("cuda") for a in batch_of(name, size, tiny))
    optimizer = lucidlite.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def step(x: Any = images, y: Any = labels) -> Any:
        optimizer.zero_grad()
        with lucidlite.autocast("cuda", enabled=mixed):
            loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, model, images, labels, optimizer


# -- settings and processes ------------------------------------------------------------------------


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Convolutions and products of float32 with TF32, or strictly without."""
    before = cudnn.allow_tf32, lucidlite.get_float32_matmul_precision()
    cudnn.allow_tf32 = allowed
    lucidlite.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        yield
    finally:
        cudnn.allow_tf32 = before[0]
        lucidlite.set_float32_matmul_precision(before[1])


@contextlib.contextmanager
def route(through_cudnn: bool) -> Iterator[None]:
    """Convolutions through cuDNN, or through products of columns."""
    before, cudnn.enabled = cudnn.enabled, through_cudnn
    try:
        yield
    finally:
        cudnn.enabled = before


def process(
    words: list[str], limit: float, log: Path, environment: dict[str, str] | None = None
) -> int | None:
    """Run a program into a log file; its exit code, None where the time was over."""
    with log.open("w", encoding="utf-8") as file:
        running = subprocess.Popen(
            words, stdout=file, stderr=subprocess.STDOUT, cwd=records.HERE.parent,
            env={**os.environ, **(environment or {})}, start_new_session=os.name == "posix",
        )  # fmt: skip
        try:
            return running.wait(timeout=max(limit, 1))
        except subprocess.TimeoutExpired:
            # Its own processes too: it leads a group that was started for it.
            os.killpg(running.pid, signal.SIGKILL) if os.name == "posix" else running.kill()
            running.wait()
            return None


def use_tests() -> None:
    """Let the tests' tables be imported."""
    if not TESTS.is_dir():
        raise LeftOut("the tests aren't beside the benchmarks")
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
