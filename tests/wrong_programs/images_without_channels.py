# raises: RuntimeError
# op: conv2d
# module: Sequential.0: Conv2d(1 -> 8, kernel_size=3)
# hint: no channel axis? x.unsqueeze(1) makes it (64, 1, 28, 28)

import lucidlite as torch
from lucidlite import nn
from lucidlite.utils.data import DataLoader, TensorDataset

digits = TensorDataset(torch.rand(128, 28, 28), torch.randint(0, 10, (128,)))
model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 26 * 26, 10))
for images, labels in DataLoader(digits, batch_size=64, shuffle=True):
    scores = model(images)  # <- here
    nn.CrossEntropyLoss()(scores, labels).backward()
