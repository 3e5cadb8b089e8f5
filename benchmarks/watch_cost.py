"""What ``lucidlite.watch`` costs: a training step unwatched, between looks, and looked at in full.

    python benchmarks/watch_cost.py [--cases CNNWithGAP:64 MLP:32] [--json]

A watch looks at the first 20 steps and then at one of 50 (``every``). All three ways run on the
same model and data in one process, right after each other in every round, in an order that turns
round; the cost of a way is the median over the rounds of its quotient with the unwatched step,
less 1. What a training pays is the cost between, and a fiftieth of that of a look.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from line_tracking import CASES, MODELS, case, cost, measure, training_step
from side_by_side import OURS, arguments, compare, finish, show, start

import lucidlite
from lucidlite.watching.run import FIRST

UNWATCHED, BETWEEN, LOOKED_AT = OURS, "between", "looked at"
SELDOM = 10**9  # steps: never again, once the first ones are over


@contextlib.contextmanager
def looked_at(model: Any) -> Iterator[None]:
    """Inside, each step is looked at in full. A finding stops the benchmark: there is none."""
    with lucidlite.watch(model, every=1, log=refuse):
        yield


@contextlib.contextmanager
def between(model: Any, step: Callable[[], Any]) -> Iterator[None]:
    """Inside, the model is watched, and no step is looked at any more."""
    with lucidlite.watch(model, every=SELDOM, log=refuse):
        for _ in range(FIRST):
            step()
        yield


def refuse(warning: Warning) -> None:
    raise SystemExit(f"the step that is measured has a mistake in it: {warning}")


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=40)
    parser.add_argument(
        "--cases", type=case, nargs="+", default=CASES, metavar="MODEL:BATCH",
        help=f"models of {', '.join(MODELS)}",
    )  # fmt: skip
    args = parser.parse_args(argv)
    start(args)
    results = []
    for name, batch in args.cases:
        model = MODELS[name][0]()
        step = training_step(name, batch, model)
        ways = {
            UNWATCHED: contextlib.nullcontext,
            BETWEEN: lambda model=model, step=step: between(model, step),
            LOOKED_AT: lambda model=model: looked_at(model),
        }
        times = measure(step, ways, args.rounds, args.repeats)
        costs = {way: cost(times, way, UNWATCHED) for way in (BETWEEN, LOOKED_AT)}
        row = compare(times, model=name, batch=batch, cost=costs)
        results.append(row)
        show(f"a training step of {name}, batch {batch}", row)
        for way, (low, middle, high) in costs.items():
            print(f"  {way}: {middle:+.1%} (quartiles {low:+.1%} .. {high:+.1%})", flush=True)
    finish("watch_cost", args, results)


if __name__ == "__main__":
    main()
