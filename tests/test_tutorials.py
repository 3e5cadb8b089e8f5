"""Scripts as tutorials have them, with the import changed, train as PyTorch trains them.

``tutorials/`` holds them as they are typed for PyTorch: a vision transformer and a ResNet on small
digits, an LSTM on sequences whose class is hidden at either end.
"""

from __future__ import annotations

import re
import sys
import types
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from parity import TEST_ALL

import lucidlite
from lucidlite import datasets
from lucidlite.backends import cpu

FOLDER = Path(__file__).parent / "tutorials"
# How far the loss curves may be apart, relative to the loss: in ten steps, and on average.
# Convolutions are summed directly, but once as they are by default (in tiles, which round more).
NEAR = {
    ("vit", "exact"): (1e-5, 1e-3),
    ("resnet", "exact"): (1e-4, 2e-2),
    ("resnet", "auto"): (5e-3, 5e-2),
    ("lstm", "exact"): (1e-5, 1e-4),
}
# What a run reaches with the shuffles and masks of its own library.
REACHED = {"vit": 0.55, "resnet": 0.7, "lstm": 0.97}


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def script(name, library="torch"):
    """A tutorial as a module; for lucidlite its imports name that, and nothing else is changed."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    if library == "lucidlite":
        source = re.sub(r"^import torch$", "import lucidlite as torch", source, flags=re.M)
        source = re.sub(r"^(import|from) torch\b", r"\1 lucidlite", source, flags=re.M)
    module = types.ModuleType(f"{name}_of_{library}")
    exec(compile(source, str(FOLDER / f"{name}.py"), "exec"), module.__dict__)
    return module


def digits(pixels=28):
    """Handwritten digits, of 28 by 28 pixels or fewer."""
    found, each = [], 28 // pixels
    for train, count in ((True, 1000), (False, 1000)):
        sample = datasets.MNISTSample(train=train)
        images = np.asarray(sample.data[:count], np.float32) / 255
        images = images.reshape(-1, pixels, each, pixels, each).mean((2, 4))[:, None]
        found += [((images - 0.13) / 0.3).astype(np.float32), np.asarray(sample.targets[:count])]
    return found


def hidden_ends():
    """Sequences of tokens 1 to 7, padded with 0; the class is in the first and the last."""
    rng, found = np.random.default_rng(0), []
    for count in (640, 256):
        lengths = rng.integers(4, 11, count)
        x = rng.integers(1, 8, (count, 10)) * (np.arange(10) < lengths[:, None])
        last = x[np.arange(count), lengths - 1]
        found += [x, (x[:, 0] > 4) * 2 + (last > 4).astype(np.int64)]
    return found


DATA = {"vit": digits, "resnet": partial(digits, 14), "lstm": hidden_ends}


def quietly(call, *args, **kwargs):
    """PyTorch warns of nested tensors, which these don't use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="enable_nested_tensor is True")
        return call(*args, **kwargs)


@pytest.mark.parametrize(("name", "convolutions"), NEAR)
def test_tutorials_train_as_on_pytorch(torch, monkeypatch, name, convolutions):
    """Side by side from equal weights: the same losses, and the same accuracy."""
    monkeypatch.setattr(cpu, "conv_algorithm", convolutions)
    theirs, ours = script(name), script(name, "lucidlite")
    torch.manual_seed(0)
    their_model, our_model = quietly(theirs.build), ours.build()
    assert repr(our_model) == repr(their_model)
    state = {k: lucidlite.tensor(v.numpy()) for k, v in their_model.state_dict().items()}
    our_model.load_state_dict(state)
    data = DATA[name]()
    their_losses, their_accuracy = theirs.train(their_model, *data)
    losses, accuracy = ours.train(our_model, *data)
    first, whole = NEAR[name, convolutions]
    np.testing.assert_allclose(losses[:10], their_losses[:10], rtol=first)
    gap = np.abs(np.subtract(losses, their_losses))
    assert gap.mean() < whole * np.mean(their_losses)
    assert abs(accuracy - their_accuracy) <= (0.02 if convolutions == "exact" else 0.05)
    assert accuracy >= REACHED[name]


@pytest.mark.parametrize("name", DATA if TEST_ALL else ["lstm"])
def test_tutorials_run_by_themselves(name):
    """With lucidlite's own initial weights and shuffles."""
    lucidlite.manual_seed(1)
    module = script(name, "lucidlite")
    losses, accuracy = module.train(module.build(), *DATA[name](), shuffle=True)
    assert losses[-1] < losses[0] / 2
    assert accuracy >= REACHED[name]


@pytest.mark.parametrize("name", DATA)
def test_tutorials_on_device(cuda, name):
    """A few steps on the GPU, or on its stand-in, are those on the CPU."""
    module = script(name, "lucidlite")
    x_train, y_train, x_test, y_test = DATA[name]()
    part = x_train[:100], y_train[:100], x_test[:20], y_test[:20]
    found = []
    for device in ("cpu", cuda):
        lucidlite.manual_seed(0)
        model = module.build().to(device)
        losses, _ = module.train(model, *part, epochs=1)
        found.append(losses)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


def test_the_scripts_are_typed_for_pytorch():
    for path in FOLDER.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "lucidlite" not in text
        assert text.startswith("import torch\n")
    assert "tutorials" not in sys.modules
