"""Train a small CNN on MNIST: a PyTorch tutorial in which only the imports differ."""

import argparse

import lucidlite as torch
import lucidlite.nn as nn
import lucidlite.nn.functional as F
from lucidlite.datasets import MNIST, MNISTSample, transforms
from lucidlite.utils.data import DataLoader, Subset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", default="data", help="where MNIST is; without it, the sample is used")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--quick", action="store_true", help="a few batches, to see that it runs")
args = parser.parse_args()

torch.manual_seed(1)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.1307, 0.3081)])
try:
    train_data = MNIST(args.data, train=True, transform=transform)
    test_data = MNIST(args.data, train=False, transform=transform)
except RuntimeError:
    train_data, test_data = MNISTSample(True, transform), MNISTSample(False, transform)
if args.quick:
    train_data, test_data = Subset(train_data, range(256)), Subset(test_data, range(128))
train_loader = DataLoader(train_data, batch_size=64, shuffle=True)
test_loader = DataLoader(test_data, batch_size=256)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32 * 7 * 7, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.view(x.size(0), -1))


model = Net().to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(1 if args.quick else args.epochs):
    model.train()
    for images, labels in train_loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    model.eval()
    correct = 0
    with torch.no_grad():
        for images, labels in test_loader:
            output = model(images.to(device))
            correct += (output.argmax(dim=1) == labels.to(device)).sum().item()
    accuracy = correct / len(test_data)
    print(f"epoch {epoch + 1}: last loss {loss.item():.4f}, test accuracy {accuracy:.1%}")
