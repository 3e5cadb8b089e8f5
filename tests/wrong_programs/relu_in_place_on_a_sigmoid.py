# raises: RuntimeError
# op: backward
# module: Sequential.1: Sigmoid
# hint: out of place instead

import lucidlite as torch
from lucidlite import nn

model = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.ReLU(inplace=True), nn.Linear(4, 1))
loss = model(torch.rand(3, 4)).sum()  # <- recorded, written
loss.backward()  # <- here
