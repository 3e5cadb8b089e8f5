"""``lucidlite predict``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lucidlite.commands.common import (
    add_device_option,
    device_of,
    newest_run,
    open_run,
    positive,
)
from lucidlite.ops.join import stack
from lucidlite.tables import share
from lucidlite.training.predictions import probabilities
from lucidlite.training.sources import load_image, transform_for

_DIGITS = ("sample", "mnist")

EXAMPLES = """examples:
  lucidlite predict digit.pgm                         with the newest run
  lucidlite predict *.npy --run runs/sample-cnn-with-gap --top 3
  lucidlite predict scan.png --invert                 dark ink on white paper

PNM (.pgm, .ppm) and .npy (uint8, height x width or height x width x 3) are read as they are, PNG,
JPEG and others with Pillow. Images are made grey or coloured and resized as the run's data are.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files")
    parser.add_argument(
        "--run", metavar="RUN", type=Path,
        help="the folder of a run, its best.npz or a checkpoint (default: the newest in runs/)",
    )  # fmt: skip
    parser.add_argument(
        "--top", metavar="N", type=positive, default=1, help="show the N likeliest classes"
    )
    parser.add_argument("--invert", action="store_true", help="exchange light and dark first")
    add_device_option(parser)


def run(args: argparse.Namespace) -> int:
    device = device_of(args)
    found = open_run(args.run or newest_run(), args, device)
    settings = found.settings
    if args.run is None:
        print(f"(with {found.weights})", file=sys.stderr)
    transform = transform_for(
        found.source, settings.input, settings.mean, settings.std, train=False
    )
    failures = 0
    for path in args.images:
        try:
            image = load_image(found.source, path, args.invert)
        except (OSError, ValueError, ImportError) as problem:
            print(f"{path}: {_reason(problem)}", file=sys.stderr)
            failures += 1
            continue
        if settings.data in _DIGITS and _dark_on_light(image):
            print(
                f"{path}: looks like dark ink on light ground, and the digits the model knows are "
                "light on dark: try --invert",
                file=sys.stderr,
            )
        said = probabilities(found.model, stack([transform(image)]).to(device))[0]
        best = np.argsort(-said, kind="stable")[: args.top]
        likely = [f"{settings.classes[i]} {share(float(said[i]))}" for i in best]
        print(f"{path}: {', '.join(likely)}")
    return 2 if failures else 0


def _reason(problem: Exception) -> str:
    if isinstance(problem, FileNotFoundError):
        return "no such file"
    if isinstance(problem, IsADirectoryError):
        return "a folder; name the images in it, as in folder/*"
    return str(problem).splitlines()[0].removeprefix("read_image: ")


def _dark_on_light(image: Any) -> bool:
    """Whether the border, which is the ground of a digit, is lighter than the middle."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return bool(np.median(border) > 127)
