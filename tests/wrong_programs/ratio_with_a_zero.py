# raises: RuntimeError
# op: detect_anomaly
# node: MulBackward0' returned nan values
# says: the forward pass had them before: the divisor had 1 of 3 values at 0
# hint: division by 0: add 1e-8 to the divisor

import lucidlite as torch

counts = torch.tensor([4.0, 0.0, 2.0])
x = torch.tensor([1.0, 0.0, 3.0], requires_grad=True)
with torch.autograd.detect_anomaly():
    share = x / counts  # <- origin
    weighted = share * x  # <- recorded
    weighted.sum().backward()  # <- here
