"""``lucidlite parity``: equal models found equal, broken ones broken where they are."""

from __future__ import annotations

import dataclasses
import sys
import threading

import numpy as np
import pytest
from project_files import ROOT

import lucidlite
from lucidlite import cli, nn
from lucidlite.parity.measure import gap
from lucidlite.parity.sides import LOSSES, OPTIMIZERS

TUTORIALS = ROOT / "tests" / "tutorials"

# Under lucidlite, and only there, each of these does one thing wrong where it says so.
BROKEN = '''
import lucidlite as torch
import lucidlite.nn as nn
import lucidlite.nn.functional as F

OURS = "lucidlite" in nn.__name__


class Off(nn.Module):
    """A layer that scales its input, in lucidlite a little more."""
    def forward(self, x):
        return x * (1.001 if OURS else 1.0)


class Layer(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), Off(), nn.Conv2d(4, 5, 3)
        )
        self.fc = nn.Linear(5, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


class Between(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        x = torch.tanh(self.one(x))
        if OURS:
            x = x * 1.001  # wrong
        return self.two(x)


class Later(Between):
    """Wrong from the third call on: both directions are of the same class."""
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.two(self.one(x)) * (1.001 if OURS and self.calls > 2 else 1)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * (2.01 if OURS else 2)


class Double(nn.Module):
    def forward(self, x):
        return Doubled.apply(x)


class Backward(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 5), nn.ReLU(inplace=True), Double(), nn.Linear(5, 4), nn.Dropout(0.3)
        )

    def forward(self, x):
        return self.layers(x)


class OwnBackward(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.two(Doubled.apply(torch.tanh(self.one(x))))


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        return grad * weight, (grad * x).sum(0) * (0.99 if OURS else 1)


class Scale(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return Scaled.apply(x, self.weight)


class Weight(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.scale, self.two = nn.Linear(6, 5), Scale(5), nn.Linear(5, 3)

    def forward(self, x):
        return self.two(self.scale(self.one(x)))


class Buffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(6, 5), nn.BatchNorm1d(5, momentum=0.11 if OURS else 0.1)

    def forward(self, x):
        return self.norm(self.fc(x))


class Detached(Between):
    def forward(self, x):
        x = self.one(x)
        return self.two(x.detach() if OURS else x)


class Skips(Between):
    def __init__(self):
        super().__init__()
        self.extra = nn.Identity()

    def forward(self, x):
        x = self.one(x)
        return self.two(x if OURS else self.extra(x))


class Dropping(Between):
    def forward(self, x):
        return self.two(F.dropout(self.one(x), 0.5, self.training))


class Shape(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(6, 5 if OURS else 4)
        if OURS:
            self.more = nn.Linear(1, 1)

    def forward(self, x):
        return self.one(x)


class Missing(nn.Module):
    def __init__(self):
        super().__init__()
        act = [] if OURS else [nn.ReLU()]
        self.layers = nn.Sequential(nn.Linear(6, 5), *act, nn.Tanh(), nn.Linear(5, 3))

    def forward(self, x):
        return self.layers(x)


class Frozen(Between):
    def __init__(self):
        super().__init__()
        self.two.bias.requires_grad_(not OURS)


class BothRaise(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 5), nn.Linear(4, 3)

    def forward(self, x):
        return self.two(self.one(x))


class OneRaises(Between):
    def forward(self, x):
        x = self.one(x)
        if not OURS:
            raise KeyError("mine")
        return self.two(x)


class NoTensor(Between):
    def forward(self, x):
        return None


class CannotBe(nn.Module):
    def __init__(self, width):
        super().__init__()


def a_function():
    return Between()


class Two(Between):
    def forward(self, x, y):
        return self.two(self.one(x + y))


class NotInOurs(nn.Module):
    def __init__(self):
        super().__init__()
        if OURS:
            raise AttributeError("no such layer")
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        return self.fc(x)


class Single(Between):
    def forward(self, x):
        return self.two(self.one(x).float())


class InPlace(nn.Module):
    """What a layer does in place is seen by whoever holds its input."""
    def __init__(self):
        super().__init__()
        self.one, self.act, self.two = nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)

    def forward(self, x):
        x = self.one(x) * 0.3 + 0.1
        self.act(x)
        y = self.two(x)
        y += y.mean(1, keepdim=True).expand(-1, 3)
        return self.act(y) + y


class Expands(InPlace):
    def forward(self, x):
        x = self.one(x).exp().mean(1, keepdim=True).expand(-1, 5)
        return self.two(self.act(x.contiguous())) + self.two(x)


class Nan(Between):
    def forward(self, x):
        return self.two(self.one(x) * float("nan"))
'''

# The same layers under either name, through imports of every form, with neighbours.
IMPORTS = """
from __future__ import annotations
import torch, torch.nn.functional as F
import torch.nn
import lucidlite.optim as optim
from lucidlite import datasets, nn
from lucidlite.models import LeNet
from dataclasses import dataclass, KW_ONLY
from typing import ClassVar
import parts.heads
from parts import body
from parts.heads import Head as TheHead

@dataclass
class Settings:
    kind: ClassVar[str] = "small"
    width: int = 6

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        from torch.nn import ReLU
        from . import lone
        self.body, self.head = body.Body(Settings().width), TheHead(Settings().width)
        self.lone, self.act = lone.make(), ReLU()
        assert isinstance(self.act, torch.nn.ReLU) and TheHead is parts.heads.Head
        assert F.relu is nn.functional.relu and optim.SGD.__module__.startswith(torch.__name__)
        self.is_a_model = issubclass(LeNet, nn.Module)

    def forward(self, x):
        return self.head(self.act(self.body(self.lone(x))))
"""
NEIGHBOURS = {
    "lone.py": "import lucidlite\ndef make(): return lucidlite.nn.Identity()\n",
    "parts/__init__.py": "",
    "parts/body.py": "from torch import nn\ndef Body(n): return nn.Linear(4, n)\n",
    "parts/heads.py": (
        "from .body import nn\nclass Head(nn.Linear):\n"
        "    def __init__(self, n):\n        super().__init__(n, 3)\n"
    ),
}


@pytest.fixture(scope="module")
def compare():
    pytest.importorskip("torch", reason="compares with PyTorch")
    from lucidlite.parity import compare

    return compare


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    (folder / "broken.py").write_text(BROKEN)
    (folder / "net.py").write_text(IMPORTS)
    write_neighbours(folder)
    return folder


def write_neighbours(folder):
    for name, text in NEIGHBOURS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def broken(compare, place):
    return lambda name, **options: compare(f"{place / 'broken.py'}:{name}", **options)


@pytest.fixture
def command(compare, monkeypatch, capsys, place):
    """(exit code, stdout, stderr) of ``lucidlite parity`` in the folder of the models."""

    def run(*args):
        monkeypatch.chdir(place)
        try:
            code = cli.main(["parity", *args])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    assert compare
    return run


# -- equal ---------------------------------------------------------------------------------------

MODELS = {
    "cnn-with-gap": {"steps": 1},
    "lenet": {"optimizer": "adam", "lr": 0.01},
    "resnet8": {"steps": 2, "batch": 3},
    str(ROOT / "examples" / "cnn_with_gap.py:CNNWithGAP"): {"steps": 1, "sizes": [(3, 16, 16)]},
    f"{TUTORIALS / 'vit.py'}:VisionTransformer": {"sizes": [(1, 28, 28)], "optimizer": "adamw"},
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.rpartition("/")[2])
def test_equal(compare, name, dtype):
    options = MODELS[name]
    both = dtype == "float64"
    report = compare(name, dtype=dtype, exact=False, both_ways=both, **options)
    assert report.equal, str(report)
    assert report.first is None
    assert not report.differences
    steps, weights = options.get("steps", 3), ("lucidlite", "torch") if both else ("lucidlite",)
    runs = {(each.weights, each.step) for each in report.findings}
    assert runs == {(w, s + 1) for w in weights for s in range(steps)}
    stages = {each.stage for each in report.findings}
    assert stages >= {"forward", "loss", "backward", "gradients", "optimizer"}
    assert ("buffers" in stages) == (name == "resnet8")
    assert 0 < report.worst.gap.error < report.tolerance / 5
    assert report.tolerance == {"float64": 1e-9, "float32": 1e-4}[dtype]
    assert report.verdict.startswith(f"equal within {report.tolerance:g} over {steps} step")
    layers = {each.where for each in report.findings if each.stage == "forward"}
    if name == "resnet8":
        assert {"stem.1: BatchNorm2d", "blocks.0.conv2: Conv2d", "blocks.1: _Block"} <= layers
        gradients = [each for each in report.findings if each.stage == "gradients"]
        parameters = sum(1 for _ in lucidlite.models.ResNet8().parameters())
        assert len(gradients) == parameters * len(runs)


@pytest.mark.parametrize("train", [True, False])
def test_recurrent_equal(compare, train):
    """Packed sequences in and out of an LSTM; two inputs; whole numbers."""
    rng = np.random.default_rng(0)

    def inputs(step):
        return rng.integers(1, 8, (5, 6)), np.array([6, 2, 5, 1, 6 - step])

    report = compare(
        f"{TUTORIALS / 'lstm.py'}:LSTMClassifier", inputs, steps=2, both_ways=False, train=train
    )
    assert report.equal, str(report)
    assert {"lstm: LSTM", "embedding: Embedding"} <= {each.where for each in report.findings}


def test_a_pair_of_modules_stays_as_it_was(compare):
    import torch

    pair = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    before = [layer.weight.detach().numpy().copy() for layer in pair]
    states = lucidlite.get_rng_state(), torch.get_rng_state()
    report = compare(pair, np.ones((4, 3), np.float32), steps=2, loss="mse")
    assert report.equal, str(report)
    assert [each.weight.detach().numpy().tolist() for each in pair] == [w.tolist() for w in before]
    assert pair[0].weight.grad is None
    assert pair[1].weight.dtype == torch.float32
    assert torch.get_default_dtype() == torch.float32
    assert lucidlite.get_default_dtype() == lucidlite.float32
    assert str(lucidlite.get_rng_state()) == str(states[0])
    assert torch.equal(torch.get_rng_state(), states[1])
    with pytest.raises(TypeError, match=r"lucidlite's nn.Module, then PyTorch's, got \(Linear, L"):
        compare(pair[::-1])


def test_both_start_from_the_weights_of_each(compare):
    import torch

    pair = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    seen = []

    def loss(lib, output, target):
        seen.append((lib.__name__, output.detach().numpy().copy()))
        return ((output - target) ** 2).mean()

    x = np.array([[1.0, 2, 3]])
    assert compare(pair, x, steps=1, loss=loss, targets=np.zeros((1, 2))).equal
    assert [name for name, _ in seen] == ["lucidlite", "torch"] * 2
    for (_, value), layer in zip(seen[::2], pair, strict=True):
        weight, bias = (p.detach().numpy().astype(np.float64) for p in layer.parameters())
        np.testing.assert_allclose(value, x @ weight.T + bias, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses(compare, loss):
    pair = nn.Linear(3, 2), __import__("torch").nn.Linear(3, 2)
    report = compare(pair, np.eye(3), steps=1, loss=loss, both_ways=False)
    assert report.equal, str(report)
    assert f"{loss}, SGD with lr 0.01" in report.title


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(compare, name):
    pair = nn.Linear(3, 2), __import__("torch").nn.Linear(3, 2)
    report = compare(pair, np.eye(3), steps=4, optimizer=name)
    assert report.equal, str(report)


def test_a_model_without_parameters(compare):
    pair = nn.Flatten(), __import__("torch").nn.Flatten()
    report = compare(pair, np.ones((2, 3, 4)), steps=1)
    assert report.equal
    assert "no optimizer" in report.title
    assert report.verdict == "equal within 1e-09 over 1 step (to the last bit)"


@pytest.mark.parametrize("name", ["InPlace", "Expands"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_memory_that_is_shared(broken, name, dtype):
    report = broken(name, batch=64, dtype=dtype)
    assert report.equal, str(report)
    assert report.worst.gap.absolute  # or nothing was put in step


def test_nan_in_both_is_equal(broken):
    assert broken("Nan", steps=1).equal


# -- imports -------------------------------------------------------------------------------------


def test_imports_of_every_form_are_turned(command):
    before = dict(sys.modules)
    code, out, err = command("net.py:Net", "--steps", "1")
    assert code == 0, err
    assert "Net on (4, 4): float64, training mode, cross-entropy, SGD with lr 0.01" in out
    added = {name for name in sys.modules.keys() - before.keys() if "torch" not in name}
    assert not {name for name in added if name.split(".")[0] in ("parts", "lone", "net")}
    assert not {name for name in added if name.startswith("_parity")}
    assert sys.modules["lucidlite"] is before["lucidlite"]
    assert sys.modules["torch"] is before["torch"]


def test_names_that_are_somebody_else_s(compare, tmp_path):
    """A file called as a module of the standard library is; rooms that only PyTorch has."""
    write_neighbours(tmp_path)
    (tmp_path / "random.py").write_text("""
import random, torch.utils.mobile_optimizer as mobile, torch.fx, lucidlite.models as models
from torch.utils import mobile_optimizer
from parts.body import *
assert random.random and mobile is mobile_optimizer and torch.fx.Graph
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.head = models.CNNWithGAP(), Body(10)
        self.head = torch.nn.utils.parametrizations.weight_norm(self.head)
        assert isinstance(self.net, torch.nn.Module)
        assert torch.fx.__name__ == "torch.fx" and torch.utils.data.DataLoader
    def forward(self, x):
        return self.head(self.net(x)[:, :4])
""")
    report = compare(f"{tmp_path / 'random.py'}:Net", steps=1, both_ways=False, sizes=[(3, 8, 8)])
    assert report.equal, str(report)


def test_two_threads_at_once(compare, place):
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(compare(f"{place / 'net.py'}:Net", steps=1).verdict)
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert lucidlite.get_default_dtype() == lucidlite.float32
    assert all(verdict.startswith("equal") for verdict in found)


# -- broken on purpose ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stage", "where", "what"),
    [
        ("Layer", "forward", "features.3: Off", "output"),
        ("Between", "forward", "Between", "its own code between one and two"),
        ("Backward", "backward", "layers.2: Double", "gradient of its input"),
        ("OwnBackward", "backward", "OwnBackward", "its own code, gradient of one's output"),
        ("Weight", "gradients", "scale: Scale", "gradient of weight"),
        ("Buffer", "buffers", "norm: BatchNorm1d", "buffer running_mean"),
        ("Skips", "forward", "extra: Identity", "its call"),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_first_difference_is_named(broken, name, stage, where, what, dtype):
    report = broken(name, dtype=dtype)
    assert not report.equal
    first = report.first
    assert (first.step, first.stage, first.where, first.what) == (1, stage, where, what)
    assert report.verdict.startswith(f"first difference: step 1, {stage}, {where}")
    assert {each.step for each in report.findings} == {1}  # what follows only follows


def test_how_far_and_where(broken):
    found = broken("Layer").first.gap
    assert found.error == pytest.approx(1e-3, rel=1e-2)
    assert found.ours / found.theirs == pytest.approx(1.001)
    assert found.absolute == pytest.approx(abs(found.ours - found.theirs))
    assert len(found.at) == 4
    assert f"max abs {found.absolute:.1e}, max rel {found.error:.1e} at {found.at}: " in str(found)


def test_only_what_is_broken_differs(broken):
    """Everything before the first difference agrees, to the tolerance and to the letter."""
    report = broken("Backward")
    assert "dropout is set to 0 (layers.4): the libraries draw different masks" in report.notes
    good = [each for each in report.findings if each not in report.differences]
    stages = {each.stage for each in good}
    assert {"forward", "loss"} <= stages
    assert {"forward", "loss", "buffers"}.isdisjoint({e.stage for e in report.differences})
    assert ("layers.3: Linear", "gradient of weight") in {(e.where, e.what) for e in good}
    wrong = [(e.where, e.what) for e in report.differences if e.stage == "gradients"]
    assert wrong == [
        ("layers.0: Linear", "gradient of weight"), ("layers.0: Linear", "gradient of bias"),
    ]  # fmt: skip


def test_a_later_step(broken):
    first = broken("Later", steps=4).first
    assert (first.step, first.where, first.what) == (3, "Later", "its own code after two")
    assert broken("Later", steps=2).equal


def test_a_gradient_that_only_one_has(broken):
    report = broken("Detached")
    assert report.first.stage == "backward"
    assert report.first.gap.reason == "only torch has one"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_optimizer_that_differs(compare, dtype):
    pair = nn.Linear(3, 2), __import__("torch").nn.Linear(3, 2)

    def optimizer(lib, parameters):
        return lib.optim.SGD(parameters, lr=0.1 if lib is lucidlite else 0.101)

    report = compare(pair, np.eye(3), optimizer=optimizer, dtype=dtype)
    first = report.first
    assert (first.step, first.stage, first.where) == (1, "optimizer", "weight")
    assert first.what == "after SGD.step()"
    assert first.gap.error == pytest.approx(0.01, rel=0.02)
    assert {each.stage for each in report.differences} == {"optimizer"}


def test_names_shapes_and_flags_come_first(broken):
    report = broken("Shape")
    found = {each.where: each.gap.reason for each in report.differences}
    assert found == {
        "one.weight": "shape: ours (5, 6), torch (4, 6)",
        "one.bias": "shape: ours (5,), torch (4,)",
        "more.weight": "only lucidlite has one",
        "more.bias": "only lucidlite has one",
    }
    assert all(each.stage == "weights" and each.step == 0 for each in report.findings)
    assert report.verdict.startswith("first difference: before the first step, one.weight")
    missing = broken("Missing").differences
    assert (missing[0].where, str(missing[0].gap)) == ("layers.1", "class: ours Tanh, torch ReLU")
    assert [each.gap.reason for each in missing[1:]] == [
        *["only lucidlite has one"] * 2, *["only torch has one"] * 2
    ]
    frozen = broken("Frozen")
    assert str(frozen.first.gap) == "requires_grad: ours False, torch True"


def test_functional_dropout_is_explained(broken):
    report = broken("Dropping")
    assert report.first.stage == "forward"
    assert any("draws random numbers" in note for note in report.notes)
    assert broken("Dropping", train=False).equal


def test_rounding_is_no_difference(compare):
    """A bias in front of batch norm has a gradient of nothing but rounding."""
    import torch

    pair = [
        lib.nn.Sequential(
            lib.nn.Conv2d(2, 3, 3), lib.nn.BatchNorm2d(3), lib.nn.Flatten(), lib.nn.Linear(48, 2)
        )
        for lib in (lucidlite, torch)
    ]
    for dtype in ("float64", "float32"):
        for optimizer in ("sgd", "adam"):
            report = compare(pair, sizes=[(2, 6, 6)], optimizer=optimizer, dtype=dtype)
            assert report.equal, str(report)


# -- errors --------------------------------------------------------------------------------------


def test_both_raise(command, place):
    code, out, _ = command("broken.py:BothRaise")
    assert code == 1
    assert "step 1, forward: both raise" in out
    ours, theirs = out.index("  lucidlite  RuntimeError"), out.index("  torch      RuntimeError")
    line = BROKEN[: BROKEN.index("self.two(self.one(x))\n\n\nclass OneRaises")].count("\n") + 1
    spot = f"at {place / 'broken.py'}:{line} in forward"
    assert out.count("at broken.py:") + out.count(spot) == 2
    assert f":{line} in forward" in out[ours:theirs]
    assert f":{line} in forward" in out[theirs:]


def test_one_raises(broken):
    report = broken("OneRaises")
    assert not report.equal
    assert report.verdict == "step 1, forward: only torch raises"
    (problem,) = report.problems
    assert (problem.library, problem.kind, problem.message) == ("torch", "KeyError", "'mine'")
    assert "in forward" in problem.place


def test_models_of_float32_only(broken):
    report = broken("Single")
    assert len(report.problems) == 2
    assert "if the model works in float32 only, compare in float32" in report.notes
    assert broken("Single", dtype="float32").equal


def test_a_second_input_is_asked_for(broken):
    report = broken("Two")
    assert report.verdict == "step 1, forward: both raise"
    assert "a model of several inputs takes --input SIZES once for each" in report.notes
    assert broken("Two", sizes=[(6,), (6,)], steps=1).equal


def test_no_tensor(broken):
    report = broken("NoTensor")
    assert [each.library for each in report.problems] == ["lucidlite", "torch"]
    assert "forward returned no tensor, but a NoneType" in str(report)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet9"], "must be one of cnn-with-gap, lenet, resnet8 or path.py:Class, got model="),
        (["no.py:Net"], "there is no file no.py"),
        (["broken.py:Nope"], "broken.py has no nn.Module called Nope, only Off, Layer, Between"),
        (["broken.py:a_function"], "called a_function (a class is needed, not a function), only"),
        (["broken.py:CannotBe"], "missing 1 required positional argument: 'width'; torch: Type"),
        (["broken.py:CannotBe"], "; a class is given num_classes, in_channels, image_size, the"),
        (["ends.py:Net"], "lucidlite: SystemExit: 3 (ends.py:2 in <module>); torch: SystemExit"),
        (["ends.py:Net"], 'belongs under if __name__ == "__main__"'),
        (["broken.py:NotInOurs"], "lucidlite: AttributeError: no such layer (broken.py:"),
        (["broken.py:NotInOurs"], "torch makes it"),
        (["empty.py:Net"], "has no nn.Module called Net"),
        (["syntax.py:Net"], "syntax.py:2"),
        (["lenet", "--device", "tpu"], "tpu"),
    ],
)
def test_mistakes_in_one_line(command, place, arguments, message):
    (place / "empty.py").write_text("")
    (place / "ends.py").write_text("import sys, torch\nsys.exit(3)\n")
    (place / "syntax.py").write_text("import torch\ndef f(:\n")
    code, out, err = command(*arguments)
    assert code == 2
    assert not out
    assert message in err
    assert len(err.splitlines()) == 1


def test_argparse_refuses(command):
    for arguments in (
        ["--steps", "0"], ["--input", "3,x"], ["--input", "0"], ["--loss", "none"],
        ["--train", "--eval"], ["--optimizer", "lbfgs"],
    ):  # fmt: skip
        code, _, err = command("lenet", *arguments)
        assert code == 2
        assert "lucidlite parity: error:" in err


def test_python_refuses(compare):
    for options, message in (
        ({"dtype": "float16"}, "dtype must be one of float64, float32, got dtype='float16'"),
        ({"optimizer": "lion"}, "optimizer must be one of sgd, adam,"),
        ({"loss": "none"}, "loss must be one of cross-entropy,"),
        ({"steps": 0}, "steps must be at least 1, got steps=0"),
        ({"batch": 0}, "batch must be at least 1, got batch=0"),
        ({"tolerance": -1.0}, "tolerance must be 0 or more, got tolerance=-1.0"),
        ({"tolerance": float("nan")}, "tolerance must be 0 or more, got tolerance=nan"),
    ):
        with pytest.raises(ValueError, match=message):
            compare("lenet", **options)


def test_without_pytorch(monkeypatch, capsys):
    """None among the loaded modules makes an import fail as if it weren't installed."""
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(["parity", "lenet"]) == 2
    err = capsys.readouterr().err
    assert "PyTorch is not installed" in err
    assert "pip install 'lucidlite[parity]'" in err
    assert len(err.splitlines()) == 1


# -- the command ---------------------------------------------------------------------------------


def test_table_and_verdict(command):
    code, out, _ = command("lenet", "--steps", "2", "--batch", "2", "--optimizer", "adam")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == (
        "LeNet on (2, 1, 28, 28): float64, training mode, cross-entropy, Adam with lr 0.001"
    )
    assert lines[2].split()[:5] == ["weights", "of", "step", "forward", "buffers"]
    rows = [line.split() for line in lines[3:7]]
    assert [row[:2] for row in rows] == [[w, s] for w in ("lucidlite", "torch") for s in ("1", "2")]
    assert all(0 <= float(cell) < 1e-9 for row in rows for cell in row[2:] if cell != "-")
    assert lines[-1].startswith("equal within 1e-09 over 2 steps (worst: ")


def test_a_difference_ends_with_1(command):
    code, out, _ = command("broken.py:Layer", "--dtype", "float32", "--input", "3,9,9", "--eval")
    assert code == 1
    assert "Layer on (4, 3, 9, 9): float32, evaluation mode" in out
    assert "<" in out.splitlines()[3]
    assert out.splitlines()[-1].startswith(
        "first difference: step 1, forward, features.3: Off: max"
    )
    assert command("broken.py:Layer", "--tolerance", "0.01")[0] == 0


def test_inputs_by_the_first_layer(compare, place):
    (place / "inputs.py").write_text("""
from torch import nn
class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Embedding(5, 3)
    def forward(self, x):
        return self.layer(x)
class Signal(Tokens):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv1d(2, 3, 3)
class Sequence(Tokens):
    def __init__(self):
        super().__init__()
        self.layer = nn.GRU(4, 3, batch_first=True)
class Grey(Tokens):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3)
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Bilinear(2, 3, 4)
    def forward(self, x, y):
        return self.layer(x, y)
""")
    shapes = {
        "Tokens": "(4, 10)", "Signal": "(4, 2, 32)", "Sequence": "(4, 10, 4)",
        "Grey": "(4, 1, 32, 32)", "Pair": "(4, 2), (4, 3)",
    }  # fmt: skip
    for name, shape in shapes.items():
        sizes = [(2,), (3,)] if name == "Pair" else ()
        report = compare(f"{place / 'inputs.py'}:{name}", steps=1, both_ways=False, sizes=sizes)
        assert report.equal, str(report)
        assert report.title.startswith(f"{name} on {shape}: ")
    report = compare(f"{place / 'inputs.py'}:Sequence", steps=1, both_ways=False)
    assert "the model returns 2 tensors: the loss is of the first" in report.notes


def test_on_a_gpu(compare, cuda):
    """Ours there (or on the stand-in for one), PyTorch there if it has one."""
    report = compare("lenet", steps=1, batch=2, device=cuda, both_ways=False, dtype="float32")
    assert report.equal, str(report)


def test_reports_are_data(broken):
    report = broken("Layer", steps=1)
    assert {field.name for field in dataclasses.fields(report)} >= {"findings", "problems", "notes"}
    assert all(np.isfinite(each.gap.error) for each in report.findings)


# -- the measure ---------------------------------------------------------------------------------


def test_gaps():
    one = np.array([[1.0, -4.0], [0.5, 2.0]])
    other = one + np.array([[0, 0], [0.002, 0]])
    found = gap(one, other)
    assert found.absolute == pytest.approx(0.002)
    assert found.error == pytest.approx(0.0005)
    assert (found.at, found.ours, found.theirs) == ((1, 0), 0.5, 0.502)
    assert gap(one, one.copy()).error == 0
    assert gap(one, other, among=2000.0).error == pytest.approx(0.0001)
    assert gap(one, other, before=one - 0.02).error == pytest.approx(0.002 / 0.022)
    assert gap(one, one.astype(np.float32)).reason == "dtype: ours float64, torch float32"
    assert gap(one, one[:1]).reason == "shape: ours (2, 2), torch (1, 2)"
    assert gap(np.array([1, 2]), np.array([1, 3])).error == np.inf
    assert gap(np.array([True]), np.array([True])).error == 0
    odd = np.array([np.nan, np.inf, 1.0])
    assert gap(odd, odd.copy()).error == 0
    assert gap(odd, np.array([0.0, np.inf, 1.0])).error == np.inf
    assert gap(odd, np.array([np.nan, -np.inf, 1.0])).error == np.inf
    assert gap(odd, np.array([np.nan, np.inf, 1.01])).error == pytest.approx(0.01 / 1.01)
    assert gap(np.array(2.0), np.array(3.0)).at == ()
    assert gap(np.empty((0, 2)), np.empty((0, 2))).error == 0
