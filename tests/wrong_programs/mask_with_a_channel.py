# raises: RuntimeError
# op: cross_entropy
# module: CrossEntropyLoss
# hint: a channel axis? target.squeeze(1) makes it (2, 16, 12)

import lucidlite as torch
from lucidlite import nn

segment = nn.Conv2d(3, 4, 3, padding=1)
photos, masks = torch.rand(2, 3, 16, 12), torch.randint(0, 4, (2, 1, 16, 12))
loss = nn.CrossEntropyLoss()(segment(photos), masks)  # <- here
