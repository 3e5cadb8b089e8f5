"""Where a training step of CNNWithGAP goes, kernel by kernel, and the least it could take.

    python benchmarks/profile_step.py [--batch 64] [--json]

The backend's kernels are wrapped with timers; what is left of a phase is Python: the tape, the
engine, layers and the optimizer's loop. A row names the kernel and the shape of its first array (in
the backward pass that is the incoming gradient). Kernels that kernels call count to the outermost.

The floor is arithmetic, at rates measured in the same run on the same threads:

- products: of the convolutions with 8 or more channels by Winograd's F(4x4, 3x3), which takes 36
  multiplications for 16 outputs instead of 144, forward and for both gradients; of the first by an
  ordinary product, forward and for the weights' gradient;
- transforms: numbers that Winograd's transforms make, at a rate of products with a 6 x 6 matrix;
- passes: over the activations, for ReLU 1 forward and 2 backward, for pooling 1.5 and 2.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from side_by_side import OURS, arguments, choose, finish, start, watch
from train_step import SGD
from twins import Side, sides

from lucidlite.backends import get_backend
from lucidlite.threads import get_num_threads, parallel, take_blas

PHASES = ("zero_grad", "forward", "loss", "backward", "optimizer")
PYTHON = "(Python)"
PLAIN = "(a step without timers)"
GROUP = 3  # steps in a round

# (channels in, channels out, side of the image) of CNNWithGAP's convolutions.
CONVOLUTIONS = ((3, 64, 32), (64, 128, 16), (128, 256, 8))
PASSES = 1 + 2 + 1.5 + 2


class Timers:
    """Milliseconds by (phase, kernel), gathered while the backend's kernels are wrapped."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.phase = ""
        self.inside = False
        self.thread = threading.get_ident()

    def timed(self, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            # Workers of a kernel call others: their time is in the outermost's already.
            if self.inside or threading.get_ident() != self.thread:
                return kernel(*args, **kwargs)
            self.inside = True
            start = time.perf_counter()
            try:
                return kernel(*args, **kwargs)
            finally:
                self.add(label(name, args), time.perf_counter() - start)
                self.inside = False

        return run

    def add(self, what: str, seconds: float) -> None:
        key = f"{self.phase}: {what}"
        self.spent[key] = self.spent.get(key, 0.0) + seconds * 1e3

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Time of the block that no kernel took counts as Python's."""
        self.phase, before, start = phase, sum(self.spent.values()), time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self.add(PYTHON, seconds - (sum(self.spent.values()) - before) / 1e3)


def label(name: str, args: tuple[Any, ...]) -> str:
    """'map multiply (64, 10)': the kernel, a function it was asked for by name, a shape."""
    asked = f" {args[0]}" if args and isinstance(args[0], str) else ""
    shapes = [arg.shape for arg in args if isinstance(arg, np.ndarray)]
    return f"{name}{asked}" + (f" {shapes[0]}" if shapes else "")


@contextmanager
def wrapped(backend: Any, timers: Timers) -> Iterator[None]:
    """Every public method of the backend takes its own time."""
    names = [
        name
        for name in dir(type(backend))
        if not name.startswith("_") and callable(getattr(type(backend), name))
        and not isinstance(getattr(type(backend), name), type)
    ]  # fmt: skip
    for name in names:
        setattr(backend, name, timers.timed(name, getattr(backend, name)))
    try:
        yield
    finally:
        for name in names:
            delattr(backend, name)


def profiled_step(side: Side, timers: Timers) -> Callable[[], None]:
    """A training step whose phases tell the timers of themselves."""
    library, model, images, labels = side
    optimizer = library.optim.SGD(model.parameters(), **SGD)

    def step() -> None:
        with timers.during("zero_grad"):
            optimizer.zero_grad()
        with timers.during("forward"):
            logits = model(images)
        with timers.during("loss"):
            loss = library.nn.functional.cross_entropy(logits, labels)
        with timers.during("backward"):
            loss.backward()
        with timers.during("optimizer"):
            optimizer.step()

    return step


def one_round(step: Callable[[], None], timers: Timers) -> dict[str, float]:
    """Medians over a few steps with timers, and the median step without."""
    backend = get_backend("cpu")
    plain = []
    for _ in range(GROUP):
        start = time.perf_counter()
        step()
        plain.append((time.perf_counter() - start) * 1e3)
    steps: list[dict[str, float]] = []
    with wrapped(backend, timers):
        for _ in range(GROUP):
            timers.spent = {}
            step()
            steps.append(timers.spent)
    middle = {key: statistics.median(s.get(key, 0.0) for s in steps) for key in steps[0]}
    return {**middle, PLAIN: statistics.median(plain)}


def profile(batch: int, rounds: int) -> dict[str, Any]:
    """Milliseconds by phase and kernel: medians over the rounds that nobody disturbed."""
    timers = Timers()
    step = profiled_step(sides("CNNWithGAP", batch)[OURS], timers)
    step()
    found, quiet = [], []
    for times, clean in watch(lambda: one_round(step, timers), rounds):
        found.append(times)
        quiet.append(clean)
    chosen = choose(found, quiet, rounds)
    rows = {key: statistics.median(times) for key, times in chosen.samples.items()}
    plain = rows.pop(PLAIN)
    phases = {
        phase: {
            key.partition(": ")[2]: round(ms, 4)
            for key, ms in sorted(rows.items(), key=lambda item: -item[1])
            if key.startswith(f"{phase}: ")
        }
        for phase in PHASES
    }
    return {
        "step_ms": round(plain, 3),
        "step_with_timers_ms": round(sum(rows.values()), 3),
        "rounds": {"clean": chosen.clean, "run": chosen.rounds, "used": chosen.used},
        "phases": phases,
    }


def speed(work: Callable[[int], Any], amount: float, repeats: int) -> float:
    """``amount`` of work a thread over the seconds it takes, all threads together."""
    parts, best = range(get_num_threads()), math.inf
    for _ in range(repeats + 1):
        start = time.perf_counter()
        parallel(work, parts)
        best = min(best, time.perf_counter() - start)
    return amount * len(parts) / best


def floor(batch: int, repeats: int = 20) -> list[dict[str, Any]]:
    """The parts of the floor: an amount, the rate measured here, and the time that makes."""
    take_blas()
    threads = get_num_threads()
    multiplications, numbers, elements = 0.0, 0.0, 0.0
    for c_in, c_out, side in CONVOLUTIONS:
        elements += batch * c_out * side * side
        if c_in < 8:
            multiplications += 2 * 9 * batch * side * side * c_in * c_out
            continue
        tiles = batch * math.ceil(side / 4) ** 2
        multiplications += 3 * 36 * tiles * c_in * c_out
        # 6 x 6 from 6 x 6 in two steps (24 + 36 numbers), 4 x 4 from 6 x 6 (24 + 16), and back.
        numbers += tiles * (c_in + c_out) * (24 + 36 + 24 + 16)
    ones = [np.ones((9, 8, 122, 64), np.float32) for _ in range(threads)]
    weight, products = np.ones((9, 1, 64, 128), np.float32), [np.empty(0)] * threads
    products = [np.matmul(a, weight) for a in ones]
    gflops = speed(
        lambda i: np.matmul(ones[i], weight, out=products[i]), 2e-9 * products[0].size * 64, repeats
    )
    matrix = np.ones((6, 6), np.float32)
    tiles_in = [np.ones((32, 6, 2048), np.float32) for _ in range(threads)]
    made = [np.empty_like(a) for a in tiles_in]
    per_transform = speed(
        lambda i: np.matmul(matrix, tiles_in[i], out=made[i]), made[0].size, repeats
    )
    size = int(elements / len(CONVOLUTIONS) / threads)
    images = [np.ones(size, np.float32) for _ in range(threads)]
    outs = [np.empty_like(a) for a in images]
    per_pass = speed(lambda i: np.add(images[i], images[i], out=outs[i]), size, repeats)
    return [
        part("products", 2e-9 * multiplications, "GFLOP", gflops),
        part("transforms", 1e-6 * numbers, "million numbers", 1e-6 * per_transform),
        part("passes", 1e-6 * PASSES * elements, "million numbers", 1e-6 * per_pass),
    ]


def part(name: str, amount: float, unit: str, rate: float) -> dict[str, Any]:
    return {
        "part": name,
        "amount": round(amount, 3),
        "unit": unit,
        "a_second": float(f"{rate:.4g}"),
        "ms": round(1e3 * amount / rate, 3),
    }


def show_profile(found: dict[str, Any], parts: list[dict[str, Any]], least: float) -> None:
    """Print a profile; rows under ``least`` of the step are summed up."""
    rounds, total = found["rounds"], found["step_with_timers_ms"]
    print(f"  {rounds['clean']} clean of {rounds['run']} rounds, {rounds['used']} used")
    for phase, rows in found["phases"].items():
        print(f"  {phase:48} {sum(rows.values()):8.3f} ms {sum(rows.values()) / total:6.1%}")
        small = {name: ms for name, ms in rows.items() if ms < least * total and name != PYTHON}
        for name, ms in rows.items():
            if name not in small:
                print(f"    {name:46} {ms:8.3f} ms {ms / total:6.1%}")
        if small:
            rest = sum(small.values())
            print(f"    {f'{len(small)} smaller':46} {rest:8.3f} ms {rest / total:6.1%}")
    print(f"  {'all':48} {total:8.3f} ms; a step without timers {found['step_ms']:.3f} ms")
    print("  the floor by arithmetic:")
    for row in parts:
        print(
            f"    {row['part']:12} {row['amount']:9.3f} {row['unit']}"
            f" at {row['a_second']:g} a second: {row['ms']:.2f} ms"
        )
    least_ms = sum(row["ms"] for row in parts)
    print(f"    together     {least_ms:.1f} ms: the step takes {found['step_ms'] / least_ms:.2f}x")


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=10)
    parser.add_argument("--batch", type=int, default=64, help="images a batch (64)")
    parser.add_argument(
        "--least", type=float, default=0.005, help="share of the step that earns a line (0.005)"
    )
    args = parser.parse_args(argv)
    start(args)
    found = profile(args.batch, args.rounds)
    parts = floor(args.batch, args.repeats or 20)
    print(f"a training step of CNNWithGAP, batch {args.batch}, on {get_num_threads()} threads")
    show_profile(found, parts, args.least)
    found["floor"] = {"parts": parts, "ms": round(sum(row["ms"] for row in parts), 3)}
    finish("profile_step", args, [{"model": "CNNWithGAP", "batch": args.batch, **found}])


if __name__ == "__main__":
    main()
