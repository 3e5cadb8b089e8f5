# raises: RuntimeError
# op: detect_anomaly
# module: Linear(3 -> 1)
# hint: a step before this one made them: a lower learning rate

import lucidlite as torch
from lucidlite import nn

torch.manual_seed(0)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=1e25)
x, y = torch.rand(8, 3), torch.rand(8, 1)
with torch.autograd.detect_anomaly():
    for _ in range(20):
        loss = nn.functional.mse_loss(model(x), y)  # <- recorded
        optimizer.zero_grad()
        loss.backward()  # <- here
        optimizer.step()
