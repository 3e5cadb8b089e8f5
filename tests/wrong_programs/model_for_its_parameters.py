# raises: TypeError
# op: optimizer can only optimize Tensors, but one of the params is Linear
# hint: model.parameters()

import lucidlite as torch
from lucidlite import nn

model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
optimizer = torch.optim.SGD(model, lr=0.1)  # <- here
