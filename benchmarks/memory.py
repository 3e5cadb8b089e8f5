"""How much memory training takes on the CPU, above that of the libraries and the model.

    python benchmarks/memory.py [--cases LeNet:64 ResNet8:128] [--json]

Each library trains in a process of its own. Its level is the resident memory with the model made
and one step done on a single image, so that all code is loaded. What counts is how far it rises
above that in a few steps (the peak; as many as --repeats says), and what stays between two steps.
The ratio is PyTorch's peak over lucidlite's: above 1, lucidlite needs less. Linux only: the figures
come from /proc.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from records import CHANNELS_LAST, EAGER, OURS

STATUS = Path("/proc/self/status")
# PyTorch's peak over lucidlite's, at least.
GOALS = {"CNNWithGAP": 1.0, "LeNet": 1.0, "ResNet8": 0.77}
CASES = [("CNNWithGAP", 64), ("CNNWithGAP", 256), ("LeNet", 64), ("LeNet", 256), ("ResNet8", 128)]


def resident(which: str) -> float:
    """MiB of this process: 'VmRSS' now, 'VmHWM' at its highest."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{which}:"))


def train(name: str, batch: int, side: str, steps: int, threads: int) -> dict[str, float]:
    """In the child: one side's figures, in MiB."""
    import lucidlite

    rng = np.random.default_rng(0)
    library: Any = lucidlite
    if side == OURS:
        model, order = getattr(lucidlite.models, name)(), None
    else:
        from twins import ORDERS, PAIRS, torch

        library, order = torch, ORDERS[side]
        model = PAIRS[name].torchs().to(memory_format=order)
    if threads:
        library.set_num_threads(threads)
    optimizer = library.optim.SGD(model.parameters(), lr=0.01)

    def run(size: int, times: int) -> None:
        shape = (size, 1, 28, 28) if name == "LeNet" else (size, 3, 32, 32)
        images = library.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        if order is not None:
            images = images.contiguous(memory_format=order)
        labels = library.from_numpy(rng.integers(0, 10, size))
        for _ in range(times):
            optimizer.zero_grad()
            loss = library.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            loss.item()
            del loss

    run(1, 1)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest is now
    level = resident("VmRSS")
    run(batch, steps)
    return {
        "level_mib": level,
        "peak_mib": resident("VmHWM") - level,
        "between_mib": resident("VmRSS") - level,
    }


def measure(name: str, batch: int, side: str, args: argparse.Namespace) -> dict[str, float]:
    """Medians over the processes."""
    words = [name, str(batch), side, str(args.repeats), str(args.threads or 0)]
    command = [sys.executable, __file__, "--child", *words]
    runs = []
    for _ in range(args.rounds):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        runs.append(json.loads(done.stdout))
    return {key: round(statistics.median([run[key] for run in runs]), 1) for key in runs[0]}


def main(argv: list[str] | None = None) -> None:
    # These bring PyTorch, which has no business in a child that measures lucidlite.
    from side_by_side import arguments, finish, start
    from twins import case

    parser = arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--cases", nargs="+", type=case, default=CASES, metavar="MODEL:BATCH")
    parser.set_defaults(repeats=6)
    args = parser.parse_args(argv)
    if not STATUS.exists():
        raise SystemExit("memory is read from /proc/self/status, which this system doesn't have")
    start(args)
    results = []
    for name, batch in args.cases:
        rows = {side: measure(name, batch, side, args) for side in (OURS, EAGER, CHANNELS_LAST)}
        print(f"a training step of {name}, batch {batch}")
        for side, row in rows.items():
            line = f"  {side:22} peak {row['peak_mib']:7.1f} MiB above {row['level_mib']:.0f}"
            line += f"   between steps {row['between_mib']:7.1f}"
            if side != OURS:
                row["ratio"] = round(row["peak_mib"] / rows[OURS]["peak_mib"], 3)
                line += f"   / {OURS}'s: {row['ratio']:.2f}"
            if side == EAGER:
                row["goal"] = GOALS[name]
                line += f"  goal {row['goal']:g}: "
                line += "met" if row["ratio"] >= row["goal"] else "missed"
            print(line, flush=True)
        results.append({"model": name, "batch": batch, "contenders": rows})
    finish("memory", args, results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        model_name, size, which, count, number = sys.argv[2:]
        print(json.dumps(train(model_name, int(size), which, int(count), int(number))))
    else:
        main()
