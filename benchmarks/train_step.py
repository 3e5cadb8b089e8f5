"""One training step of CNNWithGAP on the CPU: lucidlite beside PyTorch, as a ratio.

    python benchmarks/train_step.py [--batch 64] [--rounds 10] [--json]

The contenders share the process, the weights, the images and the optimizer (SGD). They take turns:
in each round every one makes an untimed step and then a few timed ones, so that a machine which
slows down slows down for all. Printed are medians, minima, and PyTorch's time over lucidlite's:
above 1, lucidlite is faster. PyTorch runs eagerly, once as it comes and once in channels_last.
Figures hold for the machine they were taken on; other work on it disturbs them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lucidlite

RESULTS = Path(__file__).parent / "results"
OURS = "lucidlite"


class TorchCNNWithGAP(torch.nn.Module):
    """lucidlite.models.CNNWithGAP, layer by layer."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        nn = torch.nn
        layers: list[torch.nn.Module] = []
        for c_in, c_out in ((3, 64), (64, 128), (128, 256)):
            layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(256, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(1))


def training_step(library: Any, model: Any, images: Any, labels: Any) -> Callable[[], float]:
    """A function that makes one whole training step and returns the loss."""
    optimizer = library.optim.SGD(model.parameters(), lr=0.01)

    def step() -> float:
        optimizer.zero_grad()
        loss = library.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def contenders(batch: int) -> dict[str, Callable[[], float]]:
    """The steps by name, all from the same weights and images."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, 3, 32, 32), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    ours = lucidlite.models.CNNWithGAP()
    weights = {name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()}
    steps = {
        OURS: training_step(
            lucidlite, ours, lucidlite.from_numpy(images), lucidlite.from_numpy(labels)
        )
    }
    for name, order in (
        ("torch eager", torch.contiguous_format),
        ("torch channels_last", torch.channels_last),
    ):
        model = TorchCNNWithGAP()
        model.load_state_dict(weights)
        model = model.to(memory_format=order)
        x = torch.tensor(images).contiguous(memory_format=order)
        steps[name] = training_step(torch, model, x, torch.tensor(labels))
    return steps


def check_losses(steps: dict[str, Callable[[], float]]) -> None:
    """Stop unless the first steps compute the same thing."""
    for _ in range(2):
        losses = {name: step() for name, step in steps.items()}
        if not np.allclose(list(losses.values()), losses[OURS], rtol=1e-3):
            raise SystemExit(f"the contenders disagree about the loss: {losses}")


def measure(
    steps: dict[str, Callable[[], float]], rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Milliseconds of each timed step; the order of the contenders turns from round to round."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            steps[name]()
            for _ in range(repeats):
                start = time.perf_counter()
                steps[name]()
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def machine() -> dict[str, Any]:
    """What the figures depend on, besides the code."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    return {
        "platform": platform.platform(),
        "cpus": len(cpus),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "lucidlite": lucidlite.__version__,
        "torch_threads": torch.get_num_threads(),
        "environment": {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64, help="images a step (64)")
    parser.add_argument("--rounds", type=int, default=10, help="turns of every contender (10)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps in a turn (3)")
    parser.add_argument("--threads", type=int, help="PyTorch's threads (its own choice)")
    parser.add_argument(
        "--json", action="store_true", help="also write benchmarks/results/train_step.json"
    )
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    steps = contenders(args.batch)
    check_losses(steps)
    times = measure(steps, args.rounds, args.repeats)
    report = {
        name: {"median_ms": statistics.median(t), "min_ms": min(t)} for name, t in times.items()
    }
    print(f"one training step of CNNWithGAP, batch {args.batch}")
    for name, row in report.items():
        for figure in ("median", "min"):
            row[f"{figure}_ratio"] = row[f"{figure}_ms"] / report[OURS][f"{figure}_ms"]
        print(
            f"{name:20} median {row['median_ms']:8.2f} ms, {row['median_ratio']:.2f} of lucidlite's"
            f"   min {row['min_ms']:8.2f} ms, {row['min_ratio']:.2f} of lucidlite's"
        )
    if args.json:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / "train_step.json"
        settings = {"batch": args.batch, "rounds": args.rounds, "repeats": args.repeats}
        content = {"settings": settings, "machine": machine(), "steps": report, "times_ms": times}
        path.write_text(json.dumps(content, indent=2) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
