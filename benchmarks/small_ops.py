"""What one operation on a tiny tensor costs: lucidlite beside PyTorch.

    python benchmarks/small_ops.py [--only mul relu] [--json]

On 4 floats and on 8 x 8, nearly all of the time is the framework's own. 64 operations make a chain,
each on the result of the one before. Times are for one operation: without the tape (nothing
requires a gradient), recorded on the tape, and recorded and then walked backward.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from side_by_side import EAGER, OURS, arguments, compare, finish, measure, show_brief, start, torch

import lucidlite

CHAIN = 64
SLOT = 0.03
SHAPES = {"4": (4,), "8x8": (8, 8)}
PLAIN, TAPED, BACKWARD = "without the tape", "forward, taped", "forward and backward"
MODES = (PLAIN, TAPED, BACKWARD)
GOAL = 0.8  # of PyTorch's time over ours, for an operation forward and backward

# Each takes the library, the result so far and a second operand.
OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda _, y, w: y + w,
    "sub": lambda _, y, w: y - w,
    "mul": lambda _, y, w: y * w,
    "div": lambda _, y, w: y / w,
    "mul by a number": lambda _, y, w: y * 1.001,  # noqa: ARG005
    "relu": lambda library, y, w: library.relu(y),  # noqa: ARG005
    "tanh": lambda library, y, w: library.tanh(y),  # noqa: ARG005
    "matmul": lambda _, y, w: y @ w,
    "sum": lambda _, y, w: y.sum(0, keepdim=True),  # noqa: ARG005
    "view": lambda _, y, w: y.view(-1),  # noqa: ARG005
}


def chain(library: Any, operation: str, shape: tuple[int, ...], mode: str) -> Callable[[], Any]:
    """A function that runs ``CHAIN`` operations, and with ``BACKWARD`` their reverse."""
    run = OPERATIONS[operation]
    # Near 1, so that products neither overflow nor die away.
    values = np.linspace(0.99, 1.01, math.prod(shape), dtype=np.float32).reshape(shape)
    x = library.tensor(values).requires_grad_(mode != PLAIN)
    if operation == "matmul":
        values = np.eye(*shape, dtype=np.float32)
    w = library.tensor(values).requires_grad_(mode != PLAIN)

    def forward() -> Any:
        y = x
        for _ in range(CHAIN):
            y = run(library, y, w)
        return y

    if mode != BACKWARD:
        return forward
    upstream = library.ones_like(forward().detach())

    def both() -> Any:
        x.grad = w.grad = None
        y = forward()
        y.backward(upstream)
        return y

    return both


def check(title: str, runs: dict[str, Callable[[], Any]]) -> None:
    """Stop unless both compute the same thing."""
    ours, theirs = (runs[name]().detach().numpy() for name in (OURS, EAGER))
    if not np.allclose(ours, theirs, rtol=1e-4):
        raise SystemExit(f"{title}: the contenders disagree")


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=10)
    parser.add_argument(
        "--only", nargs="+", default=list(OPERATIONS), metavar="OPERATION",
        choices=list(OPERATIONS), help=f"some of {', '.join(OPERATIONS)}",
    )  # fmt: skip
    args = parser.parse_args(argv)
    start(args)
    results = []
    for mode in MODES:
        print(f"{mode}: medians / ratio (ratio of minima)")
        for size, shape in SHAPES.items():
            for operation in args.only:
                if operation == "matmul" and len(shape) == 1:
                    continue
                runs = {
                    OURS: chain(lucidlite, operation, shape, mode),
                    EAGER: chain(torch, operation, shape, mode),
                }
                title = f"{operation} of {size} floats, {mode}"
                check(title, runs)
                times = measure(runs, args.rounds, args.repeats, SLOT, inside=CHAIN)
                goals = {EAGER: GOAL} if mode == BACKWARD else None
                labels = {"name": operation, "floats": size, "mode": mode}
                results.append(compare(times, goals, **labels))
                show_brief(f"{operation} of {size} floats", results[-1])
    print("geometric means of the ratios:")
    for mode in MODES:
        ratios = [r["contenders"][EAGER]["ratio"] for r in results if r["mode"] == mode]
        print(f"  {mode:30} {statistics.geometric_mean(ratios):.2f}")
    finish("small_ops", args, results)


if __name__ == "__main__":
    main()
