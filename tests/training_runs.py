"""The same training on lucidlite and PyTorch, from PyTorch's initial weights."""

from __future__ import annotations

import numpy as np
from parity import numpy_of
from seed_examples import cnn_with_gap


def normalized_net(lib):
    """Conv-BatchNorm-ReLU-MaxPool twice, then Linear: images of 3 x 12 x 12, 5 classes.

    Without biases before BatchNorm: their gradients are rounding, which Adam would scale up.
    """
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(),
        nn.Linear(16 * 3 * 3, 5),
    )


def gap_net(lib):
    return cnn_with_gap(lib)(num_classes=5)


def initial_weights(build, torch, seed=0):
    """A state_dict as PyTorch makes it, in NumPy arrays."""
    torch.manual_seed(seed)
    return {name: numpy_of(t).copy() for name, t in build(torch).state_dict().items()}


def batches(count, batch, size, seed=0):
    """``count`` batches of labelled noise with a little signal: images brighter by their label."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        labels = rng.integers(0, 5, batch)
        images = rng.standard_normal((batch, 3, size, size), dtype=np.float32)
        yield images + 0.2 * labels[:, None, None, None].astype(np.float32), labels


def train(lib, build, weights, data, optimizer, scheduler=None):
    """(losses, learning rates, the model) of a run; ``scheduler(lib, optimizer)`` makes one."""
    model = build(lib)
    model.load_state_dict({name: lib.from_numpy(w.copy()) for name, w in weights.items()})
    optimizer = optimizer(lib, model.parameters())
    schedule = None if scheduler is None else scheduler(lib, optimizer)
    criterion = lib.nn.CrossEntropyLoss()
    losses, rates = [], []
    for images, labels in data:
        optimizer.zero_grad()
        loss = criterion(model(lib.from_numpy(images)), lib.from_numpy(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        if schedule is not None:
            plateau = type(schedule).__name__ == "ReduceLROnPlateau"
            schedule.step(losses[-1]) if plateau else schedule.step()
    return losses, rates, model


def assert_same_training(
    torch, lucidlite, build, size, optimizer, scheduler=None, steps=20, astray=0.0
):
    """Losses within 1e-4 of PyTorch's, and at the end parameters and running statistics close.

    ``astray`` is the part of a tensor's elements that need not be.
    """
    weights = initial_weights(build, torch)
    runs = []
    for lib in (torch, lucidlite):
        data = batches(steps, 16, size)
        runs.append(train(lib, build, weights, data, optimizer, scheduler))
    (losses, rates, model), (our_losses, our_rates, our_model) = runs
    np.testing.assert_allclose(our_losses, losses, rtol=1e-4)
    np.testing.assert_allclose(our_rates, rates, rtol=1e-12)
    ours, theirs = our_model.state_dict(), model.state_dict()
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        mine, want = numpy_of(ours[name]), numpy_of(value)
        if np.mean(~np.isclose(mine, want, rtol=2e-3, atol=2e-4)) > astray:
            np.testing.assert_allclose(mine, want, rtol=2e-3, atol=2e-4, err_msg=name)
    return losses, rates
