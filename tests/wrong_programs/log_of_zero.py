# raises: RuntimeError
# op: detect_anomaly
# node: MulBackward0' returned inf values in its 0th output, got 2 inf of 4
# module: Surprise
# says: the input of log had 2 of 4 values at or below 0
# hint: log of 0 is -inf

import lucidlite as torch
from lucidlite import nn


class Surprise(nn.Module):
    def forward(self, p):
        return -(p * p.log()).sum()  # <- recorded


p = torch.tensor([0.5, 0.5, 0.0, 0.0], requires_grad=True)
surprise = Surprise()
with torch.autograd.detect_anomaly():
    entropy = surprise(p)
    entropy.backward()  # <- here
