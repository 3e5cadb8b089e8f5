"""What a training step asks of a GPU: how many launches, and that the host never waits.

Counted by CuPy's stand-in, which counts each kernel, copy and call of cuDNN as one launch. The
limits are what is reached today; fewer is better, more needs a reason.
"""

from __future__ import annotations

import pytest
from cupy_arrays import use_cudnn, use_fake_cudnn
from fakecupy.machine import counted, no_sync

import lucidlite
from lucidlite import nn, optim
from lucidlite.amp import GradScaler
from lucidlite.backends import get_backend

F = nn.functional
WARM = 3  # steps, after which plans, momentum and tables are there

IMAGES = {"CNNWithGAP": 3, "LeNet": 1, "ResNet8": 3}  # channels
ROUTES = ("cudnn", "columns")


@pytest.fixture(params=ROUTES)
def route(request, fake_cupy, monkeypatch):
    """Convolutions through cuDNN (its stand-in) or as products of columns."""
    assert fake_cupy
    backend = get_backend("cuda")
    if request.param == "cudnn":
        use_fake_cudnn(monkeypatch, backend)
    else:
        use_cudnn(monkeypatch, backend, None)
    return request.param


class Training:
    """A model, a batch of two and an optimizer on the device; ``step()`` is one step."""

    def __init__(self, name, make=None, model=None, batch=2, size=8):
        lucidlite.manual_seed(0)
        options = {"image_size": 8} if name == "LeNet" else {}
        self.model = (model or getattr(lucidlite.models, name)(**options)).to("cuda")
        self.x = lucidlite.randn(batch, IMAGES[name], size, size).to("cuda")
        self.target = (lucidlite.arange(batch) % 10).to("cuda")
        make = make or (lambda p: optim.SGD(p, lr=0.01))
        self.optimizer = make(self.model.parameters())

    def step(self):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(self.x), self.target)
        loss.backward()
        self.optimizer.step()
        return loss


def counts_of(step, warm=WARM):
    """What one step counts, once it is warm."""
    for _ in range(warm):
        step()
    with counted() as found:
        step()
    return found


# -- launches --------------------------------------------------------------------------------------

# (through cuDNN, through columns), at most. CNNWithGAP's first is the goal of the design.
LIMITS = {"CNNWithGAP": (40, 48), "LeNet": (32, 36), "ResNet8": (144, 172)}


@pytest.mark.parametrize("name", LIMITS)
def test_launches_of_a_step(name, route):
    found = counts_of(Training(name).step)
    assert found["launch"] <= LIMITS[name][ROUTES.index(route)]
    assert found["launch"] > 10  # the counter counts
    assert found["sync"] == found["d2h"] == 0


def test_launches_at_the_documented_size(route):
    """Larger products are cut into slices, which a launch of its own adds up."""
    found = counts_of(Training("CNNWithGAP", batch=64, size=32).step)
    assert 10 < found["launch"] <= (40, 51)[ROUTES.index(route)]
    assert found["sync"] == found["d2h"] == 0


OPTIMIZERS = {
    "momentum": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
}


@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_an_optimizer_s_step_is_one_launch(make):
    training = Training("LeNet", make)
    for _ in range(2):
        training.step()
    with counted() as found:
        training.optimizer.step()
    assert found["launch"] == 1
    assert found["sync"] == found["d2h"] == 0


@pytest.mark.usefixtures("fake_cupy")
def test_launches_do_not_grow_with_the_batch():
    small, large = (counts_of(Training("LeNet", batch=n).step, 3) for n in (1, 5))
    assert small["launch"] == large["launch"]


@pytest.mark.usefixtures("fake_cupy")
def test_a_forward_without_the_tape():
    training = Training("CNNWithGAP")
    training.model.eval()

    def forward():
        with lucidlite.no_grad():
            training.model(training.x)

    found = counts_of(forward, 2)
    assert 10 < found["launch"] <= 18
    assert found["sync"] == found["d2h"] == found["h2d"] == 0


# -- waits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIMITS)
def test_ten_steps_without_a_wait(name, route):
    assert route
    training = Training(name)
    training.step()
    with no_sync():
        losses = [training.step() for _ in range(10)]
    assert losses[-1].item() == losses[-1].item()


@pytest.mark.usefixtures("fake_cupy")
def test_dropout_schedules_clipping_and_running_sums_do_not_wait():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(144, 10),
    )  # fmt: skip
    training = Training("CNNWithGAP", OPTIMIZERS["adam"], model)
    schedule = optim.lr_scheduler.OneCycleLR(training.optimizer, max_lr=0.1, total_steps=20)
    total = lucidlite.zeros((), device="cuda")
    hits = lucidlite.zeros((), device="cuda")

    def step():
        training.optimizer.zero_grad()
        scores = model(training.x)
        loss = F.cross_entropy(scores, training.target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        training.optimizer.step()
        schedule.step()
        total.add_(loss.detach())
        hits.add_((scores.argmax(1) == training.target).sum())

    step()
    with no_sync():
        for _ in range(3):
            step()
    assert 0 < total.item() < 100


@pytest.mark.usefixtures("fake_cupy")
def test_the_counter_sees_a_wait():
    training = Training("LeNet")
    loss = training.step()
    with no_sync(), pytest.raises(AssertionError, match="waits for the device"):
        loss.item()
    with counted() as found:
        loss.item()
    assert found["sync"] >= 1
    assert found["d2h"] >= 1


# -- mixed precision -------------------------------------------------------------------------------


def mixed(training, scaler):
    def step():
        training.optimizer.zero_grad()
        with lucidlite.autocast("cuda"):
            loss = F.cross_entropy(training.model(training.x), training.target)
        scaler.scale(loss).backward()
        scaler.step(training.optimizer)
        scaler.update()

    return step


def test_mixed_precision(route):
    """The scaler's decision is the one wait; a cast is a launch for each operand that needs one.

    Reading a number reads the alarms too, which by then costs no wait.
    """
    training = Training("CNNWithGAP")
    plain = counts_of(training.step)
    found = counts_of(mixed(training, GradScaler("cuda")))
    assert 1 <= found["sync"] <= 2
    assert found["launch"] <= plain["launch"] + {"cudnn": 25, "columns": 40}[route]


@pytest.mark.usefixtures("fake_cupy")
def test_autocast_and_scaling_alone_do_not_wait():
    training = Training("LeNet")
    scaler = GradScaler("cuda")
    mixed(training, scaler)()
    with no_sync():
        training.optimizer.zero_grad()
        with lucidlite.autocast("cuda"):
            loss = F.cross_entropy(training.model(training.x), training.target)
        scaler.scale(loss).backward()
        scaler.unscale_(training.optimizer)
