# raises: RuntimeError
# op: backward
# module: Model.rnn: RNN(4 -> 8, batch_first=True)
# hint: a hidden state kept from the batch before (h = h.detach())

import lucidlite as torch
from lucidlite import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 8, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x, hidden):
        out, hidden = self.rnn(x, hidden)  # <- recorded
        return self.head(out), hidden


torch.manual_seed(0)
model, hidden = Model(), torch.zeros(1, 2, 8)
optimizer = torch.optim.Adam(model.parameters())
for _ in range(2):
    piece = torch.rand(2, 5, 4)
    guess, hidden = model(piece, hidden)
    optimizer.zero_grad()
    (guess - piece).square().mean().backward()  # <- here
    optimizer.step()
