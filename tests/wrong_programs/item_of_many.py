# raises: RuntimeError
# op: item
# hint: x.mean() or x.sum() first

import lucidlite as torch
from lucidlite.nn import functional as F

prediction, target = torch.rand(4), torch.rand(4)
errors = F.mse_loss(prediction, target, reduction="none")
print(f"loss {errors.item():.3f}")  # <- here
