# raises: RuntimeError
# op: conv2d
# module: Net.conv: Conv2d(3 -> 16, kernel_size=3, padding=1)
# hint: channels last? x.permute(0, 3, 1, 2) makes it (5, 3, 24, 24)

import numpy as np

import lucidlite as torch
from lucidlite import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        x = self.conv(x).relu()  # <- here
        return self.head(x.mean((2, 3)))


photos = np.random.default_rng(0).random((5, 24, 24, 3), dtype=np.float32)
Net()(torch.from_numpy(photos))
