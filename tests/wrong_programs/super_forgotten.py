# raises: AttributeError
# op: cannot assign module before Module.__init__() call
# hint: super().__init__() first in __init__

from lucidlite import nn


class Net(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(3, 2)  # <- here


Net()
