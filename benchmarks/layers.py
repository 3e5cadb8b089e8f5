"""Each layer alone, forward and backward: lucidlite beside PyTorch.

    python benchmarks/layers.py [--only conv pool] [--batch 64] [--json]

The convolutions are those of the package's models; the first of a model gets images, which want no
gradient. Every layer gets the memory order that it would find inside a model: lucidlite's own, and
channels_last in the second of PyTorch's columns. The two adaptive pools stand beside the ordinary
one that gives the same values. An optimizer's row is one step on the parameters of CNNWithGAP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from side_by_side import (
    EAGER,
    ORDERS,
    OURS,
    arguments,
    compare,
    finish,
    measure,
    show_brief,
    start,
    torch,
)
from twins import PAIRS, load

import lucidlite

SLOT = 0.04


class Layer(NamedTuple):
    """A row: what to build from either library, and the shape of one sample."""

    name: str
    build: Callable[[Any], Any]
    sample: tuple[int, ...]
    images: bool = False  # the input is data: no gradient, and as a loader brings it
    random: bool = False  # outputs can't be compared


def conv(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda library: library.nn.Conv2d(*args, **kwargs)


def layer(kind: str, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda library: getattr(library.nn, kind)(*args, **kwargs)


LAYERS = [
    Layer("conv 3-64 3x3, 32x32 images", conv(3, 64, 3, padding=1), (3, 32, 32), images=True),
    Layer("conv 64-128 3x3, 16x16", conv(64, 128, 3, padding=1), (64, 16, 16)),
    Layer("conv 128-256 3x3, 8x8", conv(128, 256, 3, padding=1), (128, 8, 8)),
    Layer("conv 1-32 3x3, 28x28 images", conv(1, 32, 3, padding=1), (1, 28, 28), images=True),
    Layer("conv 32-64 3x3, 14x14", conv(32, 64, 3, padding=1), (32, 14, 14)),
    Layer("conv 16-16 3x3, 32x32", conv(16, 16, 3, padding=1, bias=False), (16, 32, 32)),
    Layer("conv 16-32 3x3 stride 2, 32x32", conv(16, 32, 3, 2, 1, bias=False), (16, 32, 32)),
    Layer("conv 32-32 3x3, 16x16", conv(32, 32, 3, padding=1, bias=False), (32, 16, 16)),
    Layer("conv 64-64 3x3, 8x8", conv(64, 64, 3, padding=1, bias=False), (64, 8, 8)),
    Layer("conv 16-32 1x1 stride 2, 32x32", conv(16, 32, 1, 2, bias=False), (16, 32, 32)),
    Layer("conv 64-64 1x1, 16x16", conv(64, 64, 1), (64, 16, 16)),
    Layer("conv 32-32 5x5, 14x14", conv(32, 32, 5, padding=2), (32, 14, 14)),
    Layer("conv depthwise 64 3x3, 16x16", conv(64, 64, 3, padding=1, groups=64), (64, 16, 16)),
    Layer("MaxPool2d(2), 64x32x32", layer("MaxPool2d", 2), (64, 32, 32)),
    Layer("MaxPool2d(2), 128x16x16", layer("MaxPool2d", 2), (128, 16, 16)),
    Layer("MaxPool2d(3, 2, 1), 64x32x32", layer("MaxPool2d", 3, 2, 1), (64, 32, 32)),
    Layer("AvgPool2d(2), 64x32x32", layer("AvgPool2d", 2), (64, 32, 32)),
    Layer("AvgPool2d(16), 64x32x32", layer("AvgPool2d", 16), (64, 32, 32)),
    Layer("AdaptiveAvgPool2d(2), 64x32x32", layer("AdaptiveAvgPool2d", 2), (64, 32, 32)),
    Layer("AdaptiveAvgPool2d(7), 64x32x32", layer("AdaptiveAvgPool2d", 7), (64, 32, 32)),
    Layer("AdaptiveAvgPool2d(1), 256x4x4", layer("AdaptiveAvgPool2d", 1), (256, 4, 4)),
    Layer("ReLU, 64x32x32", layer("ReLU"), (64, 32, 32)),
    Layer("BatchNorm2d, 16x32x32", layer("BatchNorm2d", 16), (16, 32, 32)),
    Layer("BatchNorm2d, 64x16x16", layer("BatchNorm2d", 64), (64, 16, 16)),
    Layer("Dropout, 64x16x16", layer("Dropout"), (64, 16, 16), random=True),
    Layer("Linear 3136-128", layer("Linear", 3136, 128), (3136,)),
    Layer("Linear 256-10", layer("Linear", 256, 10), (256,)),
]
LOSSES = {"cross entropy, 10 classes": 10, "cross entropy, 1000 classes": 1000}
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD with momentum": ("SGD", {"lr": 1e-6, "momentum": 0.9}),
    "Adam": ("Adam", {"lr": 1e-6}),
    "AdamW": ("AdamW", {"lr": 1e-6}),
}
NAMES = [row.name for row in LAYERS] + [*LOSSES, *OPTIMIZERS]


def in_conv_layout(array: np.ndarray) -> np.ndarray:
    """The same images in the memory order that lucidlite's convolutions leave behind."""
    if array.ndim != 4:
        return array
    return np.ascontiguousarray(array.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)


def forward_backward(module: Any, x: Any, upstream: Any) -> Callable[[], Any]:
    """A function that makes both passes and returns the output; gradients start from None."""
    leaves = [x, *module.parameters()]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = module(x)
        y.backward(upstream)
        return y

    return run


def layer_contenders(row: Layer, batch: int) -> dict[str, Callable[[], Any]]:
    """lucidlite, PyTorch, and for images PyTorch in channels_last; checked against each other."""
    rng = np.random.default_rng(0)
    array = rng.standard_normal((batch, *row.sample), dtype=np.float32)
    ours = row.build(lucidlite)
    x = lucidlite.from_numpy(array if row.images else in_conv_layout(array))
    x.requires_grad_(not row.images)
    shape = ours(x).shape
    upstream = rng.standard_normal(shape, dtype=np.float32)
    runs = {OURS: forward_backward(ours, x, lucidlite.from_numpy(in_conv_layout(upstream)))}
    inputs = {OURS: (ours, x)}
    for name, order in ORDERS.items() if array.ndim == 4 else [(EAGER, torch.contiguous_format)]:
        module = row.build(torch)
        load(ours, module)
        module = module.to(memory_format=order)
        x = torch.tensor(array).contiguous(memory_format=order).requires_grad_(not row.images)
        grad = torch.tensor(upstream)
        if len(shape) == 4:
            grad = grad.contiguous(memory_format=order)
        runs[name] = forward_backward(module, x, grad)
        inputs[name] = (module, x)
    if not row.random:
        check(row.name, runs, inputs)
    return runs


def check(title: str, runs: dict[str, Callable[[], Any]], inputs: dict[str, Any]) -> None:
    """Stop unless outputs and gradients agree."""
    found: dict[str, list[np.ndarray]] = {}
    for name, run in runs.items():
        y = run()
        module, x = inputs[name]
        grads = [leaf.grad for leaf in (x, *module.parameters()) if leaf.grad is not None]
        found[name] = [t.detach().numpy() for t in (y, *grads)]
    for name, arrays in found.items():
        for array, expected in zip(arrays, found[OURS], strict=True):
            scale = np.abs(expected).max() or 1
            if not np.allclose(array, expected, rtol=1e-3, atol=1e-4 * scale):
                raise SystemExit(f"{title}: {name} and {OURS} disagree")


def loss_contenders(classes: int, batch: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((batch, classes), dtype=np.float32)
    labels = rng.integers(0, classes, batch)

    def run(library: Any) -> Callable[[], Any]:
        x = library.tensor(logits).requires_grad_()
        y = library.tensor(labels)
        module = library.nn.CrossEntropyLoss()

        def both() -> Any:
            x.grad = None
            module(x, y).backward()

        return both

    return {OURS: run(lucidlite), EAGER: run(torch)}


def optimizer_contenders(kind: str, options: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    pair = PAIRS["CNNWithGAP"]
    ours, theirs = pair.ours(), pair.torchs()
    load(ours, theirs)
    rng = np.random.default_rng(0)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        grad = rng.standard_normal(mine.shape, dtype=np.float32)
        mine.grad, other.grad = lucidlite.tensor(grad), torch.tensor(grad)
    return {
        OURS: getattr(lucidlite.optim, kind)(ours.parameters(), **options).step,
        EAGER: getattr(torch.optim, kind)(theirs.parameters(), **options).step,
    }


def contenders(name: str, batch: int) -> dict[str, Callable[[], Any]]:
    """Whatever row ``name`` compares."""
    if name in LOSSES:
        return loss_contenders(LOSSES[name], batch)
    if name in OPTIMIZERS:
        return optimizer_contenders(*OPTIMIZERS[name])
    (row,) = (row for row in LAYERS if row.name == name)
    return layer_contenders(row, batch)


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=12)
    parser.add_argument("--batch", type=int, default=64, help="images a batch (64)")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="WORD", help="rows that have one of the words"
    )
    args = parser.parse_args(argv)
    start(args)
    results = []
    print(f"layers forward and backward, batch {args.batch}: medians / ratio (ratio of minima)")
    for name in NAMES:
        if not any(word.lower() in name.lower() for word in args.only):
            continue
        times = measure(contenders(name, args.batch), args.rounds, args.repeats, SLOT)
        results.append(compare(times, name=name, batch=args.batch))
        show_brief(name, results[-1])
    finish("layers", args, results)


if __name__ == "__main__":
    main()
