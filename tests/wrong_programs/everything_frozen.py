# raises: RuntimeError
# op: backward
# hint: are all parameters frozen

import lucidlite as torch
from lucidlite import nn

backbone = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
for parameter in backbone.parameters():
    parameter.requires_grad = False
loss = nn.CrossEntropyLoss()(backbone(torch.rand(3, 4)), torch.tensor([0, 1, 1]))
loss.backward()  # <- here
