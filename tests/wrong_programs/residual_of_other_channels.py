# raises: RuntimeError
# op: add
# module: Net.block: Block
# hint: other channels on this way: a 1 x 1 convolution 16 -> 8 makes them equal

import lucidlite as torch
from lucidlite import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x):
        return (x + self.conv(x)).relu()  # <- here


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = Block(8, 16)

    def forward(self, x):
        return self.block(self.stem(x)).mean((2, 3))


Net()(torch.rand(2, 3, 8, 8))
