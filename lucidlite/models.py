"""Small convolutional networks, ready to train."""

from __future__ import annotations

import lucidlite.nn as nn
from lucidlite.callsite import error
from lucidlite.nn import functional as F
from lucidlite.tensor import Tensor

__all__ = ["CNNWithGAP", "LeNet", "ResNet8"]


class CNNWithGAP(nn.Module):
    """Three convolutions and global average pooling: colour images of any size from 8 x 8.

    Input (N, 3, H, W), output (N, num_classes) logits. 373,386 parameters for 10 classes.

    >>> import lucidlite
    >>> lucidlite.models.CNNWithGAP()(lucidlite.zeros(4, 3, 32, 32)).shape
    (4, 10)

    Source: the global-average-pooling example of a torch.nn.AdaptiveAvgPool2d tutorial.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super(CNNWithGAP, self).__init__()  # noqa: UP008
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(128, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        # Global average pooling
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(256, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = x.view(x.size(0), -1)
        x = self.classifier(x)
        return x


class LeNet(nn.Module):
    """Two convolutions and two linear layers, after LeNet-5: small square images.

    Input (N, in_channels, image_size, image_size), output (N, num_classes) logits. 421,642
    parameters as it stands. Raises ValueError for an ``image_size`` below 4.

    >>> import lucidlite
    >>> lucidlite.models.LeNet()(lucidlite.zeros(4, 1, 28, 28)).shape
    (4, 10)

    Source: after LeCun, Bottou, Bengio and Haffner (1998), with ReLU and max pooling.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> None:
        super().__init__()
        if image_size < 4:
            raise error(
                ValueError, f"LeNet: image_size must be at least 4, got image_size={image_size}"
            )
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        side = image_size // 4
        self.classifier = nn.Sequential(
            nn.Linear(64 * side * side, 128),
            nn.ReLU(),
            nn.Linear(128, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return self.classifier(x.flatten(1))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm, and the input added to what they make."""

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

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet8(nn.Module):
    """A residual network of eight weighted layers, for images of 32 x 32 and thereabouts.

    A 3 x 3 convolution to 16 channels, three residual blocks of 16, 32 and 64 channels (the last
    two at half the resolution), global average pooling and one linear layer.
    Input (N, in_channels, H, W), output (N, num_classes) logits. 78,042 parameters as it stands.

    >>> import lucidlite
    >>> lucidlite.models.ResNet8()(lucidlite.zeros(4, 3, 32, 32)).shape
    (4, 10)

    Source: He, Zhang, Ren and Sun (2016), in the small form of the MLPerf Tiny benchmark.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.blocks = nn.Sequential(_Block(16, 16), _Block(16, 32, 2), _Block(32, 64, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        x = self.pool(x).flatten(1)
        return self.classifier(x)  # type: ignore[no-any-return]
