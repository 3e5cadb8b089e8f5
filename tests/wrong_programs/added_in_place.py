# raises: RuntimeError
# op: backward
# module: Block
# hint: out of place instead: x = x + 1 for x += 1

import lucidlite as torch
from lucidlite import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)

    def forward(self, x):
        y = self.first(x).tanh()  # <- recorded
        y += self.second(x)  # <- written
        return y


block = Block()
out = block(torch.rand(5, 6))
out.pow(2).sum().backward()  # <- here
