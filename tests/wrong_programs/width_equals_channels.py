# raises: RuntimeError
# op: conv2d
# module: Sequential.2: Conv2d(32 -> 64, kernel_size=3)
# hint: in_channels would have to be 16, what the layer before gives

import lucidlite as torch
from lucidlite import nn

model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3))
model(torch.rand(2, 3, 32, 32))  # <- here
