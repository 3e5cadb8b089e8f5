# raises: RuntimeError
# needs: cuda
# op: conv2d
# module: Sequential.0: Conv2d(1 -> 4, kernel_size=3)
# hint: x.to('cuda:0') for what is on the cpu: the model once, inputs and targets of every batch

import lucidlite as torch
from lucidlite import nn

device = torch.device("cuda")
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
model.to(device)
images = torch.rand(2, 1, 8, 8)
scores = model(images)  # <- here
