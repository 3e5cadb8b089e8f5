"""Inference with CNNWithGAP, in eval mode under no_grad: lucidlite beside PyTorch.

    python benchmarks/inference.py [--cases CNNWithGAP:1 CNNWithGAP:64] [--json]

The contenders share the weights and the images. PyTorch runs eagerly, once as it comes and once
with weights and images in channels_last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from side_by_side import OURS, arguments, compare, finish, measure, show, start
from train_step import goals
from twins import Side, case, sides

# PyTorch's time over ours that we aim at: eager, channels_last.
GOALS = {
    ("CNNWithGAP", 1): (2.5, 1.5),
    ("CNNWithGAP", 64): (2.5, 1.5),
    ("CNNWithGAP", 256): (4.0, 2.5),
}


def inference(side: Side) -> Callable[[], Any]:
    """A function that returns the logits of the batch."""
    library, model, images = side.library, side.model.eval(), side.images

    def run() -> Any:
        with library.no_grad():
            return model(images)

    return run


def check_logits(runs: dict[str, Callable[[], Any]]) -> None:
    """Stop unless all compute the same thing."""
    logits = {name: run().numpy() for name, run in runs.items()}
    for name, found in logits.items():
        if not np.allclose(found, logits[OURS], rtol=1e-3, atol=1e-4):
            raise SystemExit(f"{name} and {OURS} disagree about the logits")


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=15)
    parser.add_argument(
        "--cases", type=case, nargs="+", default=list(GOALS), metavar="MODEL:BATCH",
        help="e.g. CNNWithGAP:64 LeNet:128 ResNet8:128 (all that have a goal)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    start(args)
    results = []
    for model, batch in args.cases:
        runs = {name: inference(side) for name, side in sides(model, batch).items()}
        check_logits(runs)
        times = measure(runs, args.rounds, args.repeats)
        wanted = goals(GOALS, (model, batch))
        results.append(compare(times, wanted, model=model, batch=batch))
        show(f"inference with {model}, batch {batch}", results[-1])
    finish("inference", args, results)


if __name__ == "__main__":
    main()
