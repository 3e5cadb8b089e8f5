# raises: TypeError
# op: cross_entropy
# module: CrossEntropyLoss
# hint: does the forward() before it end in `return`?

import lucidlite as torch
from lucidlite import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        self.layer(x).relu()


criterion = nn.CrossEntropyLoss()
scores = Net()(torch.rand(4, 6))
loss = criterion(scores, torch.tensor([0, 1, 2, 0]))  # <- here
