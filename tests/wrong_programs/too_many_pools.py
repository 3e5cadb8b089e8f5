# raises: RuntimeError
# op: max_pool2d
# module: Deep.stages.3.1: MaxPool2d(kernel_size=2)
# hint: only 1 x 1 is left of the image: fewer pools

import lucidlite as torch
from lucidlite import nn


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(inputs, 4, 3, padding=1), nn.MaxPool2d(2))
                for inputs in (1, 4, 4, 4)
            )
        )

    def forward(self, x):
        return self.stages(x).flatten(1)  # <- here


Deep()(torch.rand(2, 1, 8, 8))
