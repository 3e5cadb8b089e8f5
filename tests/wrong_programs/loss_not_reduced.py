# raises: RuntimeError
# op: backward
# hint: loss.mean() or loss.sum() first?

import lucidlite as torch
from lucidlite import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss(reduction="none")
losses = criterion(model(torch.rand(6, 4)), torch.tensor([0, 1, 2, 0, 1, 2]))
losses.backward()  # <- here
