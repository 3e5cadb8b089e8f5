# raises: TypeError
# op: linear
# module: Linear(5 -> 2)
# hint: a list of tensors: unpack it

import lucidlite as torch
from lucidlite import nn
from lucidlite.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.rand(12, 5), torch.rand(12, 2)), batch_size=4)
model = nn.Linear(5, 2)
for batch in loader:
    loss = model(batch).square().mean()  # <- here
    loss.backward()
