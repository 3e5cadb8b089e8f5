"""Contenders that take turns in one process, and their ratios.

In each round every contender gets one turn: a short rest, in which threads that another library
left spinning go to sleep, one call untimed, then as many timed calls as fill a slot. A round counts
if other processes left the machine alone, as far as /proc/stat tells; where it tells nothing, or
too few rounds were quiet, all count, and the report says so.

PyTorch's turns have the C library's allocator as it comes, lucidlite's as lucidlite sets it (in
lucidlite/malloc.py): so each runs as it does in a program of its own. ``--one-allocator`` leaves
lucidlite's setting on for both, and PyTorch gains by it too.

Times hold for the machine they were taken on; what carries over is the ratio. It is PyTorch's time
over lucidlite's, by medians and by minima: above 1, lucidlite is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from records import CHANNELS_LAST, EAGER, OURS, RESULTS, time_text, write

import lucidlite
from lucidlite import malloc
from lucidlite.blas import blas
from lucidlite.threads import set_num_threads

try:
    import torch
except ImportError:
    raise SystemExit(
        "the benchmarks compare with PyTorch, which isn't installed: pip install 'lucidlite[bench]'"
    ) from None

ORDERS = {EAGER: torch.contiguous_format, CHANNELS_LAST: torch.channels_last}

SLOT = 0.1  # seconds that the timed calls of a turn last, about
REST = 0.01  # seconds; OpenMP's threads spin for some milliseconds after their work
LONG_REST = 0.1  # OpenBLAS's do for nearly as long as this
LONG = 0.2  # a call of so many seconds needs no untimed one before it
SHARE = 0.1  # of one core that others may take in a round that counts
GRAIN = 0.02  # seconds; /proc/stat counts in hundredths
OUTLAST = 3  # times the rounds asked for that are tried before disturbed ones count

Contenders = dict[str, Callable[[], Any]]
Goals = dict[str, float]


class Times(NamedTuple):
    """Milliseconds by contender, one for each round that counts."""

    samples: dict[str, list[float]]
    clean: int  # rounds that nobody disturbed
    rounds: int  # rounds that were run
    used: str  # "clean" or "all"


def _busy() -> float | None:
    """Seconds that all cores have worked, for anyone; None where the system doesn't tell."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Seconds that this process and its finished children have worked."""
    return sum(os.times()[:4])


def disturbance() -> Callable[[], float]:
    """A function that tells what share of a core other processes have had since now.

    0 where the system doesn't say.
    """
    start, busy, own = time.perf_counter(), _busy(), _own()

    def share() -> float:
        wall, now = time.perf_counter() - start, _busy()
        if now is None or busy is None:
            return 0.0
        others = (now - busy) - (_own() - own)
        return max(0.0, others - GRAIN) / wall

    return share


def watch(turn: Callable[[], Any], rounds: int) -> Iterator[tuple[Any, bool]]:
    """What each round gives, and whether it was clean; more rounds where some were not."""
    clean = 0
    for _ in range(OUTLAST * rounds):
        share = disturbance()
        outcome = turn()
        quiet = share() <= SHARE
        yield outcome, quiet
        clean += quiet
        if clean == rounds:
            return
        if not quiet:
            time.sleep(min(0.2, 0.02 * rounds))


def duration(run: Callable[[], Any], calls: int = 3) -> float:
    """Seconds a call takes, about: the quickest of a few, after one that warms up."""
    run()
    best = math.inf
    for _ in range(calls):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        if best > LONG:
            break
    return max(best, 1e-7)


@contextlib.contextmanager
def usual_allocator() -> Iterator[None]:
    """glibc's settings as they are in a program that never changed them.

    It raises its threshold for blocks of their own by itself, up to 32 MiB; that ends with the
    first change from outside, so what it comes to is set here.
    """
    ours = malloc.bound()
    try:
        set_allocator(1 << 26, 1 << 17, 1 << 25)
        yield
    finally:
        set_allocator(ours, malloc.TOP_PAD, ours)


def set_allocator(trim: int, top_pad: int, mmap: int) -> None:
    library = ctypes.CDLL(None)
    for number, value in ((-1, trim), (-2, top_pad), (-3, mmap)):
        library.mallopt(number, value)


one_allocator = False


def context_of(name: str) -> Callable[[], Any]:
    """What a contender's turn is wrapped in."""
    theirs = name in ORDERS and not one_allocator
    changed = malloc.keep_freed_memory().startswith("keeps")
    return usual_allocator if theirs and changed else contextlib.nullcontext


def sample(run: Callable[[], Any], calls: int, slow: bool, rest: float) -> float:
    """Milliseconds a call."""
    time.sleep(rest)
    if not slow:
        run()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls * 1e3


def choose(rounds: list[dict[str, float]], quiet: list[bool], wanted: int) -> Times:
    """The clean rounds if they are enough, else all."""
    clean = [times for times, still in zip(rounds, quiet, strict=True) if still]
    enough = len(clean) >= min(wanted, max(3, wanted // 4))
    used = clean if enough else rounds
    samples = {name: [times[name] for times in used] for name in rounds[0]}
    return Times(samples, len(clean), len(rounds), "clean" if enough else "all")


def measure(
    contenders: Contenders,
    rounds: int,
    repeats: int = 0,
    slot: float = SLOT,
    inside: int = 1,
    around: dict[str, Callable[[], Any]] | None = None,
) -> Times:
    """Milliseconds of every contender, one sample a round.

    ``repeats`` fixes the timed calls of a turn (0: as many as fill ``slot`` seconds); times are
    divided by ``inside``, the operations in one call. ``around`` has the context a contender needs,
    which is entered before its turn.
    """
    context = around or {}
    enter = {name: context.get(name) or context_of(name) for name in contenders}
    calls, slow = {}, {}
    for name, run in contenders.items():
        with enter[name]():
            seconds = duration(run, 1 if repeats else 3)
        calls[name] = repeats or max(1, round(slot / seconds))
        slow[name] = seconds > LONG
    names = list(contenders)

    def turn() -> dict[str, float]:
        times = dict.fromkeys(names, 0.0)
        rest = LONG_REST if context or blas.threads() > 1 else REST
        for name in [*names]:
            with enter[name]():
                times[name] = sample(contenders[name], calls[name], slow[name], rest) / inside
        names.append(names.pop(0))  # another is first next time
        return times

    found, quiet = zip(*watch(turn, rounds), strict=True)
    return choose(list(found), list(quiet), rounds)


def summary(samples: list[float]) -> dict[str, float]:
    """Median, minimum and quartiles of some times."""
    low, high = samples[0], samples[0]
    if len(samples) > 1:
        low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    figures = {
        "median_ms": statistics.median(samples),
        "min_ms": min(samples),
        "low_quartile_ms": low,
        "high_quartile_ms": high,
    }
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def compare(times: Times, goals: Goals | None = None, **labels: Any) -> dict[str, Any]:
    """One row of a result: every contender's figures, and the ratios to lucidlite's."""
    rows: dict[str, Any] = {name: summary(t) for name, t in times.samples.items()}
    for name, row in rows.items():
        if name != OURS and OURS in rows:
            row["ratio"] = round(row["median_ms"] / rows[OURS]["median_ms"], 3)
            row["ratio_of_minima"] = round(row["min_ms"] / rows[OURS]["min_ms"], 3)
            if goals and name in goals:
                row["goal"] = goals[name]
    rounds = {"clean": times.clean, "run": times.rounds, "used": times.used}
    return {**labels, "rounds": rounds, "contenders": rows}


def ratio_text(figures: dict[str, float]) -> str:
    """'2.26 (2.14)  goal 2.5: missed'; empty for lucidlite itself."""
    if "ratio" not in figures:
        return ""
    text = f"{figures['ratio']:.2f} ({figures['ratio_of_minima']:.2f})"
    if "goal" in figures:
        met = "met" if figures["ratio"] >= figures["goal"] else "missed"
        text += f"  goal {figures['goal']:g}: {met}"
    return text


def show(title: str, row: dict[str, Any]) -> None:
    """Print one row of a result, a line for each contender."""
    rounds = row["rounds"]
    note = f"{rounds['clean']} clean of {rounds['run']} rounds"
    if rounds["used"] == "all":
        note += ", too few: all used"
    print(f"{title}   [{note}]")
    for name, figures in row["contenders"].items():
        texts = [
            time_text(figures[f"{which}_ms"])
            for which in ("median", "min", "low_quartile", "high_quartile")
        ]
        line = "  {:26} median {:>8}  min {:>8}  quartiles {:>8} .. {:>8}".format(name, *texts)
        if ratio := ratio_text(figures):
            line += f"  / {OURS}'s: {ratio}"
        print(line, flush=True)


def show_brief(title: str, row: dict[str, Any]) -> None:
    """Print one row of a result in a line: medians, and ratios to lucidlite's."""
    texts = []
    for name, figures in row["contenders"].items():
        ratio = ratio_text(figures)
        texts.append(f"{name} {time_text(figures['median_ms']):>8}" + (f" / {ratio}" * bool(ratio)))
    doubtful = "" if row["rounds"]["used"] == "clean" else "  [few clean rounds]"
    print(f"  {title:36}" + "   ".join(texts) + doubtful, flush=True)


def arguments(description: str, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, epilog="Ratios are by medians, those by minima in brackets."
    )
    parser.add_argument(
        "--rounds", type=int, default=rounds, help=f"turns of every contender ({rounds})"
    )
    parser.add_argument(
        "--repeats", type=int, default=0, help="timed calls in a turn (as many as last a while)"
    )
    parser.add_argument(
        "--threads", type=int, help="threads of lucidlite and of PyTorch (each its own choice)"
    )
    parser.add_argument(
        "--json", type=Path, nargs="?", const=RESULTS, metavar="FOLDER",
        help="also write <FOLDER>/*.json (benchmarks/results)",
    )  # fmt: skip
    parser.add_argument(
        "--one-allocator", action="store_true",
        help="lucidlite's setting of the C library's allocator for PyTorch too",
    )  # fmt: skip
    return parser


def start(args: argparse.Namespace) -> None:
    """What every benchmark does first."""
    global one_allocator
    one_allocator = args.one_allocator
    if args.threads:
        set_num_threads(args.threads)
        blas.take()  # with one thread too, NumPy's products are to run on one
        torch.set_num_threads(args.threads)
    lucidlite.manual_seed(0)
    torch.manual_seed(0)


def finish(benchmark: str, args: argparse.Namespace, results: Any) -> None:
    """What every benchmark does last."""
    if args.json is not None:
        settings = {name: value for name, value in vars(args).items() if name != "json"}
        print(f"written to {write(args.json, benchmark, settings, results)}")
