# raises: RuntimeError
# op: hook
# node: in a hook on the gradient of TanhBackward0
# hint: -

import lucidlite as torch
from lucidlite import nn

layer = nn.Linear(4, 4)
hidden = layer(torch.rand(6, 4)).tanh()  # <- recorded
hidden.register_hook(lambda grad: grad.mean(0))
hidden.sum().backward()  # <- here
