# raises: RuntimeError
# op: binary_cross_entropy
# module: BCELoss
# hint: scores before a sigmoid? binary_cross_entropy_with_logits

import lucidlite as torch
from lucidlite import nn

torch.manual_seed(0)
model = nn.Linear(3, 1)
target = (torch.rand(16, 1) > 0.5).float()
loss = nn.BCELoss()(model(10 * torch.randn(16, 3)), target)  # <- here
loss.backward()
