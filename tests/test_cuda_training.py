"""Whole runs on a GPU (or the stand-in): the command line, checkpoints across devices."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import lucidlite
from lucidlite import cli, nn, optim
from lucidlite.training import Checkpoint, Progress, Trainer
from lucidlite.training.build import make_loader
from lucidlite.training.checkpoint import load_weights
from lucidlite.training.settings import Settings
from lucidlite.training.sources import find_source
from lucidlite.utils.data import DataLoader, TensorDataset

OPTIONS = ("--epochs", "2", "--limit", "24", "--batch-size", "8", "--model", "lenet", "--no-plots",
           "--quiet")  # fmt: skip


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs a command of the command line in a folder of its own; (what it printed, the folder)."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        assert cli.main([*args, "--debug"]) == 0
        return capsys.readouterr().out

    return run


def metrics(folder):
    with open(f"{folder}/metrics.csv", newline="") as file:
        return [[float(row[k]) for k in ("train_loss", "test_loss", "test_accuracy", "lr")]
                for row in csv.DictReader(file)]  # fmt: skip


def test_train_eval_predict(command, cuda):
    for device in ("cpu", cuda):
        out = command("train", *OPTIONS, "--device", device, "--out", device)
        assert f" parameters) on {device}\n24 training and 24 test images" in out
    # the same images in the same order, and kernels that round otherwise
    np.testing.assert_allclose(metrics(cuda), metrics("cpu"), rtol=2e-3)
    weights = load_weights("cuda/best.npz")
    assert not any(value.is_cuda for value in weights.values())
    results = {command("eval", cuda, "--device", device) for device in ("cpu", cuda)}
    assert len(results) == 1
    assert "24 test images" in results.pop()
    pixels = find_source("sample").open(False, None)[0][0]
    with open("digit.pgm", "wb") as file:
        file.write(b"P5 28 28 255\n" + pixels.tobytes())
    assert "digit.pgm" in command("predict", "digit.pgm", "--run", cuda, "--device", cuda)


def test_the_default_device_is_the_gpu(command, cuda):
    lucidlite.cuda.is_available()
    out = command("train", *OPTIONS[2:], "--epochs", "1")
    assert f" on {cuda}\n" in out


def test_augmented_training_data_lie_on_the_device(cuda, monkeypatch):
    monkeypatch.setattr("lucidlite.training.sources._GREY", {"sample": (0.13, 0.31)})
    settings = Settings("sample", "lenet", (1, 28, 28), [], [0.13], [0.31], 1, 8, 0.1, "sgd", 0, 20,
                        "data")  # fmt: skip
    source = find_source("sample")._replace(augment=True)
    batches = {}
    for device in ("cpu", cuda):
        lucidlite.manual_seed(0)
        loader = make_loader(source, settings, True, 2, device)
        batches[device] = [(x.cpu().numpy(), y.cpu().numpy()) for x, y in loader]
        assert type(loader.dataset).__name__ == ("Subset" if device == "cpu" else "OnDevice")
    for (a, b), (x, y) in zip(batches["cpu"], batches[cuda], strict=True):
        np.testing.assert_array_equal(a, x)
        np.testing.assert_array_equal(b, y)


# -- from one device to another --------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.drop(self.norm(self.conv(x)).relu().mean((2, 3))))


def data():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((20, 1, 6, 6)).astype(np.float32)
    return TensorDataset(lucidlite.from_numpy(images), lucidlite.arange(20) % 3)


def trainer(device, folder, epochs, make):
    lucidlite.manual_seed(5)
    model = Net().to(device)
    optimizer = make(model.parameters())
    loader = DataLoader(data(), 4, shuffle=True, device=device)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=20)
    return Trainer(model, loader, loader, optimizer, scheduler=scheduler, epochs=epochs,
                   device=device, folder=folder, progress=Progress(quiet=True))  # fmt: skip


MAKERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: optim.Adam(p, lr=0.05),
}


class Stop(Exception):
    pass


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@pytest.mark.parametrize("other", [False, True], ids=["there", "elsewhere"])
@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_run_goes_on(first, other, make, tmp_path, cuda, monkeypatch):
    """Interrupted in the middle of an epoch, on this device or another."""
    device = {"cpu": "cpu", "cuda": cuda}[first]
    second = {"cpu": cuda, "cuda": "cpu"}[first] if other else device
    whole = trainer(device, None, 2, make)
    whole.fit()

    run = trainer(device, tmp_path, 2, make)
    monkeypatch.setattr(run, "_label", run._label)
    steps, step = [], run.optimizer.step

    def counted(*args):
        steps.append(step(*args))
        if len(steps) == 7:  # of 5 an epoch: before the scheduler's step
            run.save_every = -1.0  # saved right after this one

    save = run._save

    def stop(*args, **options):
        save(*args, **options)
        if len(steps) == 7:
            raise Stop

    monkeypatch.setattr(run.optimizer, "step", counted)
    monkeypatch.setattr(run, "_save", stop)
    with pytest.raises(Stop):
        run.fit()

    again = trainer(second, tmp_path, 2, make)
    again.fit(resume=True)
    assert all(p.is_cuda == (second != "cpu") for p in again.model.parameters())
    for state in again.optimizer.state.values():
        assert all(v.is_cuda == (second != "cpu") or k == "step" for k, v in state.items())
    assert len(again.history) == 2
    exact = not other
    for a, b in zip(again.model.state_dict().values(), whole.model.state_dict().values(),
                    strict=True):  # fmt: skip
        a, b = a.cpu().numpy(), b.cpu().numpy()
        if exact:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)
    assert again.history[-1].train_loss == pytest.approx(
        whole.history[-1].train_loss, rel=1e-12 if exact else 2e-3
    )


@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_checkpoints_know_no_device(first, tmp_path, cuda):
    device = {"cpu": "cpu", "cuda": cuda}[first]
    other = {"cpu": cuda, "cuda": "cpu"}[first]
    model = Net().to(device)
    optimizer = optim.AdamW(model.parameters())
    model(lucidlite.ones(2, 1, 6, 6, device=device)).sum().backward()
    optimizer.step()
    Checkpoint(model, optimizer).save(tmp_path / "c.npz", note="x")
    target = Net().to(other)
    moved = optim.AdamW(target.parameters())
    assert Checkpoint(target, moved).load(tmp_path / "c.npz") == {"note": "x"}
    for a, b in zip(target.state_dict().values(), model.state_dict().values(), strict=True):
        assert a.is_cuda == (other != "cpu")
        np.testing.assert_array_equal(a.cpu().numpy(), b.cpu().numpy())
    for p in target.parameters():
        assert moved.state[p]["exp_avg"].is_cuda == (other != "cpu")


def test_an_optimizer_of_parameters_that_move(cuda):
    """Made on the CPU and used there, then moved: its state follows with ``load_state_dict``."""
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    twin, other = nn.Linear(2, 2), None
    twin.load_state_dict(model.state_dict())
    other = optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)

    def step(net, opt, device):
        opt.zero_grad()
        net(lucidlite.ones(3, 2, device=device)).pow(2).sum().backward()
        opt.step()

    step(model, optimizer, "cpu")
    step(twin, other, "cpu")
    model.to(cuda)
    optimizer.load_state_dict(optimizer.state_dict())
    step(model, optimizer, cuda)
    step(twin, other, "cpu")
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=1e-5)


def test_training_from_resident_data(fake_cupy):
    """No value is waited for in a step."""
    from lucidlite.datasets import MNISTSample, OnDevice, transforms
    from lucidlite.utils.data import Subset

    part = Subset(MNISTSample(transform=transforms.ToTensor()), range(16))
    losses = {}
    for device in ("cpu", "cuda"):
        lucidlite.manual_seed(0)
        loader = DataLoader(OnDevice(part, device), 4, shuffle=True)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).to(device)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        seen = []
        with fake_cupy.no_sync():
            for x, y in (*loader, *loader):
                loss = nn.functional.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen.append(loss.detach())
        losses[device] = [loss.item() for loss in seen]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-4)


@pytest.mark.usefixtures("fake_cupy")
def test_the_trainer_waits_once_an_epoch():
    """However many batches there are: losses and hits stay on the device until its end."""
    from fakecupy.machine import counted

    waits = []
    for batches in (2, 4, 10):
        part = TensorDataset(lucidlite.ones(2 * batches, 3), lucidlite.arange(2 * batches) % 2)
        loader = DataLoader(part, 2, device="cuda")
        model = nn.Linear(3, 2).to("cuda")
        run = Trainer(model, loader, loader, optim.SGD(model.parameters(), lr=0.1), epochs=2,
                      device="cuda", progress=Progress(quiet=True))  # fmt: skip
        with counted() as counts:
            run.fit()
        waits.append(counts["sync"])
    assert waits[0] == waits[1] == waits[2] > 0
