# raises: RuntimeError
# op: cross_entropy
# module: CrossEntropyLoss
# hint: one column? target.squeeze(1) makes it (4,)

import lucidlite as torch
from lucidlite import nn

table = torch.tensor([[5.1, 3.5, 0.0], [4.9, 3.0, 1.0], [6.2, 3.4, 1.0], [5.9, 3.0, 0.0]])
features, labels = table[:, :2], table[:, 2:].long()
model = nn.Linear(2, 2)
loss = nn.CrossEntropyLoss()(model(features), labels)  # <- here
