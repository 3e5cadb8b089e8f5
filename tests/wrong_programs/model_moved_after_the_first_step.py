# raises: RuntimeError
# needs: cuda
# op: step: expected all tensors to be on the same device
# hint: model.to(device) first, then the optimizer

import lucidlite as torch
from lucidlite import nn

model = nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for device in (torch.device("cpu"), torch.device("cuda")):
    model.to(device)
    x = torch.ones(4, 3).to(device)
    optimizer.zero_grad()
    model(x).sum().backward()
    optimizer.step()  # <- here
