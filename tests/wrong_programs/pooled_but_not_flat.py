# raises: RuntimeError
# op: linear
# module: Sequential.5: Linear(16 -> 10)
# hint: flatten first? x.flatten(1) makes it (4, 16)

import lucidlite as torch
from lucidlite import nn

model = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(8, 16, 3, padding=1),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Linear(16, 10),
)
scores = model(torch.rand(4, 3, 16, 16))  # <- here
print(scores.argmax(1))
