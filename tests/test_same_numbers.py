"""One seed, one script: the CPU and a GPU (or CuPy's stand-in) give the same numbers."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import lucidlite
from lucidlite import nn, optim
from lucidlite.backends import cudnn
from lucidlite.utils.data import DataLoader, RandomSampler, TensorDataset, random_split

F = nn.functional
DEVICES = ("cpu", "cuda")


@pytest.fixture(autouse=True)
def strict_float32(monkeypatch):
    """No TF32: its rounding, about 1e-3, would hide what is looked for here."""
    monkeypatch.setattr(cudnn, "allow_tf32", False)


def host(tensor):
    return tensor.detach().cpu().numpy()


def both(draw, seed=3):
    """What ``draw(device)`` gives on each device after the same seed, and the draw after it."""
    found = []
    for device in DEVICES:
        lucidlite.manual_seed(seed)
        values = [host(value) for value in draw(device)]
        found.append([*values, host(lucidlite.rand(3))])
    return found


def assert_same(draw):
    for a, b in zip(*both(draw), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


# -- initial weights -------------------------------------------------------------------------------

MODELS = ["CNNWithGAP", "LeNet", "ResNet8"]


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("name", MODELS)
def test_initial_weights_of_a_model(name):
    def draw(device):
        model = getattr(lucidlite.models, name)().to(device)
        assert all(p.device.type == device for p in model.parameters())
        return [*model.parameters(), *model.buffers()]

    assert_same(draw)


LAYERS = {
    "linear": lambda device: nn.Linear(5, 3, device=device),
    "conv": lambda device: nn.Conv2d(4, 6, 3, groups=2, device=device),
    "norm": lambda device: nn.BatchNorm2d(4, device=device),
    "double": lambda device: nn.Linear(5, 3, device=device, dtype=lucidlite.float64),
}


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_initial_weights_of_a_layer_made_on_the_device(make):
    assert_same(lambda device: list(make(device).state_dict().values()))


INITS = {
    "uniform_": {}, "normal_": {}, "trunc_normal_": {"std": 0.5}, "xavier_uniform_": {},
    "xavier_normal_": {}, "kaiming_uniform_": {}, "kaiming_normal_": {}, "orthogonal_": {},
    "sparse_": {"sparsity": 0.5},
}  # fmt: skip


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("name", INITS)
def test_init_functions(name):
    init, options = getattr(nn.init, name), INITS[name]
    assert_same(lambda device: [init(lucidlite.empty(6, 4, device=device), **options)])


# -- shuffles --------------------------------------------------------------------------------------


def order_of_epochs(device, generator=None, epochs=2):
    """The samples of two shuffled epochs in the order they come, from a dataset on ``device``."""
    numbers = lucidlite.arange(23).to(device)
    loader = DataLoader(TensorDataset(numbers), batch_size=4, shuffle=True, generator=generator)
    return [batch for _ in range(epochs) for (batch,) in loader]


@pytest.mark.usefixtures("cuda")
def test_shuffles():
    assert_same(order_of_epochs)
    orders = order_of_epochs("cuda")
    first, second = (np.concatenate([host(b) for b in orders[i : i + 6]]) for i in (0, 6))
    assert sorted(first) == sorted(second) == list(range(23))
    assert first.tolist() != second.tolist()


@pytest.mark.usefixtures("cuda")
def test_shuffles_of_a_generator():
    def draw(device):
        return order_of_epochs(device, lucidlite.Generator().manual_seed(9))

    assert_same(draw)


@pytest.mark.usefixtures("cuda")
def test_samplers_and_splits():
    def draw(device):
        numbers = TensorDataset(lucidlite.arange(12).to(device))
        parts = random_split(numbers, [5, 7])
        sampler = RandomSampler(numbers, replacement=True, num_samples=9)
        return [parts[0][i][0] for i in range(5)] + [lucidlite.tensor(list(sampler))]

    assert_same(draw)


@pytest.mark.usefixtures("cuda")
def test_randperm_indexes_on_the_device():
    def draw(device):
        x = lucidlite.arange(10).to(device) * 1.5
        return [x[lucidlite.randperm(10, device=device)]]

    assert_same(draw)


# -- dropout ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 13), (2, 3, 4, 5), (0, 4), (2, 1, 3, 2, 2)])
def test_dropout_masks(shape, p, dtype):
    def draw(device):
        x = lucidlite.ones(shape, dtype=getattr(lucidlite, dtype), device=device)
        x.requires_grad_()
        out = F.dropout(F.dropout(x, p), p)
        out.backward(lucidlite.ones_like(out))
        return [out, x.grad]

    assert_same(draw)


@pytest.mark.usefixtures("cuda")
def test_dropout_masks_of_a_large_tensor():
    """More elements than a block of threads has lanes, and an odd number of them."""
    assert_same(lambda device: [F.dropout(lucidlite.ones(41, 1003, device=device), 0.3)])


@pytest.mark.usefixtures("cuda")
def test_dropout_masks_in_a_network():
    """The mask goes by the logical element whatever order its layer left it in memory."""

    def draw(device):
        x = lucidlite.ones(2, 3, 5, 4, device=device)
        w = lucidlite.eye(3, device=device).reshape(3, 3, 1, 1)
        image = F.dropout(F.conv2d(x, w), 0.5)
        return [image, F.dropout(image.transpose(1, 3), 0.5), F.dropout(image[:, 1:], 0.5)]

    assert_same(draw)


# -- a run -----------------------------------------------------------------------------------------


class Net(nn.Module):
    """A layer of every kind, small enough for twenty steps."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
            nn.AvgPool2d(2), nn.Conv2d(12, 12, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip
        self.drop = nn.Dropout(0.25)
        self.classifier = nn.Linear(12, 4)

    def forward(self, x):
        return self.classifier(self.drop(self.features(x).flatten(1)))


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
}


def samples(count=40):
    """Images whose class shows in their colours, with noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, count)
    images = rng.standard_normal((count, 3, 8, 8)).astype(np.float32)
    images[np.arange(count), labels % 3] += 1.0 + (labels == 3)[:, None, None]
    return lucidlite.from_numpy(images), lucidlite.from_numpy(labels)


def run(device, make, steps=20):
    """The losses of a training run from one seed, and the model it leaves."""
    lucidlite.manual_seed(1)
    model = Net().to(device)
    optimizer = make(model.parameters())
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    data = TensorDataset(*[t.to(device) for t in samples()])
    loader = DataLoader(data, batch_size=8, shuffle=True)
    losses = []
    while len(losses) < steps:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels, label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss)
    return np.array([loss.item() for loss in losses]), model


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_twenty_steps(make):
    (expected, there), (got, here) = (run(device, make) for device in DEVICES)
    assert len(expected) == 20
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert expected[-5:].mean() < 0.9 * expected[:5].mean()
    for (name, a), b in zip(here.state_dict().items(), there.state_dict().values(), strict=True):
        np.testing.assert_allclose(host(a), host(b), rtol=5e-3, atol=5e-4, err_msg=name)


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("name", ["CNNWithGAP", "ResNet8"])
def test_steps_of_a_model(name):
    lucidlite.manual_seed(2)
    start = getattr(lucidlite.models, name)()
    images = lucidlite.randn(4, 3, 8, 8)
    losses = {}
    for device in DEVICES:
        model = copy.deepcopy(start).to(device)
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        x, target = images.to(device), lucidlite.arange(4, device=device)
        losses[device] = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
            losses[device].append(loss.item())
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-4)


@pytest.mark.usefixtures("cuda")
def test_the_state_of_the_generator_moves_alike():
    """A run leaves the generator at the same place: what comes after it is the same too."""
    places = []
    for device in DEVICES:
        run(device, OPTIMIZERS["sgd"], steps=5)
        places.append(lucidlite.get_rng_state())
    assert places[0] == places[1]
