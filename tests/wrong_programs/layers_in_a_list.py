# raises: ValueError
# op: optimizer
# hint: is no layer an attribute of the model (lists need nn.ModuleList)

import lucidlite as torch
from lucidlite import nn


class Deep(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.layers = [nn.Linear(4, 4) for _ in range(depth)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return x


model = Deep(3)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)  # <- here
