# raises: RuntimeError
# op: linear
# module: Regression.hidden: Linear(3 -> 16)
# hint: float64 as NumPy makes it? x.float()

import numpy as np

import lucidlite as torch
from lucidlite import nn


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(3, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        return self.out(self.hidden(x).tanh())  # <- here


measured = np.random.default_rng(0).normal(size=(20, 3))
wanted = measured.sum(1, keepdims=True)
model = Regression()
x, y = torch.from_numpy(measured), torch.from_numpy(wanted)
loss = ((model(x) - y) ** 2).mean()
loss.backward()
