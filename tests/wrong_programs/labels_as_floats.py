# raises: RuntimeError
# op: cross_entropy
# module: CrossEntropyLoss
# hint: classes are whole numbers: target.long()

import lucidlite as torch
from lucidlite import nn

model = nn.Linear(10, 4)
data = torch.rand(6, 10)
labels = torch.tensor([0.0, 1.0, 2.0, 3.0, 1.0, 0.0])  # read from a file of floats
loss = nn.CrossEntropyLoss()(model(data), labels)  # <- here
loss.backward()
