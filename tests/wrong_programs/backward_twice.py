# raises: RuntimeError
# op: backward
# node: PowBackward0
# hint: backward() twice on one loss

import lucidlite as torch
from lucidlite import nn

model = nn.Linear(3, 1)
x = torch.rand(4, 3)
loss = (model(x) ** 2).mean()  # <- recorded
loss.backward()
print("again, for the second optimizer")
loss.backward()  # <- here
