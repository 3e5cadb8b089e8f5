"""Labels and indices out of range on a GPU: noticed there, raised at the next look at a value."""

import inspect
import os

import numpy as np
import pytest

import lucidlite
from lucidlite import nn
from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import alarms

F = nn.functional


def here():
    """'<this file>:<the line of the caller>'."""
    return f"{os.path.basename(__file__)}:{inspect.currentframe().f_back.f_lineno}"


def scores(device="cuda", dtype=lucidlite.float32):
    return lucidlite.ones(3, 4, device=device, dtype=dtype).requires_grad_()


def labels(*values, device="cuda"):
    return lucidlite.tensor(values, device=device)


LABELS = {
    "cross_entropy": lambda x, t: F.cross_entropy(x, t),
    "sum": lambda x, t: F.cross_entropy(x, t, reduction="sum"),
    "none": lambda x, t: F.cross_entropy(x, t, reduction="none").sum(),
    "smoothing": lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1),
    "weight": lambda x, t: F.cross_entropy(x, t, x.detach()[0]),
    "nll_loss": lambda x, t: F.nll_loss(F.log_softmax(x, 1), t),
}


@pytest.mark.parametrize("dtype", [lucidlite.float16, lucidlite.float32, lucidlite.float64])
@pytest.mark.parametrize("bad", [4, -1, 2**40])
@pytest.mark.parametrize("name", LABELS)
def test_labels(name, bad, dtype, cuda, fake_cupy):
    x, target = scores(cuda, dtype), labels(0, bad, 2, device=cuda)
    before = fake_cupy.counts["d2h"]
    loss = LABELS[name](x, target)
    loss.backward()
    assert fake_cupy.counts["d2h"] == before
    op = "nll_loss" if name == "nll_loss" else "cross_entropy"
    with pytest.raises(IndexError) as caught:
        loss.item()
    what, at, noticed, hint = str(caught.value).splitlines()
    assert what == f"{op}: target {bad} is out of bounds, got 4 classes"
    assert hint.startswith("  hint: classes count from 0")
    assert at.startswith(f"  at {__file__}:")
    assert at.endswith(" in <lambda>")
    assert noticed.startswith(f"  noticed at {__file__}:")
    assert noticed.partition(" in ")[2].startswith(
        "test_labels (a GPU reports late; LUCIDLITE_DEBUG"
    )
    assert np.isnan(loss.item())  # said once, and a loss that nobody takes for one
    assert np.isnan(x.grad.cpu().numpy()).any()


def test_the_line(cuda):
    x = scores(cuda)
    loss, line = F.cross_entropy(x, labels(9, 0, 0)), here()
    with pytest.raises(IndexError, match="target 9") as caught:
        lucidlite.cuda.synchronize()
    assert f"{line} in test_the_line" in str(caught.value).splitlines()[1]
    assert np.isnan(loss.item())


def test_the_module(cuda):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.loss = nn.CrossEntropyLoss()

        def forward(self, x, t):
            return self.loss(x, t)

    net = Net()
    loss = net(scores(cuda), labels(0, 1, 77))
    with pytest.raises(IndexError, match=r"(?s)target 77.*in module Net\.loss: CrossEntropyLoss"):
        loss.item()


def test_ignored_labels_are_none(cuda):
    x = scores(cuda)
    found = F.cross_entropy(x, labels(-100, 1, -100)).item()
    assert found == pytest.approx(np.log(4.0))
    assert F.cross_entropy(x, labels(7, 1, 2), ignore_index=7).item() == pytest.approx(np.log(4.0))
    F.nll_loss(x, labels(-100, 1, -100)).item()


INDICES = {
    "getitem": (lambda x, i: x[i], IndexError, "getitem: index {} is out of bounds for dimension"),
    "column": (lambda x, i: x[:, i], IndexError, "getitem: index {} is out of bounds"),
    "index_select": (
        lambda x, i: lucidlite.index_select(x, 0, i), IndexError, "index_select: index out of range"
    ),
    "gather": (
        lambda x, i: x.gather(1, i.reshape(3, 1)), RuntimeError, "gather: index {} is out of bounds"
    ),
    "scatter_add": (
        lambda x, i: x.scatter_add(1, i.reshape(3, 1), x), RuntimeError, "scatter_add: index {} is"
    ),
    "one_hot": (lambda x, i: F.one_hot(i, 4) * x.sum(), RuntimeError, "one_hot: class values must"),
}  # fmt: skip


@pytest.mark.parametrize("bad", [4, -9])
@pytest.mark.parametrize("name", INDICES)
def test_indices(name, bad, cuda, fake_cupy):
    call, kind, message = INDICES[name]
    x, index = scores(cuda), labels(0, bad, 1, device=cuda)
    before = fake_cupy.counts["d2h"]
    out = call(x, index)
    assert fake_cupy.counts["d2h"] == before
    with pytest.raises(kind) as caught:
        out.tolist()
    assert message.replace("{}", str(bad)) in str(caught.value)
    if name != "one_hot":
        assert np.isnan(out.detach().cpu().numpy()).any()


def test_the_cpu_raises_at_once():
    for name, call in LABELS.items():
        with pytest.raises(IndexError, match=r"target 4 is out of bounds, got 4 classes"):
            call(scores("cpu"), labels(0, 4, 2, device="cpu"))
        assert name
    for call, kind, message in INDICES.values():
        with pytest.raises(kind, match=message.format(4).replace("[", r"\[")):
            call(scores("cpu"), labels(0, 4, 1, device="cpu"))


def test_the_first_of_several_is_told(cuda):
    x = scores(cuda)
    F.cross_entropy(x, labels(0, 5, 0))
    F.cross_entropy(x, labels(0, 6, 0))
    loss = F.cross_entropy(x, labels(0, 1, 0))
    with pytest.raises(IndexError, match="target 5 "):
        loss.item()
    assert loss.item() == pytest.approx(np.log(4.0))


@pytest.mark.parametrize("look", ["item", "tolist", "cpu", "bool", "repr", "synchronize", "float"])
def test_who_looks(look, cuda):
    looks = {
        "item": lambda x: x.item(), "tolist": lambda x: x.tolist(), "cpu": lambda x: x.cpu(),
        "bool": bool, "repr": repr, "float": float,
        "synchronize": lambda x: lucidlite.cuda.synchronize(x.device),
    }  # fmt: skip
    F.cross_entropy(scores(cuda), labels(0, 5, 0))
    x = lucidlite.ones(1, device=cuda)
    with pytest.raises(IndexError, match="target 5 "):
        looks[look](x)
    looks[look](x)


def test_a_look_costs_nothing_where_nothing_was_checked(cuda, fake_cupy):
    x = lucidlite.ones(2, device=cuda)
    F.cross_entropy(scores(cuda), labels(0, 1, 0)).item()
    before = fake_cupy.counts["d2h"]
    x.sum().item()
    assert fake_cupy.counts["d2h"] == before + 1


@pytest.mark.parametrize("value", ["1", "true", "0", ""])
def test_debugging(value, cuda, monkeypatch):
    """LUCIDLITE_DEBUG=1 looks after every such kernel."""
    monkeypatch.setenv("LUCIDLITE_DEBUG", value)
    backend = get_backend(cuda)
    monkeypatch.setattr(backend, "alarms", alarms.Alarms(backend.enter))
    x = scores(cuda)
    if value in ("0", ""):
        F.cross_entropy(x, labels(0, 5, 0))
        x[labels(0, 5)]
        with pytest.raises(IndexError, match="target 5 "):
            backend.check_alarms()
        return
    with pytest.raises(IndexError, match="target 5 ") as caught:
        F.cross_entropy(x, labels(0, 5, 0))
    assert str(caught.value).count("test_cupy_alarms.py") == 1
    assert "LUCIDLITE_DEBUG" not in str(caught.value)
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 3"):
        x[labels(0, 5)]
    assert np.isfinite(F.cross_entropy(x, labels(0, 1, 0)).item())


def test_places_are_remembered_once(cuda, monkeypatch):
    backend = get_backend(cuda)
    monkeypatch.setattr(backend, "alarms", alarms.Alarms(backend.enter))
    monkeypatch.setattr(alarms, "MOST_ALARMS", 3)
    x = scores(cuda)
    for _ in range(10):
        F.cross_entropy(x, labels(0, 1, 0))
    assert backend.alarms._last == 1
    F.cross_entropy(x, labels(0, 5, 0))
    for size in range(5, 9):
        F.cross_entropy(lucidlite.ones(3, size, device=cuda), labels(0, 1, 0))
    assert len(backend.alarms._alarms) == len(backend.alarms._numbers) == 3
    with pytest.raises(IndexError, match="index 5 is out of bounds, in an operation too long ago"):
        backend.check_alarms()


def test_kernels_that_run_again(cuda):
    """What a CUDA graph replays asks for the next look itself."""
    backend = get_backend(cuda)
    x = scores(cuda)
    F.cross_entropy(x, labels(0, 1, 0)).item()
    assert not backend.alarms._armed
    backend.alarms.arm()
    assert backend.alarms._armed
    backend.check_alarms()
