"""What it costs that every error knows the user's line and layer: a training step with and without.

    python benchmarks/line_tracking.py [--cases CNNWithGAP:64 MLP:32] [--json]

Each recorded op keeps where the user called it and the modules it was called in; a Module's call
notes that it is entered and left. Without, these are functions that do nothing. Both steps run on
the same model and data in one process, right after each other in every round, now one first, now
the other; the cost is the median over the rounds of their quotient, less 1.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from side_by_side import (
    OURS,
    Times,
    arguments,
    choose,
    compare,
    duration,
    finish,
    sample,
    show,
    start,
    watch,
)

import lucidlite
from lucidlite import nn, tape
from lucidlite.models import CNNWithGAP
from lucidlite.nn import module

UNTRACKED = "without tracking"
GOAL = 0.03  # of a step without tracking, at most
SLOT = 0.04
CASES = [("CNNWithGAP", 64), ("CNNWithGAP", 8), ("CNNWithGAP", 1), ("MLP", 64), ("MLP", 8)]

# Where the engine room looks these functions up, and what stands in for them.
TRACKING: dict[tuple[Any, str], Callable[..., None]] = {
    (tape, "user_place"): lambda skip=1: None,  # noqa: ARG005
    (tape, "module_stack"): lambda: None,
    (module, "push_module"): lambda entered: None,  # noqa: ARG005
    (module, "pop_module"): lambda token: None,  # noqa: ARG005
}


class MLP(nn.Module):
    """Two hidden layers on 64 features: a step is short, so what comes with every op shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    def forward(self, x: Any) -> Any:
        return self.layers(x)


MODELS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "CNNWithGAP": (CNNWithGAP, (3, 32, 32)),
    "MLP": (MLP, (64,)),
}


def case(text: str) -> tuple[str, int]:
    """'MLP:8' as a model's name and a batch size."""
    name, _, batch = text.partition(":")
    if name not in MODELS or not batch.isdecimal() or not int(batch):
        raise argparse.ArgumentTypeError(f"expected MODEL:BATCH, got {text!r}")
    return name, int(batch)


def training_step(name: str, batch: int, model: Any = None) -> Callable[[], Any]:
    """A function that makes one training step and returns the loss."""
    make, shape = MODELS[name]
    model = model or make()
    optimizer = lucidlite.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    x, labels = lucidlite.randn(batch, *shape), lucidlite.randint(0, 10, (batch,))

    def step() -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


@contextlib.contextmanager
def untracked() -> Iterator[None]:
    """Inside, nobody notes lines and modules."""
    kept = {place: getattr(*place) for place in TRACKING}
    for (where, name), nothing in TRACKING.items():
        setattr(where, name, nothing)
    try:
        yield
    finally:
        for (where, name), function in kept.items():
            setattr(where, name, function)


def check(step: Callable[[], Any]) -> None:
    """Stop unless nodes know their line with tracking, and don't without."""
    found = step().grad_fn.site
    with untracked():
        missing = step().grad_fn.site
    if found is None or missing is not None:
        raise SystemExit(f"tracking can't be turned on and off: {found}, {missing}")


def measure(
    step: Callable[[], Any],
    ways: dict[str, Callable[[], AbstractContextManager[Any]]],
    rounds: int,
    repeats: int,
) -> Times:
    """Milliseconds of the step in each of the ways, right after each other in each round."""
    calls = repeats or max(1, round(SLOT / duration(step)))
    order = list(ways.items())

    def turn() -> dict[str, float]:
        times = {}
        for name, around in order:
            with around():
                times[name] = sample(step, calls, False, 0.0)
        order.reverse()
        return {name: times[name] for name in ways}

    found, quiet = zip(*watch(turn, rounds), strict=True)
    return choose(list(found), list(quiet), rounds)


def cost(times: Times, way: str, without: str) -> list[float]:
    """What a way adds, as a share of the step without: its quartiles over the rounds."""
    pairs = zip(times.samples[way], times.samples[without], strict=True)
    shares = [ours / bare - 1 for ours, bare in pairs]
    spread = statistics.quantiles(shares, n=4, method="inclusive") if shares[1:] else shares * 3
    return [round(share, 4) for share in spread]


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=100)
    parser.add_argument(
        "--cases", type=case, nargs="+", default=CASES, metavar="MODEL:BATCH",
        help=f"models of {', '.join(MODELS)}",
    )  # fmt: skip
    args = parser.parse_args(argv)
    start(args)
    results = []
    for name, batch in args.cases:
        step = training_step(name, batch)
        check(step)
        ways = {OURS: contextlib.nullcontext, UNTRACKED: untracked}
        times = measure(step, ways, args.rounds, args.repeats)
        low, middle, high = cost(times, OURS, UNTRACKED)
        labels = {"model": name, "batch": batch, "goal": GOAL}
        row = compare(times, **labels, cost=middle, cost_quartiles=[low, high])
        results.append(row)
        show(f"a training step of {name}, batch {batch}", row)
        met = "met" if middle <= GOAL else "missed"
        text = f"tracking adds {middle:+.1%} (quartiles {low:+.1%} .. {high:+.1%})"
        print(f"  {text}  goal {GOAL:.0%}: {met}", flush=True)
    finish("line_tracking", args, results)


if __name__ == "__main__":
    main()
