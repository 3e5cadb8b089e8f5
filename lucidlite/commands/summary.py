"""``lucidlite summary``."""

from __future__ import annotations

import argparse

from lucidlite.callsite import error
from lucidlite.commands.common import positive, shape
from lucidlite.costs import summary
from lucidlite.training.build import MODELS, find_model, input_for, make_model

EXAMPLES = """examples:
  lucidlite summary cnn-with-gap
  lucidlite summary lenet --input 3,32,32
  lucidlite summary net.py:Net --input 3,64,64 --classes 5
  lucidlite summary resnet8 --batch 64 --mode train --depth 1
"""
_COMMON = (3, 32, 32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help=f"{', '.join(MODELS)}, or path.py:Class of an nn.Module"
    )
    parser.add_argument(
        "--input", metavar="C,H,W", type=shape,
        help="the shape of one image (default: 3,32,32; lenet: 1,28,28)",
    )  # fmt: skip
    parser.add_argument("--classes", metavar="N", type=positive, default=10, help="default: 10")
    parser.add_argument(
        "--batch", metavar="N", type=positive, default=1, help="images in a batch (default: 1)"
    )
    parser.add_argument(
        "--mode", choices=("train", "eval"), default="train",
        help="what is kept for backward, in training or evaluation mode (default: train)",
    )  # fmt: skip
    parser.add_argument(
        "--depth", metavar="N", type=int, help="show N levels, with what is below added to them"
    )
    parser.add_argument(
        "--no-time", action="store_false", dest="time", help="run the model once, take no times"
    )


def run(args: argparse.Namespace) -> int:
    kind = find_model(args.model)
    wanted = args.input
    if wanted is None:
        wanted = (1, 28, 28) if args.model == "lenet" else input_for(kind, args.classes, _COMMON)
    model = make_model(kind, args.classes, wanted)
    try:
        table = summary(
            model,
            input_size=(args.batch, *wanted),
            mode=args.mode,
            depth=args.depth,
            time=args.time,
        )
    except RuntimeError as problem:
        raise error(
            ValueError,
            f"{args.model} cannot take an input of {wanted}: {str(problem).splitlines()[0]}",
        ) from problem
    print(table)
    return 0
