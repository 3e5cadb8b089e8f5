"""The documented CNN with global average pooling: its shapes, then a few training steps.

The class stands as its tutorial prints it; only the import lines differ.
"""
# ruff: noqa: UP008

import lucidlite as torch
import lucidlite.nn as nn


class CNNWithGAP(nn.Module):
    def __init__ (self, num_classes=10):
        super(CNNWithGAP,self). __init__ ()
        self.features= nn.Sequential(
            nn.Conv2d(3,64,3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64,128,3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(128,256,3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        # Global average pooling
        self.avgpool= nn.AdaptiveAvgPool2d(1)
        self.classifier= nn.Linear(256, num_classes)
    def forward(self, x):
        x =self.features(x)
        x =self.avgpool(x)
        x = x.view(x.size(0), -1)
        x =self.classifier(x)
        return x


if __name__ == "__main__":
    model = CNNWithGAP()
    x = torch.randn(4,3,32,32)
    output = model(x)
    print("Input shape:", x.shape)
    print("Output shape:", output.shape)
    print("\nFeature maps are globally pooled into a single vector")

    # A few steps on these four images: the loss falls.
    target = torch.tensor([0, 1, 2, 3])
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(5):
        loss = criterion(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.item():.4f}")
