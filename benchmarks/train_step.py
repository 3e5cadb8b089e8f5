"""One training step of small convolutional networks: lucidlite beside PyTorch.

    python benchmarks/train_step.py [--cases CNNWithGAP:64 LeNet:128] [--json]

A step is zero_grad, forward, cross_entropy, backward and an SGD step with momentum. The contenders
share the weights, the images and the labels. PyTorch runs eagerly, once as it comes and once with
weights and images in channels_last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from side_by_side import (
    CHANNELS_LAST,
    EAGER,
    OURS,
    arguments,
    compare,
    finish,
    measure,
    show,
    start,
)
from twins import Side, case, sides

# So small a rate that hundreds of steps on one batch don't bring the loss near 0, where products
# of denormal numbers would be timed.
SGD = {"lr": 1e-4, "momentum": 0.9}

# PyTorch's time over ours that we aim at: eager, channels_last.
GOALS = {
    ("CNNWithGAP", 1): (1.0, 0.9),
    ("CNNWithGAP", 8): (1.3, 1.05),
    ("CNNWithGAP", 64): (2.5, 1.9),
    ("CNNWithGAP", 256): (4.0, 3.0),
    ("LeNet", 64): (2.0, 1.4),
    ("LeNet", 128): (2.0, 1.4),
    ("ResNet8", 128): (1.5, 1.2),
}


def goals(table: dict[tuple[str, int], tuple[float, float]], key: tuple[str, int]) -> Any:
    """A row's goals by contender, or None."""
    return dict(zip((EAGER, CHANNELS_LAST), table[key], strict=True)) if key in table else None


def training_step(side: Side) -> Callable[[], Any]:
    """A function that makes one whole training step and returns the loss."""
    library, model, images, labels = side
    optimizer = library.optim.SGD(model.parameters(), **SGD)

    def step() -> Any:
        optimizer.zero_grad()
        loss = library.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def check_losses(steps: dict[str, Callable[[], Any]]) -> None:
    """Stop unless the first steps compute the same thing."""
    for _ in range(2):
        losses = {name: step().item() for name, step in steps.items()}
        if not np.allclose(list(losses.values()), losses[OURS], rtol=1e-3):
            raise SystemExit(f"the contenders disagree about the loss: {losses}")


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
        steps = {name: training_step(side) for name, side in sides(model, batch).items()}
        check_losses(steps)
        times = measure(steps, args.rounds, args.repeats)
        wanted = goals(GOALS, (model, batch))
        results.append(compare(times, wanted, model=model, batch=batch, **SGD))
        show(f"a training step of {model}, batch {batch}", results[-1])
    finish("train_step", args, results)


if __name__ == "__main__":
    main()
