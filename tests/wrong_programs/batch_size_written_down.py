# raises: RuntimeError
# op: view
# module: Net
# hint: enough for 4 of 128: view(-1, 128) takes a batch of any size

import lucidlite as torch
from lucidlite import nn
from lucidlite.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1, stride=2)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        x = self.conv(x).relu()
        return self.head(x.view(16, 128))  # <- here


model = Net()
for (images,) in DataLoader(TensorDataset(torch.rand(36, 1, 8, 8)), batch_size=16):
    model(images)
