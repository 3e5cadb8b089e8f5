# raises: ValueError
# op: cross_entropy
# module: CrossEntropyLoss
# hint: did view(-1, n) change the batch? flatten(1) keeps it

import lucidlite as torch
from lucidlite import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        x = self.conv(x).relu()
        return self.head(x.view(-1, 128))


images, labels = torch.rand(4, 1, 8, 8), torch.randint(0, 10, (4,))
loss = nn.CrossEntropyLoss()(Net()(images), labels)  # <- here
