# raises: IndexError
# op: cross_entropy
# module: CrossEntropyLoss
# hint: one score a sample? two classes need two scores

import lucidlite as torch
from lucidlite import nn

model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
is_spam = torch.tensor([0, 1, 1, 0])
loss = nn.CrossEntropyLoss()(model(torch.rand(4, 3)), is_spam)  # <- here
