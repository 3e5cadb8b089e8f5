"""Adaptive average pooling beside the ordinary kind that gives the same values, and PyTorch's.

    python benchmarks/pooling.py [--json]

One bin grid that divides the image (2 x 2 of 32 x 32: the same as AvgPool2d(16)) and one that
doesn't (7 x 7, no ordinary pool equals it). Forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from side_by_side import arguments, measure, report, write

import lucidlite


def forward_backward(library: Any, pool: Any, images: np.ndarray) -> Callable[[], None]:
    """A function that pools the images and pushes a gradient of ones back."""
    x = library.from_numpy(images).requires_grad_()
    ones = library.ones_like(pool(x))

    def run() -> None:
        x.grad = None
        pool(x).backward(ones)

    return run


def main() -> None:
    args = arguments(__doc__.splitlines()[0], rounds=20, repeats=5).parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    images = np.random.default_rng(0).standard_normal((64, 64, 32, 32), dtype=np.float32)
    contenders = {
        "lucidlite AvgPool2d(16)": (lucidlite, lucidlite.nn.AvgPool2d(16)),
        "lucidlite adaptive 2": (lucidlite, lucidlite.nn.AdaptiveAvgPool2d(2)),
        "lucidlite adaptive 7": (lucidlite, lucidlite.nn.AdaptiveAvgPool2d(7)),
        "torch AvgPool2d(16)": (torch, torch.nn.AvgPool2d(16)),
        "torch adaptive 2": (torch, torch.nn.AdaptiveAvgPool2d(2)),
        "torch adaptive 7": (torch, torch.nn.AdaptiveAvgPool2d(7)),
    }
    runs = {name: forward_backward(*pair, images) for name, pair in contenders.items()}
    times = measure(runs, args.rounds, args.repeats)
    rows = report("pooling (64, 64, 32, 32), forward and backward", times, next(iter(runs)))
    if args.json:
        write("pooling", vars(args), rows)


if __name__ == "__main__":
    main()
