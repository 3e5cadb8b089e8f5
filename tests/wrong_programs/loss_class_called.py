# raises: TypeError
# torch: RuntimeError
# op: CrossEntropyLoss
# hint: make the loss first: CrossEntropyLoss()(x, target)

import lucidlite as torch
from lucidlite import nn

model = nn.Linear(4, 2)
scores, target = model(torch.rand(3, 4)), torch.tensor([0, 1, 1])
loss = nn.CrossEntropyLoss(scores, target)  # <- here
loss.backward()
