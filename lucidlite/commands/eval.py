"""``lucidlite eval``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lucidlite.callsite import error
from lucidlite.commands.common import (
    add_data_options,
    add_device_option,
    device_of,
    newest_run,
    open_run,
    shape,
)
from lucidlite.tables import share
from lucidlite.training.build import make_loader
from lucidlite.training.predictions import Predictions, predict_all

EXAMPLES = """examples:
  lucidlite eval                                      the newest run
  lucidlite eval runs/sample-cnn-with-gap --per-class
  lucidlite eval runs/sample-cnn-with-gap --data mnist --download   on all of MNIST's test images
  lucidlite eval weights.npz --model lenet --data fashion-mnist
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "place", metavar="RUN", nargs="?", type=Path,
        help="the folder of a run (its best weights) or a file of weights: .npz, .safetensors, "
        "PyTorch's .pt (default: newest run)",
    )  # fmt: skip
    add_data_options(parser)
    parser.add_argument("--input", metavar="C,H,W", type=shape, help="as in train")
    add_device_option(parser)
    parser.add_argument("--per-class", action="store_true", help="also each class, and confusions")


def run(args: argparse.Namespace) -> int:
    device = device_of(args)
    found = open_run(args.place or newest_run(), args, device)
    loader = make_loader(found.source, found.settings, train=False, device=device)
    classes = list(found.source.open(False, None).classes)
    if classes != found.settings.classes:
        raise error(
            ValueError,
            f"{found.weights} knows the classes {', '.join(found.settings.classes)}, "
            f"not {', '.join(classes)}",
        )
    seen = predict_all(found.model, loader, device)
    n = len(seen.targets)
    right = int((seen.probabilities.argmax(1) == seen.targets).sum())
    # Not -mean: of a loss of 0 that is -0.
    loss = 0.0 - np.log(np.maximum(seen.probabilities[np.arange(n), seen.targets], 1e-30)).mean()
    print(
        f"{found.weights} on {found.settings.data}: accuracy {share(right / n, 2)} "
        f"({right:,} of {n:,} test images), loss {loss:.4f}"
    )
    if args.per_class:
        _print_classes(seen, found.settings.classes)
    return 0


def _print_classes(seen: Predictions, classes: Sequence[str]) -> None:
    said = seen.probabilities.argmax(1)
    width = max(map(len, classes))
    for number, name in enumerate(classes):
        own = said[seen.targets == number]
        if not len(own):
            print(f"  {name:{width}}  no images")
            continue
        taken = np.bincount(own, minlength=len(classes))
        line = f"  {name:{width}}  {share(taken[number] / len(own), 2):>7} of {len(own):,}"
        taken[number] = 0
        wrong = [i for i in np.argsort(-taken, kind="stable")[:3] if taken[i]]
        if wrong:
            line += "  taken for " + ", ".join(f"{classes[i]} ({taken[i]})" for i in wrong)
        print(line)
