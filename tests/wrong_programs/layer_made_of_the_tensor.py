# raises: TypeError
# op: linear
# module: Net.second: Linear(8 -> 2)
# hint: the tensor is the layer's setting: ReLU()(x) calls the layer

import lucidlite as torch
from lucidlite import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 8)
        self.second = nn.Linear(8, 2)

    def forward(self, x):
        x = nn.ReLU(self.first(x))
        return self.second(x)  # <- here


Net()(torch.rand(4, 3))
