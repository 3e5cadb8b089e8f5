"""Small things to train, for the tests of the trainer and the command line."""

from __future__ import annotations

import random

import numpy as np

import lucidlite as torch
from lucidlite import cli, nn
from lucidlite.optim.lr_scheduler import OneCycleLR
from lucidlite.training import Trainer
from lucidlite.training.progress import Progress
from lucidlite.utils.data import DataLoader, Dataset

EPOCHS, BATCH, COUNT = 3, 8, 44  # 6 batches, the last of them short


class Net(nn.Module):
    """A convolution, batch norm and dropout: statistics and random numbers to be resumed."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(4 * 4 * 4, num_classes)

    def forward(self, x):
        return self.classifier(self.dropout(self.features(x).flatten(1)))


class Blobs(Dataset):
    """8 x 8 images, brighter in the rows of their class, with fresh noise at every reading."""

    def __init__(self, count=COUNT, noise=0.3):
        self.count, self.noise = count, noise

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = torch.zeros(1, 8, 8)
        label = index % 3
        image[:, 2 * label : 2 * label + 3] = 1.0
        return image + self.noise * torch.randn(1, 8, 8), label


class DrawnElsewhere(Blobs):
    """Noise from NumPy's global generator, brightness from Python's."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        noise = np.random.standard_normal((1, 8, 8)).astype(np.float32)
        return image * random.uniform(0.8, 1.2) + 0.1 * torch.from_numpy(noise), label


def trainer(
    folder=None, seed=5, workers=0, loader_generator=False, data=Blobs, shuffled_test=False,
    **options,
):  # fmt: skip
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    model = Net()
    generator = torch.Generator().manual_seed(9) if loader_generator else None
    train = DataLoader(
        data(), batch_size=BATCH, shuffle=True, num_workers=workers, generator=generator
    )
    own = torch.Generator().manual_seed(8) if shuffled_test else None
    test = DataLoader(data(20, noise=0.0), batch_size=7, shuffle=shuffled_test, generator=own)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = OneCycleLR(optimizer, max_lr=0.01, total_steps=EPOCHS * len(train))
    options = {"progress": Progress(quiet=True), "epochs": EPOCHS, **options}
    return Trainer(model, train, test, optimizer, scheduler=scheduler, folder=folder, **options)


def outcome(trainer):
    """Everything a run ends with that must not depend on interruptions, as bytes and numbers."""
    state = trainer.model.state_dict()
    arrays = {name: value.cpu().numpy().tobytes() for name, value in state.items()}
    for number, state in trainer.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            arrays[f"{number}.{name}"] = value.cpu().numpy().tobytes()
    rows = [row[:6] for row in trainer.history]  # not the times
    rates = trainer.scheduler.get_last_lr()
    return arrays, rows, rates, torch.get_rng_state(), trainer.best[:6]


def write_image(path, label, seed):
    """A PGM of 8 x 8 pixels with a bright band at its class's height."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (8, 8), dtype=np.uint8)
    image[2 * label : 2 * label + 3] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P5 8 8 255\n" + image.tobytes())


def write_folder(root, train=12, test=4):
    """An image folder of three classes."""
    for part, count in (("train", train), ("test", test)):
        for label, name in enumerate(("high", "low", "middle")):
            for number in range(count):
                seed = hash((part == "train", label, number)) % 2**32
                write_image(root / part / name / f"{number:02}.pgm", label, seed)
    return root


TINY_MODEL = '''
from lucidlite import nn


class Tiny(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(4 * 8 * 8, num_classes)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.conv(x)).relu().flatten(1)))
'''


def here(monkeypatch, capsys, folder, *args):
    """(exit code, stdout, stderr) of a command in this process."""
    monkeypatch.chdir(folder)
    try:
        code = cli.main(args)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err
