# raises: RuntimeError
# op: Error(s) in loading state_dict for Linear
# hint: a checkpoint with more in it: load_state_dict(checkpoint['model'])

from lucidlite import nn

model = nn.Linear(3, 2)
checkpoint = {"epoch": 7, "model": model.state_dict(), "loss": 0.25}
model.load_state_dict(checkpoint)  # <- here
