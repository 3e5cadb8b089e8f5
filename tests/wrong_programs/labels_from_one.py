# raises: IndexError
# op: cross_entropy
# module: CrossEntropyLoss
# hint: classes count from 0: labels 1 to C need target - 1

import lucidlite as torch
from lucidlite import nn

model = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 3))
criterion = nn.CrossEntropyLoss()
seeds, kinds = torch.rand(5, 7), torch.tensor([1, 2, 3, 3, 1])
loss = criterion(model(seeds), kinds)  # <- here
loss.backward()
