# raises: RuntimeError
# op: conv2d
# module: Sequential.0: Conv2d(1 -> 4, kernel_size=3)
# hint: pixels of 0 to 255? x.float() / 255

import numpy as np

import lucidlite as torch
from lucidlite import nn

pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 12, 12), dtype=np.uint8)
images = torch.from_numpy(pixels)
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 10))
print(model(images).shape)  # <- here
