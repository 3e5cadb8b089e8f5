"""One training step of CNNWithGAP on the CPU: lucidlite beside PyTorch, as a ratio.

    python benchmarks/train_step.py [--batch 64] [--rounds 10] [--json]

The contenders share the weights, the images and the optimizer (SGD). Printed is PyTorch's time over
lucidlite's: above 1, lucidlite is faster. PyTorch runs eagerly, once as it comes and once in
channels_last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from side_by_side import OURS, arguments, measure, report, write

import lucidlite


class TorchCNNWithGAP(torch.nn.Module):
    """lucidlite.models.CNNWithGAP, layer by layer."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        nn = torch.nn
        layers: list[torch.nn.Module] = []
        for c_in, c_out in ((3, 64), (64, 128), (128, 256)):
            layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(256, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(1))


def training_step(library: Any, model: Any, images: Any, labels: Any) -> Callable[[], float]:
    """A function that makes one whole training step and returns the loss."""
    optimizer = library.optim.SGD(model.parameters(), lr=0.01)

    def step() -> float:
        optimizer.zero_grad()
        loss = library.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def contenders(batch: int) -> dict[str, Callable[[], float]]:
    """The steps by name, all from the same weights and images."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, 3, 32, 32), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    ours = lucidlite.models.CNNWithGAP()
    weights = {name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()}
    steps = {
        OURS: training_step(
            lucidlite, ours, lucidlite.from_numpy(images), lucidlite.from_numpy(labels)
        )
    }
    for name, order in (
        ("torch eager", torch.contiguous_format),
        ("torch channels_last", torch.channels_last),
    ):
        model = TorchCNNWithGAP()
        model.load_state_dict(weights)
        model = model.to(memory_format=order)
        x = torch.tensor(images).contiguous(memory_format=order)
        steps[name] = training_step(torch, model, x, torch.tensor(labels))
    return steps


def check_losses(steps: dict[str, Callable[[], float]]) -> None:
    """Stop unless the first steps compute the same thing."""
    for _ in range(2):
        losses = {name: step() for name, step in steps.items()}
        if not np.allclose(list(losses.values()), losses[OURS], rtol=1e-3):
            raise SystemExit(f"the contenders disagree about the loss: {losses}")


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=10, repeats=3)
    parser.add_argument("--batch", type=int, default=64, help="images a step (64)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    steps = contenders(args.batch)
    check_losses(steps)
    times = measure(steps, args.rounds, args.repeats)
    rows = report(f"one training step of CNNWithGAP, batch {args.batch}", times)
    if args.json:
        write("train_step", vars(args), rows)


if __name__ == "__main__":
    main()
