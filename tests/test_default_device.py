"""set_default_device and ``with device``: what is made there, beside PyTorch's "meta"."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import lucidlite
from lucidlite.device import _defaults


@pytest.fixture(autouse=True)
def _put_back(monkeypatch):
    """Each test starts with the CPU as default, and leaves what it found."""
    monkeypatch.setattr(_defaults, "chosen", None)


# What each makes, given the library and a tensor of the CPU.
MAKERS = {
    "tensor": lambda T, _: T.tensor([1.0]),
    "tensor of a tensor": lambda T, x: T.tensor(x.tolist()),
    "as_tensor": lambda T, _: T.as_tensor([1.0]),
    "as_tensor of an array": lambda T, _: T.as_tensor(np.ones(2)),
    "as_tensor of a tensor": lambda T, x: T.as_tensor(x),
    "zeros": lambda T, _: T.zeros(2),
    "ones": lambda T, _: T.ones(2),
    "empty": lambda T, _: T.empty(2),
    "full": lambda T, _: T.full((2,), 1.5),
    "arange": lambda T, _: T.arange(3),
    "linspace": lambda T, _: T.linspace(0, 1, 3),
    "eye": lambda T, _: T.eye(2),
    "rand": lambda T, _: T.rand(2),
    "randn": lambda T, _: T.randn(2),
    "randint": lambda T, _: T.randint(0, 5, (2,)),
    "randperm": lambda T, _: T.randperm(3),
    "normal": lambda T, _: T.normal(0.0, 1.0, (2,)),
    "told": lambda T, _: T.ones(2, device="cpu"),
    "Tensor": lambda T, _: T.Tensor(2),
    "from_numpy": lambda T, _: T.from_numpy(np.ones(2)),
    "zeros_like": lambda T, x: T.zeros_like(x),
    "ones_like": lambda T, x: T.ones_like(x),
    "rand_like": lambda T, x: T.rand_like(x),
    "new_zeros": lambda _, x: x.new_zeros(2),
    "new_tensor": lambda _, x: x.new_tensor([1.0]),
    "a result": lambda _, x: x * 2,
    "a parameter": lambda T, _: T.nn.Linear(2, 3).weight,
    "a buffer": lambda T, _: T.nn.BatchNorm2d(2).running_mean,
    "a counter": lambda T, _: T.nn.BatchNorm2d(2).num_batches_tracked,
}
STAY = {"normal", "told", "Tensor", "from_numpy", "zeros_like", "ones_like", "rand_like",
        "new_zeros", "new_tensor", "a result"}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_made_on_the_default_device(name, cuda, monkeypatch):
    monkeypatch.setattr(lucidlite, "from_numpy", lucidlite.creation.from_numpy)
    here = lucidlite.ones(2, device="cpu")
    lucidlite.set_default_device(cuda)
    made = MAKERS[name](lucidlite, here)
    assert made.is_cuda == (name not in STAY)
    lucidlite.set_default_device(None)
    assert not MAKERS[name](lucidlite, here).is_cuda


@pytest.mark.parametrize("name", MAKERS)
def test_pytorch_makes_the_same_there(name):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    here = torch.ones(2)
    with torch.device("meta"):
        made = MAKERS[name](torch, here)
    assert (made.device.type == "meta") == (name not in STAY)


def test_the_default_is_told_with_its_index(cuda):
    assert lucidlite.get_default_device() == lucidlite.device("cpu")
    lucidlite.set_default_device(cuda)
    assert lucidlite.get_default_device() == lucidlite.device("cuda", 0)
    lucidlite.set_default_device(0)
    assert lucidlite.get_default_device() == lucidlite.device("cuda:0")
    lucidlite.set_default_device(None)
    assert str(lucidlite.get_default_device()) == "cpu"


def test_blocks_come_first_and_end(cuda):
    lucidlite.set_default_device(cuda)
    with lucidlite.device("cpu") as place:
        assert str(place) == "cpu"
        assert not lucidlite.ones(2).is_cuda
        with lucidlite.device(cuda):
            assert lucidlite.ones(2).is_cuda
        assert not lucidlite.ones(2).is_cuda
    assert lucidlite.ones(2).is_cuda
    with pytest.raises(ZeroDivisionError), lucidlite.device("cpu"):
        1 / 0  # noqa: B018
    assert lucidlite.ones(2).is_cuda


def test_one_device_object_can_be_entered_twice(cuda):
    place = lucidlite.device(cuda)
    with place, place:
        assert lucidlite.ones(2).is_cuda
    assert not lucidlite.ones(2).is_cuda


def test_other_threads_have_their_own(cuda):
    lucidlite.set_default_device(cuda)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(lucidlite.ones(2).is_cuda))
    thread.start()
    thread.join()
    assert seen == [False]


def test_training_there(cuda):
    lucidlite.manual_seed(0)
    losses = []
    for device in ("cpu", cuda):
        lucidlite.set_default_device(device)
        lucidlite.manual_seed(0)
        model = lucidlite.nn.Linear(3, 2)
        optimizer = lucidlite.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(lucidlite.randn(4, 3)).square().sum()
            loss.backward()
            optimizer.step()
        assert loss.device.type == device
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_values_of_made_tensors(cuda):
    with lucidlite.device(cuda):
        assert lucidlite.full((2,), 1.5).tolist() == [1.5, 1.5]
        assert lucidlite.full((2,), True).tolist() == [True, True]
        assert lucidlite.full((1, 2), 7, dtype=lucidlite.uint8).tolist() == [[7, 7]]
        assert lucidlite.zeros(0, 2).shape == (0, 2)
        assert lucidlite.ones(2, dtype=lucidlite.float16).tolist() == [1.0, 1.0]
        assert lucidlite.full((), lucidlite.tensor(3.0)).item() == 3.0


def test_a_tensor_of_a_tensor_stays_on_its_device(cuda):
    x = lucidlite.ones(2, device=cuda)
    assert lucidlite.tensor(x).is_cuda
    assert not lucidlite.tensor(x, device="cpu").is_cuda
    with lucidlite.device("cpu"):
        assert not lucidlite.tensor(x).is_cuda


def test_nothing_is_uploaded_to_make_constants(fake_cupy):
    with lucidlite.device("cuda"):
        lucidlite.zeros(1)
        before = dict(fake_cupy.counts)
        lucidlite.zeros(3, 2), lucidlite.ones(3), lucidlite.full((2, 2), 0.5), lucidlite.empty(4)
    assert fake_cupy.counts["h2d"] == before["h2d"]


def test_a_missing_gpu_is_reported_when_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(lucidlite.backends, "_backends", {lucidlite.backends.cpu.device:
                                                          lucidlite.backends.cpu})  # fmt: skip
    lucidlite.set_default_device("cuda")
    with pytest.raises(RuntimeError, match="'cuda' needs a GPU through CuPy"):
        lucidlite.ones(2)
    lucidlite.set_default_device("cpu")
    assert lucidlite.ones(2).tolist() == [1.0, 1.0]


def test_no_such_device():
    with pytest.raises(RuntimeError, match="device: expected one of cpu, cuda device type"):
        lucidlite.set_default_device("gpu")
    with pytest.raises(TypeError, match="device: type must be a string or an index"):
        lucidlite.set_default_device(1.5)
