# raises: RuntimeError
# op: conv2d
# module: Sequential.0: Conv2d(1 -> 8, kernel_size=3)
# hint: flattened images? x.reshape(-1, 1, 28, 28)

import lucidlite as torch
from lucidlite import nn

rows_of_a_csv_file = torch.rand(16, 784)
model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 26 * 26, 10))
model(rows_of_a_csv_file)  # <- here
