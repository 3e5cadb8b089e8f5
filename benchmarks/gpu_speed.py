"""Is it fast? Training steps beside PyTorch's, and where the time goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_check import LeftOut, Phase
from gpu_tools import (
    backend,
    batch_of,
    best,
    cupy,
    device_facts,
    interleaved,
    route,
    stand_in,
    synchronize,
    tf32,
    times,
    torch_model_of,
    torch_with_cuda,
    training,
)
from gpu_truth import ceilings

import lucidlite
from lucidlite import nn
from lucidlite.backends import cudnn

F = nn.functional
BATCHES = (64, 128, 512, 1024)
MODELS = ("CNNWithGAP", "LeNet", "MLP")
# Throughput against PyTorch eager in channels_last, at least; by (model, batch).
GOALS = {("CNNWithGAP", 128): {"eager": 1.0, "graph": 2.0}, ("CNNWithGAP", 1024): {"eager": 0.9}}
MEMORY_GOAL = 1.1  # of PyTorch's peak, at most


def run(phase: Phase) -> None:
    if phase.check("device", device_facts) is None:
        return
    phase.facts["ceilings"] = phase.check("ceilings", lambda: ceilings(phase)) or {}
    phase.check("calls of CuPy", lambda: calls(phase))
    cases = [(model, batch) for batch in (128, 1024, 64, 512) for model in MODELS]
    for model, batch in cases[: 3 if phase.tiny else None]:
        phase.check(f"step of {model}, batch {batch}",
                    lambda m=model, b=batch: steps(phase, m, b), 30.0)  # fmt: skip
    for batch in (128, 1024)[: 1 if phase.tiny else None]:
        phase.check(f"memory of CNNWithGAP, batch {batch}", lambda b=batch: memory(phase, b))
        phase.check(f"operations of CNNWithGAP, batch {batch}",
                    lambda b=batch: operations(phase, b))  # fmt: skip
    phase.check("launches in a step", lambda: launches(phase))
    phase.check("strict float32, batch 128",
                lambda: steps(phase, "CNNWithGAP", 128, strict=True), 30.0)  # fmt: skip
    phase.check("torch.compile", lambda: compiled(phase), 60.0)


# -- whole steps -----------------------------------------------------------------------------------

Contender = tuple[Callable[[], Any], Callable[[], Any]]  # a step, and what waits for it


def contenders_of(phase: Phase, name: str, batch: int) -> tuple[dict[str, Contender], Any]:
    """PyTorch eagerly; lucidlite eagerly, in mixed precision, through columns and as a graph.

    And what kept some of them from being there.
    """

    def columns() -> Callable[[], Any]:
        plain = training(name, batch, phase.tiny)[0]

        def step() -> Any:
            with route(False):
                return plain()

        return step

    def graph() -> Callable[[], Any]:
        step, _, x, y, _ = training(name, batch, phase.tiny)
        graphed = lucidlite.cuda.make_graphed_step(step, warmup=2)
        for _ in range(4):  # the third call is captured
            graphed(x, y)
        return lambda: graphed(x, y)

    def torchs(order: str, mixed: bool = False) -> Callable[[], Any]:
        torch = torch_with_cuda()
        return torch_step(phase, torch, name, batch, getattr(torch, order), mixed)

    makers = {
        "torch": lambda: torchs("contiguous_format"),
        "torch channels_last": lambda: torchs("channels_last"),
        "torch channels_last float16": lambda: torchs("channels_last", True),
        "lucidlite": lambda: training(name, batch, phase.tiny)[0],
        "lucidlite float16": lambda: training(name, batch, phase.tiny, mixed=True)[0],
        "lucidlite without cuDNN": columns,
        "lucidlite graph": graph,
    }
    if name == "MLP":  # no images
        del makers["torch channels_last"], makers["lucidlite without cuDNN"]
    found, problems = {}, {}
    for label, make in makers.items():
        try:
            wait = torch_with_cuda().cuda.synchronize if "torch" in label else synchronize
            step = make()
            step()
            wait()
            found[label] = step, wait
        except Exception as problem:  # the others are worth having
            problems[label] = f"{type(problem).__name__}: {problem}"
    return found, problems


def torch_step(
    phase: Phase, torch: Any, name: str, batch: int, order: Any, mixed: bool = False
) -> Callable[[], Any]:
    model = torch_model_of(torch, name, phase.tiny).cuda().to(memory_format=order)
    images, labels = (torch.tensor(a).cuda() for a in batch_of(name, batch, phase.tiny))
    images = images.contiguous(memory_format=order)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def step() -> Any:
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16, enabled=mixed):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


@contextlib.contextmanager
def same_tf32(allowed: bool) -> Any:
    """TF32 in convolutions or strict float32, here and in PyTorch; products always strict."""
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = allowed
    try:
        torch = torch_with_cuda()
        flags = torch.backends.cudnn
        held, flags.allow_tf32 = flags.allow_tf32, allowed
    except LeftOut:
        flags = None
    try:
        yield
    finally:
        cudnn.allow_tf32 = before
        if flags is not None:
            flags.allow_tf32 = held


def steps(phase: Phase, name: str, batch: int, strict: bool = False) -> dict[str, Any]:
    """Milliseconds a step of every contender, by turns, and the ratios."""
    batch = 2 if phase.tiny else batch
    count, rounds = (1, 1) if phase.tiny else (10 if batch > 128 else 20, 9)
    with same_tf32(not strict):
        contenders, problems = contenders_of(phase, name, batch)
        rows = interleaved({k: v[0] for k, v in contenders.items()},
                           {k: v[1] for k, v in contenders.items()}, count, rounds)  # fmt: skip
        host = {k: times(contenders[k][0], count) for k in rows if k.startswith("lucidlite")}
    base = rows.get("torch channels_last", rows.get("torch"))
    figures: dict[str, Any] = {k: v["median_ms"] for k, v in rows.items()}
    goals = GOALS.get((name, batch), {}) if not strict else {}
    if base is not None:
        for kind, label in (("eager", "lucidlite"), ("graph", "lucidlite graph")):
            if label in rows:
                figures[f"ratio_{kind}"] = round(base["median_ms"] / rows[label]["median_ms"], 3)
            if kind in goals and f"ratio_{kind}" in figures:
                figures[f"goal_{kind}"] = goals[kind]
    return {**figures, "rows": rows, "host": host, "problems": problems, "steps": count,
            "rounds": rounds}  # fmt: skip


def compiled(phase: Phase) -> dict[str, Any]:
    """torch.compile, plainly and with CUDA graphs, beside our graph; last, for it takes minutes."""
    torch = torch_with_cuda()
    batch, order = 2 if phase.tiny else 128, torch.channels_last
    found = {}
    for mode in ("default", "reduce-overhead"):
        if phase.left() < 45 and not phase.tiny:
            break
        model = torch_model_of(torch, "CNNWithGAP", phase.tiny).cuda().to(memory_format=order)
        made = batch_of("CNNWithGAP", batch, phase.tiny)
        images, labels = (torch.tensor(a).cuda() for a in made)
        images = images.contiguous(memory_format=order)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
        fast = torch.compile(model, mode=mode)

        def step(fast: Any = fast, optimizer: Any = optimizer, x: Any = images,
                 y: Any = labels) -> None:  # fmt: skip
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(fast(x), y).backward()
            optimizer.step()

        for _ in range(4):
            step()
        rows = interleaved({mode: step}, {mode: torch.cuda.synchronize}, 1 if phase.tiny else 20, 5)
        found[f"torch compile {mode}"] = rows[mode]["median_ms"]
    return found


# -- where the time goes ---------------------------------------------------------------------------


def calls(phase: Phase) -> dict[str, Any]:
    """Microseconds of the host for one call of each kind, on arrays too small to count."""
    xp, made = backend().xp, backend()
    a = xp.ones((64, 64), np.float32)
    x = lucidlite.ones(64, 64, device="cuda")
    kinds = {
        "empty": lambda: xp.empty((64, 64), np.float32),
        "ufunc": lambda: xp.add(a, a),
        "ufunc with out": lambda: xp.add(a, a, out=a),
        "transpose": lambda: a.T,
        "astype": lambda: a.astype(np.float16),
        "sum": lambda: a.sum(),
        "matmul": lambda: xp.matmul(a, a),
        "our kernel": lambda: made.relu(a),
        "x + x": lambda: x + x,
        "x.relu()": lambda: x.relu(),
        "x @ x": lambda: x @ x,
    }
    repeats = 2 if phase.tiny else 2000
    with lucidlite.no_grad():
        figures = {k: best(f, repeats, 3)["host_ms"] * 1e3 for k, f in kinds.items()}
    return {f"{name} us": float(f"{value:.4g}") for name, value in figures.items()}


def operations(phase: Phase, batch: int) -> dict[str, Any]:
    """GPU milliseconds of each operation of CNNWithGAP, forward and backward, and the ceilings."""
    batch, side = (1, 8) if phase.tiny else (batch, 32)
    repeats = 1 if phase.tiny else 30
    peaks = phase.facts.get("ceilings", {})
    rows: dict[str, Any] = {}

    def note(title: str, forward: Callable[..., Any], tensors: list[Any], flops: float) -> None:
        with lucidlite.no_grad():
            ahead = best(lambda: forward(*tensors), repeats, 3)["gpu_ms"]
            out = forward(*tensors)
        for t in tensors:
            t.requires_grad_(t.is_floating_point())
        seed = lucidlite.ones_like(out)

        def both() -> None:
            forward(*tensors).backward(seed)
            for t in tensors:
                t.grad = None

        whole = best(both, repeats, 3)["gpu_ms"]
        moved = sum(t.numel() * t.element_size() for t in (*tensors, out))
        rows[title] = {"forward_ms": ahead, "both_ms": whole}
        if flops and peaks.get("tf32_tflops"):
            rows[title]["share_of_tf32"] = flops / ahead / 1e9 / peaks["tf32_tflops"]
        if peaks.get("copy_gb_per_s"):
            rows[title]["share_of_copy"] = moved / ahead / 1e6 / peaks["copy_gb_per_s"]

    def image(channels: int, size: int) -> Any:
        with lucidlite.no_grad():  # in the layout that convolutions leave
            x = lucidlite.rand(batch, channels, size, size).to("cuda")
            return F.conv2d(x, lucidlite.eye(channels).reshape(channels, channels, 1, 1).to("cuda"))

    with tf32(True):
        for c_in, c_out, down in ((3, 64, 1), (64, 128, 2), (128, 256, 4))[
            : 1 if phase.tiny else 3
        ]:
            size = side // down
            weight = lucidlite.rand(c_out, c_in, 3, 3).to("cuda")
            bias = lucidlite.rand(c_out).to("cuda")
            flops = 2.0 * batch * size * size * c_out * c_in * 9
            note(f"conv {c_in}-{c_out}", lambda x, w, b: F.conv2d(x, w, b, padding=1),
                 [image(c_in, size), weight, bias], flops)  # fmt: skip
            note(f"relu {c_out}", F.relu, [image(c_out, size)], 0)
            note(f"max_pool {c_out}", lambda x: F.max_pool2d(x, 2), [image(c_out, size)], 0)
        note("average", lambda x: F.adaptive_avg_pool2d(x, 1), [image(256, side // 8)], 0)
        labels = (lucidlite.arange(batch) % 10).to("cuda")
        note("cross_entropy", lambda x: F.cross_entropy(x, labels),
             [lucidlite.rand(batch, 10).to("cuda")], 0)  # fmt: skip
    step, model, *_, optimizer = training("CNNWithGAP", batch, phase.tiny)
    step()
    rows["SGD"] = {"forward_ms": best(optimizer.step, repeats, 3)["gpu_ms"]}
    del model
    return {**{f"{k} ms": v["forward_ms"] for k, v in rows.items()}, "rows": rows}


def memory(phase: Phase, batch: int) -> dict[str, Any]:
    """The peak of a few steps, in MiB, beside PyTorch's."""
    batch = 2 if phase.tiny else batch
    lucidlite.cuda.empty_cache()
    step = training("CNNWithGAP", batch, phase.tiny)[0]
    step()
    lucidlite.cuda.reset_peak_memory_stats()
    for _ in range(3):
        step()
    synchronize()
    figures = {"lucidlite_mib": lucidlite.cuda.max_memory_allocated() / 2**20}
    with contextlib.suppress(LeftOut):
        torch = torch_with_cuda()
        run = torch_step(phase, torch, "CNNWithGAP", batch, torch.channels_last)
        run()
        torch.cuda.reset_peak_memory_stats()
        for _ in range(3):
            run()
        torch.cuda.synchronize()
        figures["torch_mib"] = torch.cuda.max_memory_allocated() / 2**20
        figures["ratio"] = figures["lucidlite_mib"] / figures["torch_mib"]
        figures["goal_at_most"] = MEMORY_GOAL
    return figures


def launches(phase: Phase) -> dict[str, Any]:
    """Kernels and copies that one step of CNNWithGAP starts: counted by the stand-in, or by CUPTI.

    CUPTI sees every kernel of this process; it comes with PyTorch.
    """
    size = 2 if phase.tiny else 128
    step = training("CNNWithGAP", size, phase.tiny)[0]
    for _ in range(3):
        step()
    synchronize()
    if stand_in():
        counts = cupy().counts
        before = dict(counts)
        step()
        return {name: counts[name] - before.get(name, 0) for name in counts}
    torch = torch_with_cuda()
    run = torch_step(phase, torch, "CNNWithGAP", size, torch.channels_last)
    for _ in range(3):
        run()
    figures: dict[str, Any] = {}
    for label, turn in (("lucidlite", step), ("torch", run)):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
            turn()
            synchronize()
            torch.cuda.synchronize()
        names = [e.name for e in seen.events() if str(e.device_type).endswith("CUDA")]
        figures[label] = len(names)
        figures[f"{label}_names"] = names
    return figures
