# raises: RuntimeError
# op: conv2d
# module: Sequential.0: Conv2d(1 -> 8, kernel_size=3)
# hint: colour images into a layer for grey ones? in_channels=3

import lucidlite as torch
from lucidlite import nn

made_for_digits = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
cifar = torch.rand(4, 3, 32, 32)
made_for_digits(cifar)  # <- here
