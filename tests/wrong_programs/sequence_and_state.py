# raises: TypeError
# op: linear
# module: Tagger.head: Linear(8 -> 5)
# hint: a tuple of tensors: unpack it

import lucidlite as torch
from lucidlite import nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, words):
        states = self.lstm(words)
        return self.head(states)  # <- here


Tagger()(torch.rand(2, 7, 4))
