"""Every benchmark, one after another, then the report: what `make bench` runs.

    python benchmarks/run_all.py [--only train_step layers] [--data data] [--publish]

Results go to runs/benchmarks, with a picture; --publish puts them into benchmarks/results and the
README instead. Leave the machine alone meanwhile: rounds that others disturb are repeated, and
after a while counted all the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import report
from records import HERE, RESULTS

SCRIPTS = (
    "train_step", "inference", "layers", "small_ops", "import_time", "profile_step",
    "line_tracking", "watch_cost", "memory", "peers", "time_to_accuracy",
)  # fmt: skip
FOLDER = HERE.parent / "runs" / "benchmarks"


def command(name: str, args: argparse.Namespace, folder: Path) -> list[str]:
    """How to run a benchmark with the options that hold for all."""
    words = [sys.executable, str(HERE / f"{name}.py"), "--json", str(folder)]
    if args.threads:
        words += ["--threads", str(args.threads)]
    if name == "time_to_accuracy":
        return [*words, "--data", str(args.data), "--seeds", str(args.seeds)]
    return [*words, "--rounds", str(args.rounds)] if args.rounds else words


def have_digits(folder: Path) -> bool:
    """Whether MNIST's files are there, in one of the places where they are looked for."""
    names = ("train-images-idx3-ubyte*", "MNIST/raw/train-images-idx3-ubyte*")
    return any(any(folder.glob(name)) for name in names)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    there = [name for name in SCRIPTS if (HERE / f"{name}.py").exists()]
    add("--only", nargs="+", choices=there, default=there, metavar="NAME",
        help=f"some of {', '.join(there)}")  # fmt: skip
    add("--rounds", type=int, help="turns of every contender (each benchmark's own number)")
    add("--threads", type=int, help="threads of lucidlite and of PyTorch (each its own choice)")
    add("--data", type=Path, default=Path("data"), help="MNIST's folder (data)")
    add("--seeds", type=int, default=2, help="races to 99%% on MNIST (2)")
    add("--publish", action="store_true", help="write benchmarks/results and the README")
    args = parser.parse_args(argv)
    folder = RESULTS if args.publish else FOLDER
    failed = []
    for name in args.only:
        if name == "time_to_accuracy" and not have_digits(args.data):
            print(f"== {name} is left out: no MNIST in {args.data}, say --data FOLDER")
            continue
        begun = time.perf_counter()
        print(f"== {name}", flush=True)
        if subprocess.run(command(name, args, folder)).returncode:
            failed.append(name)
        print(f"== {name} took {time.perf_counter() - begun:.0f} s\n", flush=True)
    report.main([str(folder), *["--write"] * args.publish])
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
