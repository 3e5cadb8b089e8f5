# raises: RuntimeError
# op: backward
# module: MSELoss
# hint: a total of losses (total += loss.item())

import lucidlite as torch
from lucidlite import nn

torch.manual_seed(0)
model, criterion = nn.Linear(3, 1), nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
total = 0
for _ in range(3):
    x, y = torch.rand(4, 3), torch.rand(4, 1)
    loss = criterion(model(x), y)  # <- recorded
    total = total + loss
    optimizer.zero_grad()
    total.backward()  # <- here
    optimizer.step()
