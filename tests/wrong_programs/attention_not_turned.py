# raises: RuntimeError
# op: matmul
# module: Attention(size=16)
# hint: turned around? the second as b.mT is (2, 16, 10)

import lucidlite as torch
from lucidlite import nn


class Attention(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))

    def forward(self, x):
        q, k, v = self.query(x), self.key(x), self.value(x)
        weights = (q @ k / self.size**0.5).softmax(-1)  # <- here
        return weights @ v


Attention(16)(torch.rand(2, 10, 16))
