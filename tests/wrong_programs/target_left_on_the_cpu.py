# raises: RuntimeError
# needs: cuda
# op: cross_entropy
# module: CrossEntropyLoss
# hint: x.to('cuda:0') for what is on the cpu

import lucidlite as torch
from lucidlite import nn

device = torch.device("cuda")
model = nn.Linear(4, 3).to(device)
x, target = torch.rand(2, 4).to(device), torch.tensor([0, 2])
loss = nn.CrossEntropyLoss()(model(x), target)  # <- here
