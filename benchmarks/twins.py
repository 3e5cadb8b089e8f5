"""The package's models again in PyTorch, layer by layer, with lucidlite's weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from side_by_side import ORDERS, OURS, torch

import lucidlite

nn = torch.nn


class CNNWithGAP(nn.Module):
    """lucidlite.models.CNNWithGAP."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in ((3, 64), (64, 128), (128, 256)):
            layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(256, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.view(x.size(0), -1))


class LeNet(nn.Module):
    """lucidlite.models.LeNet."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in ((in_channels, 32), (32, 64)):
            layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        flat = 64 * (image_size // 4) ** 2
        self.classifier = nn.Sequential(
            nn.Linear(flat, 128), nn.ReLU(), nn.Linear(128, num_classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).flatten(1))


class Block(nn.Module):
    """lucidlite.models.ResNet8's residual block."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = nn.functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return nn.functional.relu(out + self.shortcut(x))


class ResNet8(nn.Module):
    """lucidlite.models.ResNet8."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.blocks = nn.Sequential(Block(16, 16), Block(16, 32, 2), Block(32, 64, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(self.blocks(self.stem(x))).flatten(1))


class Pair(NamedTuple):
    """A model in both libraries, and the shape of its images."""

    ours: Any
    torchs: Any
    image: tuple[int, int, int]


PAIRS = {
    "CNNWithGAP": Pair(lucidlite.models.CNNWithGAP, CNNWithGAP, (3, 32, 32)),
    "LeNet": Pair(lucidlite.models.LeNet, LeNet, (1, 28, 28)),
    "ResNet8": Pair(lucidlite.models.ResNet8, ResNet8, (3, 32, 32)),
}


def load(ours: Any, torchs: Any) -> None:
    """Give PyTorch's model a copy of the other's parameters and buffers."""
    torchs.load_state_dict(
        {name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()}
    )


class Side(NamedTuple):
    """One contender: a model with a batch that suits it."""

    library: Any
    model: Any
    images: Any
    labels: Any


def sides(name: str, batch: int) -> dict[str, Side]:
    """lucidlite, PyTorch as it comes, and PyTorch in channels_last: same weights, same batch."""
    pair = PAIRS[name]
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, *pair.image), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    ours = pair.ours()
    found = {
        OURS: Side(lucidlite, ours, lucidlite.from_numpy(images), lucidlite.from_numpy(labels))
    }
    for order_name, order in ORDERS.items():
        model = pair.torchs()
        load(ours, model)
        x = torch.tensor(images).contiguous(memory_format=order)
        found[order_name] = Side(torch, model.to(memory_format=order), x, torch.tensor(labels))
    return found


def case(text: str) -> tuple[str, int]:
    """'LeNet:64' as a model's name and a batch size, for command lines."""
    name, _, batch = text.partition(":")
    if name not in PAIRS or not batch.isdecimal() or int(batch) < 1:
        raise ValueError(text)
    return name, int(batch)
