# raises: RuntimeError
# op: detect_anomaly
# node: SqrtBackward0' returned inf values in its 0th output, got 1 inf of 2
# says: the result of sqrt had 1 of 2 values at 0
# hint: at 0 a root's slope is infinite

import lucidlite as torch
from lucidlite import nn

layer = nn.Linear(2, 2, bias=False)
with torch.autograd.detect_anomaly():
    a = layer(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    b = layer(torch.tensor([[1.0, 2.0], [4.0, 4.0]]))
    distance = ((a - b) ** 2).sum(1).sqrt()  # <- recorded
    distance.sum().backward()  # <- here
