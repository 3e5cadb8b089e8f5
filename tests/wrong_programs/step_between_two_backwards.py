# raises: RuntimeError
# op: backward
# module: Sequential.2: Linear(8 -> 1)
# hint: a parameter changed between forward and backward

import lucidlite as torch
from lucidlite import nn

torch.manual_seed(0)
critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
values = critic(torch.rand(6, 4))  # <- recorded
first, second = values.mean(), values.square().mean()
first.backward(retain_graph=True)
optimizer.step()
optimizer.zero_grad()
second.backward()  # <- here
