# raises: NotImplementedError
# op: Module [ModuleList] is missing the required "forward" function
# module: Tower.layers: ModuleList
# hint: it only holds modules: call each in a loop

import lucidlite as torch
from lucidlite import nn


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x):
        return self.layers(x)  # <- here


Tower()(torch.rand(2, 4))
