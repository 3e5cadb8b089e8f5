"""The same scripts on a GPU (or CuPy's stand-in): models, optimizers, files, numbers, errors."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest

import lucidlite
from lucidlite import backends, nn, optim
from lucidlite.utils.data import DataLoader, TensorDataset

F = nn.functional


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        x = F.relu(self.norm(self.conv1(x)))
        x = self.pool(x + self.conv2(x))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


def batch(device="cpu"):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((5, 3, 8, 6)).astype(np.float32)
    labels = rng.integers(0, 4, 5)
    return lucidlite.from_numpy(images).to(device), lucidlite.from_numpy(labels).to(device)


def train(model, optimizer, device, steps=4):
    images, labels = batch(device)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def close(a, b, tolerance=2e-5):
    a, b = a.detach().cpu().numpy(), b.detach().cpu().numpy()
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


MAKERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_training_is_the_same(make, cuda):
    lucidlite.manual_seed(0)
    host = Net()
    device = copy.deepcopy(host).to(cuda)
    before = list(device.parameters())
    losses = train(host, make(host.parameters()), "cpu")
    optimizer = make(device.parameters())
    assert train(device, optimizer, cuda) == pytest.approx(losses, rel=1e-4)
    # Adam divides tiny gradients by their size, which magnifies rounding.
    tolerance = 2e-5 if "Adam" not in type(optimizer).__name__ else 5e-3
    for (name, a), b in zip(device.named_parameters(), host.parameters(), strict=True):
        assert a.is_cuda, name
        assert a.grad.is_cuda, name
        close(a, b, tolerance)
    for a, b in zip(device.buffers(), host.buffers(), strict=True):
        assert a.is_cuda
        close(a, b, tolerance)
    assert all(a is b for a, b in zip(before, device.parameters(), strict=True))
    for state in optimizer.state.values():
        for name, value in state.items():
            assert value.is_cuda or name == "step", name


def test_a_step_copies_nothing_to_the_host(fake_cupy):
    model = Net().to("cuda")
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images, labels = batch("cuda")
    before = dict(fake_cupy.counts)
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()
    assert fake_cupy.counts["d2h"] == before["d2h"]


def test_module_moves(cuda):
    model = Net()
    model(batch()[0]).sum().backward()
    assert model.to(cuda) is model
    for tensor in (*model.parameters(), *model.buffers()):
        assert str(tensor.device) == "cuda:0"
    assert all(p.grad.is_cuda for p in model.parameters())
    assert model.cpu() is model
    assert not any(t.is_cuda for t in (*model.parameters(), *model.buffers()))
    assert next(model.cuda().parameters()).is_cuda


def test_optimizer_made_before_the_move(cuda):
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    model.to(cuda)
    before = model.weight.detach().clone()
    model(lucidlite.ones(1, 3, device=cuda)).sum().backward()
    optimizer.step()
    close(model.weight, before - 1)


@pytest.mark.parametrize("there", ["cpu", "cuda"])
def test_state_dict_both_ways(there, cuda):
    other = {"cpu": cuda, "cuda": "cpu"}[there]
    lucidlite.manual_seed(1)
    source, target = Net().to(there), Net().to(other)
    train(source, MAKERS["momentum"](source.parameters()), there, 1)
    target.load_state_dict(source.state_dict())
    for a, b in zip(target.state_dict().values(), source.state_dict().values(), strict=True):
        assert a.device.type == other
        close(a, b, 0)


@pytest.mark.parametrize("kind", ["momentum", "amsgrad"])
@pytest.mark.parametrize("there", ["cpu", "cuda"])
def test_optimizer_state_both_ways(there, kind, cuda):
    other = {"cpu": cuda, "cuda": "cpu"}[there]
    lucidlite.manual_seed(1)
    source = Net().to(there)
    optimizer = MAKERS[kind](source.parameters())
    train(source, optimizer, there, 1)
    target = copy.deepcopy(source).to(other)
    moved = MAKERS[kind](target.parameters())
    moved.load_state_dict(optimizer.state_dict())
    for state in moved.state.values():
        for name, value in state.items():
            assert value.device.type == other or name == "step", name
    train(source, optimizer, there, 1)
    train(target, moved, other, 1)
    for a, b in zip(target.parameters(), source.parameters(), strict=True):
        close(a, b, 2e-3)


def test_files(tmp_path, cuda):
    model = Net().to(cuda)
    extra = lucidlite.ones(2, device=cuda)
    lucidlite.save({"model": model.state_dict(), "x": extra}, tmp_path / "f")
    loaded = lucidlite.load(tmp_path / "f", map_location="cpu")
    assert not any(value.is_cuda for value in loaded["model"].values())
    assert loaded["x"].tolist() == [1.0, 1.0]
    back = lucidlite.load(tmp_path / "f", map_location=cuda)
    assert all(value.is_cuda for value in back["model"].values())
    Net().load_state_dict(loaded["model"])


def test_dataloader_batches(cuda):
    images, labels = batch()
    loader = DataLoader(TensorDataset(images, labels), batch_size=2, pin_memory=True)
    seen = 0
    for x, y in loader:
        moved = x.to(cuda, non_blocking=True)
        assert moved.is_cuda
        assert y.to(cuda).is_cuda
        close(moved, images[seen : seen + len(x)], 0)
        seen += len(x)
    assert seen == 5
    on_device = DataLoader(TensorDataset(images.to(cuda), labels.to(cuda)), batch_size=2)
    assert all(x.is_cuda and y.is_cuda for x, y in on_device)


# -- the same random numbers -----------------------------------------------------------------------

DRAWS = {
    "rand": lambda d: lucidlite.rand(3, 4, device=d),
    "rand64": lambda d: lucidlite.rand(3, 4, device=d, dtype=lucidlite.float64),
    "randn": lambda d: lucidlite.randn(3, 4, device=d),
    "randint": lambda d: lucidlite.randint(0, 9, (5,), device=d),
    "randperm": lambda d: lucidlite.randperm(9, device=d),
    "rand_like": lambda d: lucidlite.rand_like(lucidlite.ones(3, device=d)),
    "bernoulli": lambda d: lucidlite.bernoulli(lucidlite.full((20,), 0.4, device=d)),
    "normal": lambda d: lucidlite.normal(1.0, 2.0, (5,), device=d),
    "dropout": lambda d: F.dropout(lucidlite.ones(4, 6, device=d), 0.4),
    "linear": lambda d: nn.Linear(3, 4, device=d).weight,
    "conv": lambda d: nn.Conv2d(3, 4, 3, device=d).weight,
    "init": lambda d: nn.init.kaiming_normal_(lucidlite.empty(3, 4, device=d)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_draws_are_the_same(draw, cuda):
    lucidlite.manual_seed(5)
    host = [draw("cpu"), draw("cpu")]
    lucidlite.cuda.manual_seed_all(5)
    device = [draw(cuda), draw(cuda)]
    for a, b in zip(device, host, strict=True):
        assert a.is_cuda
        assert not b.is_cuda
        close(a, b, 0)


def test_dropout_mask_does_not_depend_on_memory_order(cuda):
    x = lucidlite.ones(2, 3, 4, 5)
    w = lucidlite.eye(3).reshape(3, 3, 1, 1)
    results = []
    for image in (x, F.conv2d(x, w), x.to(cuda), F.conv2d(x.to(cuda), w.to(cuda))):
        lucidlite.manual_seed(2)
        results.append(F.dropout(image, 0.5))
    for result in results[1:]:
        close(result, results[0], 0)


# -- tensors ---------------------------------------------------------------------------------------


def test_values_come_back(cuda):
    x = lucidlite.tensor([[1.5, 2.0], [3.0, 4.0]], device=cuda)
    assert x.sum().item() == 10.5
    assert x.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert float(x[0, 0]) == 1.5
    assert bool((x > 0).all())
    assert repr(x[0]) == "tensor([1.5000, 2.0000], device='cuda:0')"
    assert x.cpu().numpy().tolist() == x.tolist()
    assert x.numpy(force=True).tolist() == x.tolist()
    assert (x.device.type, x.device.index, x.is_cuda, x.get_device()) == ("cuda", 0, True, 0)
    assert 3.0 in x
    assert len(x) == 2


def test_names_of_one_device(cuda):
    x = lucidlite.ones(2, device=cuda)
    assert x.to("cuda:0") is x
    assert x.to(lucidlite.device("cuda", 0)) is x
    assert x.to(x.device) is x
    assert x.cuda() is x
    assert (x + lucidlite.ones(2, device="cuda:0")).tolist() == [2.0, 2.0]
    assert lucidlite.zeros_like(x).device == x.device


def test_gradients_cross_devices(cuda):
    x = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    y = (x.to(cuda) * lucidlite.tensor([3.0, 4.0], device=cuda)).cpu() * 2
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 8.0]
    assert not x.grad.is_cuda


def test_zero_dim_tensors_of_the_host_mix_in(cuda):
    x = lucidlite.tensor([1.0, 2.0], device=cuda, requires_grad=True)
    scale = lucidlite.tensor(3.0, requires_grad=True)
    y = x * scale
    assert y.is_cuda
    y.sum().backward()
    assert scale.grad.item() == 3.0
    assert not scale.grad.is_cuda


def test_host_indices(cuda):
    x = lucidlite.arange(6, device=cuda).reshape(2, 3)
    assert x[lucidlite.tensor([1, 0])].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert x[[1]].tolist() == [[3, 4, 5]]
    assert x[np.array([True, False])].tolist() == [[0, 1, 2]]
    assert x[:, lucidlite.tensor(2)].tolist() == [2, 5]


def test_writes(cuda):
    x = lucidlite.zeros(2, 3, device=cuda)
    x[0] = 1.0
    x[:, 1] = lucidlite.tensor([5.0, 6.0], device=cuda)
    x[1, 2] = lucidlite.tensor(7.0)
    x.view(-1)[3] += 9.0
    assert x.tolist() == [[1.0, 5.0, 1.0], [9.0, 6.0, 7.0]]
    x.copy_(lucidlite.ones(3))
    assert x.tolist() == [[1.0] * 3] * 2
    host = lucidlite.zeros(3)
    host.copy_(x[0] * 4)
    assert host.tolist() == [4.0] * 3


def test_hooks_functions_and_views(cuda):
    class Twice(lucidlite.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            assert ctx.saved_tensors[0].is_cuda
            return g * 2

    seen = []
    x = lucidlite.ones(3, device=cuda, requires_grad=True)
    y = Twice.apply(x) * 1
    y.register_hook(lambda g: seen.append(g.device.type))
    y[0] += 5
    y.view(3)[1:].mul_(10)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 20.0, 20.0]
    assert seen == ["cuda"]


@pytest.mark.usefixtures("cuda")
def test_cuda_module():
    assert lucidlite.cuda.is_available()
    assert lucidlite.cuda.device_count() >= 1
    assert lucidlite.cuda.current_device() == 0
    lucidlite.cuda.synchronize()
    lucidlite.cuda.empty_cache()


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: x + y,
        lambda x, y: x @ y.t(),
        lambda x, y: lucidlite.cat([x, y]),
        lambda x, y: lucidlite.where(x > 0, x, y),
        lambda x, y: lucidlite.where(y > 0, x, x),
        lambda x, y: x == y,
        lambda x, y: F.linear(x, y),
        lambda x, y: F.mse_loss(x, y),
        lambda x, y: F.cross_entropy(x, y[:, 0].long()),
        lambda x, y: x.masked_fill(y > 0, 0.0),
        lambda x, y: x.gather(0, y.long()),
        lambda x, y: lucidlite.maximum(x, y),
        lambda x, y: x.add_(y),
        lambda x, y: lucidlite.isclose(x, y),
        lambda x, y: x.lerp(y, 0.5),
        lambda x, y: F.batch_norm(x, y[0], y[1]),
        lambda x, y: F.conv2d(x.view(1, 1, 2, 3), y.view(1, 1, 2, 3)),
    ],
)
def test_mixed_devices_are_refused(call, cuda):
    x, y = lucidlite.ones(2, 3, device=cuda), lucidlite.ones(2, 3)
    with pytest.raises(RuntimeError, match=r"same device, got (cuda:0 and cpu|cpu and cuda:0)"):
        call(x, y)


def test_numpy_is_refused(cuda):
    x = lucidlite.ones(2, device=cuda)
    for convert in (lambda: x.numpy(), lambda: np.asarray(x)):
        with pytest.raises(TypeError, match=r"can't convert cuda:0 device type tensor to numpy"):
            convert()


def test_gradient_of_another_device_is_refused(cuda):
    x = lucidlite.ones(2, device=cuda, requires_grad=True)
    with pytest.raises(RuntimeError, match="device"):
        (x * 1).backward(lucidlite.ones(2))
    with pytest.raises(RuntimeError, match="device"):
        x.grad = lucidlite.ones(2)


@pytest.mark.usefixtures("cuda")
def test_no_such_gpu():
    with pytest.raises(RuntimeError, match=r"invalid device ordinal, got cuda:7"):
        lucidlite.ones(2, device="cuda:7")


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(backends, "_backends", {k: v for k, v in backends._backends.items()
                                                if k.type == "cpu"})  # fmt: skip
    assert not lucidlite.cuda.is_available()
    assert lucidlite.cuda.device_count() == 0
    pattern = r"'cuda' needs a GPU through CuPy\. CuPy is not installed: pip install 'lucidlite\["
    for ask in (lambda: lucidlite.ones(2, device="cuda"), lambda: lucidlite.ones(2).cuda(),
                lambda: nn.Linear(2, 2).to("cuda"), lucidlite.cuda.synchronize):  # fmt: skip
        with pytest.raises(RuntimeError, match=pattern):
            ask()


def test_without_a_device(fake_cupy, monkeypatch):
    monkeypatch.setattr(fake_cupy, "is_available", lambda: False)
    assert not lucidlite.cuda.is_available()
    with pytest.raises(RuntimeError, match="CuPy is installed, but no CUDA device answers"):
        lucidlite.ones(2).to("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", ""])
def test_bad_names(name):
    with pytest.raises(RuntimeError, match="device"):
        lucidlite.device(name)
