# raises: RuntimeError
# op: Error(s) in loading state_dict for Net
# hint: saved from a wrapped model: {k.removeprefix('module.'): v

from lucidlite import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x)


class Wrapped(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module


saved = Wrapped(Net()).state_dict()
Net().load_state_dict(saved)  # <- here
