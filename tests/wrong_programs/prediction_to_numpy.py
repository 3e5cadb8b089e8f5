# raises: RuntimeError
# op: numpy
# hint: x.detach().numpy() for the values

import numpy as np

import lucidlite as torch
from lucidlite import nn

model = nn.Linear(1, 1)
xs = torch.linspace(0, 1, 5).unsqueeze(1)
curve = np.asarray(model(xs).numpy())  # <- here
print(curve.max())
