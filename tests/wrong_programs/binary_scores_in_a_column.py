# raises: ValueError
# op: binary_cross_entropy_with_logits
# module: BCEWithLogitsLoss
# hint: x.squeeze(1) makes it (8,)

import lucidlite as torch
from lucidlite import nn

model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
is_spam = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
criterion = nn.BCEWithLogitsLoss()
criterion(model(torch.rand(8, 3)), is_spam).backward()  # <- here
