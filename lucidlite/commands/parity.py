"""``lucidlite parity``."""

from __future__ import annotations

import argparse

from lucidlite.commands.common import positive
from lucidlite.parity import compare
from lucidlite.parity.measure import TOLERANCES
from lucidlite.parity.sides import LOSSES, OPTIMIZERS
from lucidlite.training.build import MODELS

EXAMPLES = """examples:
  lucidlite parity net.py:Net
  lucidlite parity net.py:Net --steps 5 --optimizer adam --dtype float32
  lucidlite parity net.py:Tagger --input 20 --loss cross-entropy --eval
  lucidlite parity resnet8

The file runs twice: its imports of torch and of lucidlite are turned to one library, then to the
other. Both models get the same weights (ours, then in a second run PyTorch's) and the same batches
of noise, and are trained side by side. PyTorch has to be installed: pip install 'lucidlite[parity]'

What is measured: the largest absolute difference of two tensors ("max abs"), and the same relative
to the largest value in them ("max rel"), which is what counts. Of weights it is relative to the
largest change in the step; and a gradient is taken to be at least a hundredth of the largest
gradient in the step, a weight's change a hundredth of the weight, because below that the numbers
are rounding. Rounding doesn't add up: where PyTorch's value is within the tolerance, it goes on
with ours. In float64, the default, differences above 1e-9 are differences of meaning; in float32
the tolerance is 1e-4, and convolutions are plain sums unless --fast lets lucidlite choose.

Exit code: 0 if they are equal, 1 if they differ or one of them raises, 2 if nothing was compared.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help=f"path.py:Class of an nn.Module, or {', '.join(MODELS)}"
    )
    parser.add_argument("--steps", metavar="N", type=positive, default=3, help="default: 3")
    parser.add_argument(
        "--input", metavar="SIZES", type=sizes, action="append", default=[],
        help="the shape of one sample, as 3,32,32; again for a second input "
        "(default: by the model's first layer)",
    )  # fmt: skip
    parser.add_argument("--classes", metavar="N", type=positive, default=10, help="default: 10")
    parser.add_argument("--batch", metavar="N", type=positive, default=4, help="default: 4")
    parser.add_argument(
        "--loss", metavar="NAME", choices=LOSSES,
        help=f"{', '.join(LOSSES)} (default: cross-entropy of outputs (N, C, ...), else mse)",
    )  # fmt: skip
    parser.add_argument(
        "--optimizer", metavar="NAME", choices=OPTIMIZERS, default="sgd",
        help=f"{', '.join(OPTIMIZERS)} (default: sgd, with momentum 0.9)",
    )  # fmt: skip
    parser.add_argument("--lr", metavar="RATE", type=float, help="default: by the optimizer")
    parser.add_argument("--dtype", choices=TOLERANCES, default="float64", help="default: float64")
    parser.add_argument(
        "--tolerance", metavar="T", type=float,
        help="the largest relative difference that is none "
        f"(default: {', '.join(f'{value:g} in {name}' for name, value in TOLERANCES.items())})",
    )  # fmt: skip
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--train", action="store_true", default=True,
        help="training mode, with dropout set to 0 because the libraries' masks differ (default)",
    )  # fmt: skip
    mode.add_argument("--eval", action="store_true", help="evaluation mode")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--device", metavar="DEVICE", default="cpu",
        help="cpu, cuda or cuda:1 (default: cpu); PyTorch is on the CPU where it has no GPU",
    )  # fmt: skip
    parser.add_argument(
        "--fast", action="store_true", help="lucidlite's convolutions as in training"
    )


def sizes(text: str) -> tuple[int, ...]:
    """An argparse type: 3,32,32 or any other number of sizes."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be sizes as in 3,32,32, got {text!r}") from None
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"must be positive, got {text!r}")
    return found


def run(args: argparse.Namespace) -> int:
    report = compare(
        args.model,
        steps=args.steps,
        batch=args.batch,
        sizes=args.input,
        classes=args.classes,
        optimizer=args.optimizer,
        lr=args.lr,
        loss=args.loss,
        dtype=args.dtype,
        tolerance=args.tolerance,
        train=not args.eval,
        seed=args.seed,
        device=args.device,
        exact=not args.fast,
    )
    print(report)
    return 0 if report.equal else 1
