# raises: RuntimeError
# op: add
# hint: batches of other sizes: is the last one of an epoch smaller (drop_last=True)?

import lucidlite as torch
from lucidlite.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.rand(100, 3)), batch_size=32)
total = torch.zeros(32, 3)
for (batch,) in loader:
    total = total + batch  # <- here
print(total / len(loader))
