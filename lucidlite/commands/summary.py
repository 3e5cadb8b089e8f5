"""``lucidlite summary``."""

from __future__ import annotations

import argparse

from lucidlite.callsite import error
from lucidlite.commands.common import shape
from lucidlite.summary import summary
from lucidlite.training.build import MODELS, find_model, input_for, make_model

EXAMPLES = """examples:
  lucidlite summary cnn-with-gap
  lucidlite summary lenet --input 3,32,32
  lucidlite summary net.py:Net --input 3,64,64 --classes 5
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
    parser.add_argument("--classes", metavar="N", type=int, default=10, help="default: 10")


def run(args: argparse.Namespace) -> int:
    kind = find_model(args.model)
    wanted = args.input
    if wanted is None:
        wanted = (1, 28, 28) if args.model == "lenet" else input_for(kind, args.classes, _COMMON)
    model = make_model(kind, args.classes, wanted)
    try:
        table = summary(model, wanted)
    except RuntimeError as problem:
        raise error(
            ValueError,
            f"{args.model} cannot take an input of {wanted}: {str(problem).splitlines()[0]}",
        ) from problem
    print(table)
    return 0
