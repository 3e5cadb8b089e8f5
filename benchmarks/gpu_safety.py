"""Is it safe? Memory, repeated runs, errors, and the kernels under NVIDIA's checker."""

from __future__ import annotations

import gc
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from gpu_check import Failed, LeftOut, Phase
from gpu_tools import TESTS, cupy, device_facts, process, stand_in, training

import lucidlite
from lucidlite import nn
from lucidlite.backends import cudnn

F = nn.functional


def run(phase: Phase) -> None:
    if phase.check("device", device_facts) is None:
        return
    phase.check("two runs have the same bits", lambda: same_bits(phase))
    phase.check("memory stays flat", lambda: flat(phase))
    phase.check("out of memory", out_of_memory)
    phase.check("labels out of range", bad_labels)
    phase.check("a graph repeats the eager step", lambda: graph(phase))
    phase.check("more than 2**31 elements", lambda: huge(phase))
    phase.check("nothing, one, odd", odd_sizes)
    for tool, share in (("memcheck", 0.5), ("racecheck", 0.6), ("synccheck", 0.9)):
        phase.check(f"compute-sanitizer {tool}",
                    lambda t=tool, s=share: sanitizer(phase, t, s), 30.0)  # fmt: skip


# -- runs ------------------------------------------------------------------------------------------


def after(phase: Phase, steps: int) -> list[Any]:
    """Losses and parameters that a run from one seed ends with, on the host."""
    step, model, *_ = training("ResNet8", 4 if phase.tiny else 256, phase.tiny)
    losses = [step() for _ in range(steps)]
    return [t.detach().cpu().numpy() for t in (*losses, *model.parameters(), *model.buffers())]


def same_bits(phase: Phase) -> dict[str, Any]:
    """In deterministic mode two runs give the same bits; whether others do is told."""
    steps = 2 if phase.tiny else 20
    figures: dict[str, Any] = {}
    held = cudnn.deterministic
    try:
        for name, on in (("deterministic", True), ("default", False)):
            lucidlite.use_deterministic_algorithms(on)
            cudnn.deterministic = on
            pair = after(phase, steps), after(phase, steps)
            figures[name] = all(a.tobytes() == b.tobytes() for a, b in zip(*pair, strict=True))
    finally:
        cudnn.deterministic = held
        lucidlite.use_deterministic_algorithms(False)
    if not figures["deterministic"]:
        raise Failed("two runs differ in deterministic mode", **figures)
    return figures


def flat(phase: Phase) -> dict[str, Any]:
    """Memory after 50 steps and after 500 more, with Python's cycle collector off."""
    first, more = (2, 3) if phase.tiny else (50, 500)
    step = training("CNNWithGAP", 2 if phase.tiny else 64, phase.tiny)[0]
    gc.collect()
    gc.disable()
    try:
        levels = []
        for count in (first, more):
            for _ in range(count):
                step()
            lucidlite.cuda.synchronize()
            levels.append(lucidlite.cuda.memory_allocated())
    finally:
        gc.enable()
    figures = {"before_mib": levels[0] / 2**20, "after_mib": levels[1] / 2**20}
    # The optimizer keeps a small table for each set of addresses that it meets, up to a number.
    if levels[1] > levels[0] + 100_000:
        raise Failed(f"{levels[1] - levels[0]} bytes more after {more} steps", **figures)
    return figures


def graph(phase: Phase) -> dict[str, Any]:
    """A captured step gives the losses that the same steps give eagerly."""
    size, count = (2, 7) if phase.tiny else (64, 20)
    found = []
    for captured in (False, True):
        step, _, x, y, _ = training("CNNWithGAP", size, phase.tiny)
        call: Any = lucidlite.cuda.make_graphed_step(step) if captured else step
        found.append(np.array([float(call(x, y)) for _ in range(count)]))
    figures = {"worst": float(np.abs(found[1] / found[0] - 1).max()), "graphs": call.captured}
    if not figures["worst"] < 1e-5 or not call.captured:
        raise Failed("the graph's losses differ, or there is no graph", **figures,
                     eager=found[0].tolist(), graph=found[1].tolist())  # fmt: skip
    return figures


# -- errors ----------------------------------------------------------------------------------------


def out_of_memory() -> dict[str, Any]:
    """A request that can't be met is told as one, and the device goes on working."""
    if stand_in():
        raise LeftOut("the stand-in would take this machine's memory; its own tests set a limit")
    asked = 2 * lucidlite.cuda.mem_get_info()[1] // 4
    try:
        kept = lucidlite.zeros(asked, device="cuda")
    except lucidlite.cuda.OutOfMemoryError as problem:
        message = str(problem)
    else:
        raise Failed(f"{kept.nbytes} bytes were given, more than there are")
    x = lucidlite.ones(1000, device="cuda")
    if (x + x).sum().item() != 2000.0:
        raise Failed("the device doesn't work any more", message=message)
    return {"message": message}


def bad_labels() -> dict[str, Any]:
    """A label out of range turns the loss into NaN, and the error comes with the value."""
    logits = lucidlite.rand(8, 10).to("cuda").requires_grad_()
    labels = lucidlite.tensor([0, 1, 2, 3, 4, 5, 6, 10]).to("cuda")
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    try:
        value = loss.item()
    except IndexError as problem:
        message = str(problem)
    else:
        raise Failed(f"no IndexError, the loss is {value}")
    if "10" not in message or Path(__file__).name not in message:
        raise Failed("the error names neither the label nor the line", message=message)
    fine = F.cross_entropy(logits, labels % 10).item()
    if not np.isfinite(fine):
        raise Failed("the next loss isn't finite", message=message)
    return {"message": message.splitlines()[0]}


def huge(phase: Phase) -> dict[str, Any]:
    """Arrays whose last elements a 32-bit index doesn't reach."""
    count = 1 << 10 if phase.tiny else (1 << 31) + 7
    if not phase.tiny and lucidlite.cuda.mem_get_info()[0] < 20 * 2**30:
        raise LeftOut("less than 20 GiB of GPU memory are free")
    module = cupy()
    with lucidlite.no_grad():
        x = lucidlite.zeros(count, dtype=lucidlite.float16, device="cuda")
        x[-3:] = -2.0
        x[-1:] = 3.0
        got = F.relu(x)[-3:].cpu().numpy().tolist()
        total = x[-1000:].sum().item()
    del x, module
    lucidlite.cuda.empty_cache()
    if got != [0.0, 0.0, 3.0] or total != -1.0:
        raise Failed(f"the last elements are {got}, their sum {total}")
    return {"elements": count}


def odd_sizes() -> dict[str, Any]:
    """Batches of no sample and of one, images of one pixel, one class."""
    done = 0
    for batch, side, classes in ((0, 8, 10), (1, 8, 10), (3, 8, 1), (7, 9, 3)):
        model = lucidlite.models.LeNet(classes, image_size=side).to("cuda")
        x = lucidlite.rand(batch, 1, side, side).to("cuda").requires_grad_()
        out = model(x)
        out.sum().backward()
        if tuple(out.shape) != (batch, classes) or tuple(x.grad.shape) != tuple(x.shape):
            raise Failed(f"shapes {tuple(out.shape)}, {tuple(x.grad.shape)}")
        done += 1
    for shape in ((1, 1, 1, 1), (2, 5, 1, 1), (1, 33, 3, 2)):
        x = lucidlite.rand(*shape).to("cuda")
        expected = F.adaptive_avg_pool2d(x.cpu(), 1).numpy()
        np.testing.assert_allclose(F.adaptive_avg_pool2d(x, 1).cpu().numpy(), expected, rtol=1e-5)
        done += 1
    return {"cases": done}


# -- NVIDIA's checker ------------------------------------------------------------------------------

PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/cuda/bin")


def sanitizer(phase: Phase, tool: str, share: float) -> dict[str, Any]:
    """The kernels' own tests under ``compute-sanitizer``, as far as the time goes."""
    program = shutil.which("compute-sanitizer")
    for folder in PLACES:
        if program is None and (Path(folder) / "compute-sanitizer").exists():
            program = str(Path(folder) / "compute-sanitizer")
    if program is None:
        raise LeftOut("compute-sanitizer isn't installed")
    if importlib.util.find_spec("pytest") is None:
        raise LeftOut("pytest isn't installed")
    files = sorted(str(path) for path in TESTS.glob("test_cupy_*.py"))
    words = [program, "--tool", tool, "--error-exitcode", "77", "--print-limit", "20"]
    words += [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    log = phase.out / f"{tool}.log"
    code = process(words, max(20.0, phase.left() * share), log)
    text = log.read_text(encoding="utf-8", errors="replace")
    found = [line for line in text.splitlines() if "ERROR SUMMARY" in line or "RACECHECK" in line]
    figures: dict[str, Any] = {"exit": code, "said": found[-1] if found else ""}
    if code is None:
        figures["note"] = "time was over: a part of the tests"
    if code not in (0, None) or ("========= Invalid" in text or "Race reported" in text):
        raise Failed(f"exit code {code}, see {log}", **figures)
    return figures
