# raises: RuntimeError
# op: backward
# hint: this is inside no_grad()

import lucidlite as torch
from lucidlite import nn

model = nn.Linear(4, 2)
with torch.no_grad():
    accuracy = (model(torch.rand(5, 4)).argmax(1) == 0).float().mean()
    loss = model(torch.rand(5, 4)).square().mean()
    loss.backward()  # <- here
