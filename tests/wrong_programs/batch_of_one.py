# raises: ValueError
# torch: ValueError
# op: batch_norm
# module: Sequential.1: BatchNorm1d(num_features=8)
# hint: a batch of one sample: DataLoader(drop_last=True)

import lucidlite as torch
from lucidlite import nn
from lucidlite.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.rand(9, 4)), batch_size=4)
model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
for (batch,) in loader:
    model(batch).mean().backward()  # <- here
