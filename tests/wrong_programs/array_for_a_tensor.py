# raises: TypeError
# op: linear
# module: Sequential.0: Linear(4 -> 8)
# hint: lucidlite.from_numpy(x)

import numpy as np

from lucidlite import nn

flowers = np.ones((6, 4), dtype=np.float32)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
model(flowers)  # <- here
