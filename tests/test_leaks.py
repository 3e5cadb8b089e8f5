"""Memory over many steps: what a step takes, it gives back."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import lucidlite
from lucidlite import nn, optim
from lucidlite.threads import set_num_threads

ROOT = Path(__file__).parents[1]
WHOLE = os.environ.get("LUCIDLITE_TEST_ALL") == "1"
needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

F = nn.functional


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def _threads(request):
    before = lucidlite.get_num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


def network(algorithms):
    """Layers of every kind; with padding, strides and channels that take different kernels."""
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.Conv2d(16, 8, 1),
        nn.AvgPool2d(2),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    ]
    model = nn.Sequential(*layers)
    kinds = {
        "SGD": lambda p: optim.SGD(p, lr=0.01, momentum=0.9),
        "Adam": lambda p: optim.Adam(p, lr=1e-3),
    }
    return model, kinds[algorithms](model.parameters())


def trainer(optimizer):
    model, optimizer = network(optimizer)
    x, y = lucidlite.randn(6, 3, 16, 16), lucidlite.tensor([0, 1, 2, 3, 4, 0])

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def look():
        model.eval()
        with lucidlite.no_grad():
            model(x)
        model.train()

    return step, look


def live_bytes(run, times):
    """Bytes of arrays that NumPy holds after each of some runs, by its own account."""
    held = []
    tracemalloc.start()
    try:
        for _ in range(times):
            run()
            snapshot = tracemalloc.take_snapshot()
            domain = np.lib.tracemalloc_domain
            arrays = snapshot.filter_traces([tracemalloc.DomainFilter(True, domain)])
            held.append(sum(trace.size for trace in arrays.traces))
    finally:
        tracemalloc.stop()
    return held


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_arrays_alive_after_each_step(optimizer):
    """As many bytes after the tenth step as after the fifth, with the cycle collector off."""
    step, look = trainer(optimizer)
    for run in (step, look, step):
        for _ in range(3):
            run()
        gc.collect()
        gc.disable()
        try:
            held = live_bytes(run, 8)
        finally:
            gc.enable()
        # Workers may each have been first to a part later than others, and keep scratch for it.
        assert held[-1] <= held[4] + 4096, held


def test_scratch_has_a_bound():
    """Many sizes, one after another: what kernels keep for the next call of a size stays small."""
    layer = nn.Conv2d(8, 8, 3, padding=1)

    def sizes():
        for size in range(4, 40, 3):
            out = layer(lucidlite.randn(4, 8, size, size))
            out.sum().backward()

    held = live_bytes(sizes, 4)
    assert held[-1] <= held[1] + 4096, held
    assert held[-1] < 64 << 20


@pytest.mark.parametrize("kind", ["forward", "backward"])
def test_failed_steps_leave_nothing(kind):
    """An exception in the middle of a step drops what the step had made."""
    step, _ = trainer("SGD")
    x = lucidlite.randn(6, 3, 16, 16, requires_grad=True)

    def fail():
        y = (x * 2).exp()
        if kind == "backward":
            y.register_hook(lambda _: 1 / 0)
        with pytest.raises((ZeroDivisionError, RuntimeError)):
            (y @ y[0] if kind == "forward" else y.square().sum()).backward()
        x.grad = None

    for _ in range(3):
        fail()
        step()
    gc.collect()
    gc.disable()
    try:
        held = live_bytes(fail, 6)
    finally:
        gc.enable()
    assert held[-1] <= held[1] + 4096, held


# -- resident memory -------------------------------------------------------------------------------

PROGRAM = """
    import sys
    import lucidlite
    from lucidlite import nn, optim

    first, last, every, threads = map(int, sys.argv[1:])
    lucidlite.set_num_threads(threads)

    def resident():
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    model = lucidlite.models.LeNet(image_size=12)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = lucidlite.randn(24, 1, 12, 12), lucidlite.randint(0, 10, (24,))
    highest = [0, 0]
    for step in range(1, last + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        if step % every == 0:
            late = step > first
            highest[late] = max(highest[late], resident())
    print(*highest)
"""


@needs_proc
@pytest.mark.parametrize("threads", [1, 2])
def test_resident_memory_over_many_steps(threads):
    """Steps 1,000 to 10,000 take no more than the first 1,000; a slice of them in the gate."""
    first, last = (1000, 10_000) if WHOLE else (60, 400)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *map(str, (first, last, 20, threads))],
        capture_output=True, text=True, timeout=1200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after <= before + 2048  # KiB


SCRIPT = ROOT / "benchmarks" / "memory.py"


@needs_proc
def test_memory_benchmark_of_ours():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--child", "LeNet", "64", "lucidlite", "2", "1"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert list(figures) == ["level_mib", "peak_mib", "between_mib"]
    assert 5 < figures["peak_mib"] < 60


@needs_proc
@pytest.mark.skipif(not WHOLE, reason="LUCIDLITE_TEST_ALL=1 runs it: three imports of PyTorch")
def test_memory_benchmark(tmp_path):
    """The script measures all sides; LeNet needs no more than PyTorch."""
    pytest.importorskip("torch", reason="compares with PyTorch")
    command = [sys.executable, SCRIPT, "--rounds", "1", "--cases", "LeNet:64", "--json", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "memory.json").read_text(encoding="utf-8"))["results"]
    assert [row["model"], row["batch"]] == ["LeNet", 64]
    ours, eager = (row["contenders"][name] for name in ("lucidlite", "torch eager"))
    assert 5 < ours["peak_mib"] < 60
    assert eager["ratio"] == round(eager["peak_mib"] / ours["peak_mib"], 3)
    assert eager["ratio"] >= eager["goal"]
