"""The tape pages that the documentation shows: made anew by each build."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import lucidlite
from lucidlite import models
from lucidlite.nn import functional as F


def cnn_with_gap() -> str:
    """One step of CNNWithGAP on two digits of the sample, as it would be trained."""
    from lucidlite import viz
    from lucidlite.datasets import MNISTSample, transforms

    lucidlite.manual_seed(0)
    model = models.CNNWithGAP()
    show = transforms.Compose(
        [transforms.Pad(2), transforms.Grayscale(3), transforms.ToTensor()]
    )
    digits = MNISTSample(train=True, transform=show)
    images = lucidlite.stack([digits[i][0] for i in range(2)])
    labels = lucidlite.tensor([int(digits[i][1]) for i in range(2)])
    loss = F.cross_entropy(model(images), labels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tape.html")
        viz.tape(loss, path, title="One step of CNNWithGAP")
        return path.read_text(encoding="utf-8")


TAPES = {"cnn-with-gap": cnn_with_gap}

if __name__ == "__main__":
    print(TAPES[sys.argv[1]]())
