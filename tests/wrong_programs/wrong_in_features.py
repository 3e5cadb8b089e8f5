# raises: RuntimeError
# op: linear
# module: LeNet.classifier.0: Linear(256 -> 84)
# hint: in_features would have to be 400

import lucidlite as torch
from lucidlite import nn
from lucidlite.nn import functional as F


class LeNet(nn.Module):
    """Made for 28 x 28 images; these have 32 x 32."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.classifier = nn.Sequential(nn.Linear(16 * 4 * 4, 84), nn.ReLU(), nn.Linear(84, 10))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.classifier(x.flatten(1))  # <- here


LeNet()(torch.rand(2, 1, 32, 32))
