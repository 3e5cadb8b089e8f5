"""Train ResNet8 on CIFAR-10 with random crops and flips, SGD and a cosine schedule.

Put cifar-10-python.tar.gz (or the binary version) into --data, or pass --download. --fake-data
takes coloured noise instead, to see that it runs.
"""

import argparse
import time

import lucidlite as torch
import lucidlite.nn as nn
from lucidlite.datasets import CIFAR10, transforms
from lucidlite.models import ResNet8
from lucidlite.utils.data import DataLoader, Dataset, Subset


class FakeData(Dataset):
    """Noise around one colour per class, as 32 x 32 arrays like CIFAR's."""

    def __init__(self, size, transform):
        self.size, self.transform = size, transform
        self.colors = torch.rand(10, 3, generator=torch.Generator().manual_seed(3)) * 128

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        label = index % 10
        noise = torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(index)) * 127
        return self.transform((noise + self.colors[label]).to(torch.uint8).numpy()), label


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data")
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--fake-data", action="store_true")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="a few batches")
    args = parser.parse_args()

    torch.manual_seed(0)
    torch.cuda.manual_seed_all(0)
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    normalize = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    augmented = transforms.Compose([
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        normalize,
    ])
    plain = transforms.Compose([transforms.ToTensor(), normalize])
    if args.fake_data:
        train_data, test_data = FakeData(2000, augmented), FakeData(500, plain)
    else:
        train_data = CIFAR10(args.data, True, augmented, download=args.download)
        test_data = CIFAR10(args.data, False, plain)
    if args.quick:
        train_data, test_data = Subset(train_data, range(192)), Subset(test_data, range(64))
        args.epochs = 2
    train_loader = DataLoader(
        train_data, batch_size=64, shuffle=True, num_workers=2, pin_memory=True, drop_last=True
    )
    test_loader = DataLoader(test_data, batch_size=250, num_workers=2, pin_memory=True)

    model = ResNet8().to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)

    for epoch in range(args.epochs):
        began = time.perf_counter()
        model.train()
        for images, labels in train_loader:
            images, labels = images.to(device, non_blocking=True), labels.to(device)
            loss = criterion(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        scheduler.step()

        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in test_loader:
                predicted = model(images.to(device)).argmax(1)
                correct += int((predicted == labels.to(device)).sum())
        print(
            f"epoch {epoch + 1}: loss {loss.item():.3f}, "
            f"test accuracy {correct / len(test_data):.1%}, {time.perf_counter() - began:.1f} s"
        )


if __name__ == "__main__":
    main()
