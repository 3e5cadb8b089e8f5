# raises: RuntimeError
# op: sub_
# hint: -

import lucidlite as torch

x, y = torch.rand(8, 2), torch.rand(8, 1)
w = torch.zeros(2, 1, requires_grad=True)
for _ in range(2):
    loss = ((x @ w - y) ** 2).mean()
    loss.backward()
    w -= 0.1 * w.grad  # <- here
