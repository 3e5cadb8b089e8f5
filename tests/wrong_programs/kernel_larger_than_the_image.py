# raises: RuntimeError
# op: conv2d
# module: Sequential.2: Conv2d(4 -> 8, kernel_size=5)
# hint: only 3 x 3 is left of the image

import lucidlite as torch
from lucidlite import nn

model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 8, 5), nn.ReLU())
model(torch.rand(1, 1, 8, 8))  # <- here
