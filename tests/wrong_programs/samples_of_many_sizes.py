# raises: RuntimeError
# op: stack
# hint: one size for all: a resize or crop in the transform
# cause: yes

import lucidlite as torch
from lucidlite.utils.data import DataLoader, Dataset


class Photos(Dataset):
    sizes = ((24, 32), (24, 32), (32, 24), (24, 24))

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return torch.rand(3, *self.sizes[index]), index % 2


for images, _ in DataLoader(Photos(), batch_size=4):  # <- here
    print(images.shape)
