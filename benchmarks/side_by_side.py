"""What the benchmarks share: contenders that take turns in one process, and their ratios.

In each round every contender runs once untimed and then a few times timed, so that a machine which
slows down slows down for all. Figures hold for the machine they were taken on; other work on it
disturbs them, so medians, minima and ratios are printed, never lone times.
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

Contenders = dict[str, Callable[[], Any]]


def measure(contenders: Contenders, rounds: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each timed run; the order of the contenders turns from round to round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            contenders[name]()
            for _ in range(repeats):
                start = time.perf_counter()
                contenders[name]()
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def report(title: str, times: dict[str, list[float]], base: str = OURS) -> dict[str, Any]:
    """Print medians, minima and each contender's time over that of ``base``; return them."""
    print(title)
    rows: dict[str, Any] = {
        name: {"median_ms": statistics.median(t), "min_ms": min(t)} for name, t in times.items()
    }
    for name, row in rows.items():
        for figure in ("median", "min"):
            row[f"{figure}_ratio"] = row[f"{figure}_ms"] / rows[base][f"{figure}_ms"]
        print(
            f"  {name:24} median {row['median_ms']:8.3f} ms, {row['median_ratio']:.2f} of {base}'s"
            f"   min {row['min_ms']:8.3f} ms, {row['min_ratio']:.2f} of {base}'s"
        )
    return rows


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


def arguments(description: str, rounds: int, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--rounds", type=int, default=rounds, help=f"turns of every contender ({rounds})"
    )
    parser.add_argument(
        "--repeats", type=int, default=repeats, help=f"timed runs in a turn ({repeats})"
    )
    parser.add_argument("--threads", type=int, help="PyTorch's threads (its own choice)")
    parser.add_argument("--json", action="store_true", help="also write benchmarks/results/*.json")
    return parser


def write(name: str, settings: dict[str, Any], rows: dict[str, Any]) -> None:
    """Keep a report as benchmarks/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"settings": settings, "machine": machine(), "results": rows}
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written to {path}")
