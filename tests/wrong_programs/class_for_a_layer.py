# raises: TypeError
# op: lucidlite.nn.rectifier.ReLU is not a Module subclass
# hint: the class itself: ReLU(...) makes a layer of it

from lucidlite import nn

model = nn.Sequential(nn.Linear(3, 8), nn.ReLU, nn.Linear(8, 2))  # <- here
