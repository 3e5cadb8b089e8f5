# raises: RuntimeError
# op: linear
# module: CNN.classifier: Linear(576 -> 10)
# hint: flatten first? x.flatten(1) makes it (8, 576)

import lucidlite as torch
from lucidlite import nn


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Linear(16 * 6 * 6, 10)

    def forward(self, x):
        x = self.features(x)
        return self.classifier(x)  # <- here


model = CNN()
images, labels = torch.rand(8, 1, 14, 14), torch.randint(0, 10, (8,))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer.zero_grad()
loss = nn.CrossEntropyLoss()(model(images), labels)
loss.backward()
optimizer.step()
