# raises: RuntimeError
# op: sub
# hint: b.unsqueeze(1) makes b (6, 1); keepdim=True where it was reduced

import lucidlite as torch


def centred(rows):
    means = rows.mean(1)
    return rows - means  # <- here


x = torch.rand(6, 4)
print(centred(x).std())
