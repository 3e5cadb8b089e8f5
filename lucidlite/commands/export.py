"""``lucidlite export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lucidlite.commands.common import add_device_option, device_of, newest_run, open_run, shape
from lucidlite.creation import tensor, zeros
from lucidlite.nn.module import Module
from lucidlite.onnx.exporting import OPSETS, export
from lucidlite.tensor import Tensor

EXAMPLES = """examples:
  lucidlite export --onnx digits.onnx                             the newest run
  lucidlite export runs/sample-cnn-with-gap --onnx digits.onnx
  lucidlite export runs/sample-cnn-with-gap --onnx digits.onnx --pixels --verify

The file takes a batch of any size, (N, channels, height, width) of float32, and gives the logits of
the classes. Needs the package onnx: pip install 'lucidlite[onnx]'.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "place", metavar="RUN", nargs="?", type=Path,
        help="the folder of a run (its best weights) or a file of weights (default: newest run)",
    )  # fmt: skip
    parser.add_argument(
        "--onnx", metavar="FILE", type=Path, required=True, help="the ONNX file to write"
    )
    parser.add_argument(
        "--pixels", action="store_true",
        help="the file takes pixels from 0 to 255, and normalizes them as the run does",
    )  # fmt: skip
    parser.add_argument(
        "--opset", metavar="N", type=int, choices=OPSETS, default=OPSETS[0],
        help=f"version of the operators, {OPSETS[0]} to {OPSETS[-1]} (default: {OPSETS[0]})",
    )  # fmt: skip
    parser.add_argument(
        "--verify", action="store_true", help="compare with the model, in onnxruntime, first"
    )
    parser.add_argument("--model", metavar="NAME", help="of a file of weights without a run")
    parser.add_argument("--data", metavar="NAME", help="of a file of weights without a run")
    parser.add_argument("--input", metavar="C,H,W", type=shape, help="as in train")
    add_device_option(parser)


class _Pixels(Module):
    """A model on pixels from 0 to 255."""

    def __init__(self, model: Module, mean: Any, std: Any, device: str) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", tensor(list(mean), device=device).view(-1, 1, 1) * 255)
        self.register_buffer("std", tensor(list(std), device=device).view(-1, 1, 1) * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model((pixels - self.mean) / self.std)  # type: ignore[no-any-return]


def run(args: argparse.Namespace) -> int:
    device = device_of(args)
    found = open_run(args.place or newest_run(), args, device)
    settings = found.settings
    model = found.model
    if args.pixels:
        model = _Pixels(model, settings.mean, settings.std, device)
    name = "pixels" if args.pixels else "images"
    export(
        model, zeros(1, *settings.input, device=device), args.onnx,
        input_names=[name], output_names=["logits"], dynamic_axes={name: {0: "batch"}},
        opset_version=args.opset, verify=args.verify,
    )  # fmt: skip
    size = "x".join(map(str, settings.input))
    print(f"{found.weights} -> {args.onnx} ({args.onnx.stat().st_size:,} bytes)")
    print(f"  {name}: batch x {size}, float32", end="")
    if args.pixels:
        print(", 0 to 255")
    else:
        print(f"; pixels / 255, less {_listed(settings.mean)}, over {_listed(settings.std)}")
    print(f"  logits: batch x {len(settings.classes)}: {', '.join(settings.classes)}")
    return 0


def _listed(values: Any) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
