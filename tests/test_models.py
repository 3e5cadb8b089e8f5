"""The models: what they are made of, and that they train."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

import lucidlite as torch
from lucidlite import models
from lucidlite.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "cnn_with_gap.py"

BUILT = [
    (models.CNNWithGAP, {}, (3, 32, 32), 373_386),
    (models.CNNWithGAP, {"num_classes": 3}, (3, 24, 40), 371_587),
    (models.LeNet, {}, (1, 28, 28), 421_642),
    (models.LeNet, {"num_classes": 7, "in_channels": 3, "image_size": 32}, (3, 32, 32), 544_711),
    (models.ResNet8, {}, (3, 32, 32), 78_042),
    (models.ResNet8, {"num_classes": 5, "in_channels": 1}, (1, 28, 28), 77_429),
]


def bare_class(source):
    """The class's syntax tree without its docstring and annotations, as text."""
    (node,) = [
        n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "CNNWithGAP"
    ]
    if ast.get_docstring(node) is not None:
        del node.body[0]
    for function in node.body:
        function.returns = None
        for argument in function.args.args:
            argument.annotation = None
    return ast.dump(node)


def test_documented_class_is_the_examples():
    package = inspect.getsource(models.CNNWithGAP)
    assert bare_class(package) == bare_class(EXAMPLE.read_text(encoding="utf-8"))


def test_example_holds_the_document_verbatim():
    documents = sorted((ROOT.parent / "shared" / "seeds").glob("002*"))
    if not documents:
        pytest.skip("the document is not beside this checkout")
    lines = [line.strip() for line in documents[0].read_text(encoding="utf-8").splitlines()]
    first = lines.index("class CNNWithGAP(nn.Module):")
    last = lines.index("return x", first)
    example = [line.strip() for line in EXAMPLE.read_text(encoding="utf-8").splitlines()]
    start = example.index("class CNNWithGAP(nn.Module):")
    assert example[start : start + last - first + 1] == lines[first : last + 1]


@pytest.mark.parametrize(("kind", "options", "shape", "parameters"), BUILT)
def test_shapes_and_sizes(kind, options, shape, parameters):
    torch.manual_seed(0)
    model = kind(**options)
    assert sum(p.numel() for p in model.parameters()) == parameters
    output = model(torch.randn(2, *shape))
    assert output.shape == (2, options.get("num_classes", 10))
    output.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("kind", [models.LeNet, models.ResNet8])
def test_a_model_learns_a_batch(kind):
    torch.manual_seed(0)
    model = kind(num_classes=4, in_channels=1)
    x, y = torch.randn(8, 1, 28, 28), torch.tensor([0, 1, 2, 3] * 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(model(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]


def test_resnet_halves_twice_and_adds():
    model = models.ResNet8()
    sizes = []
    for block in model.blocks:
        block.register_forward_hook(lambda *call: sizes.append(tuple(call[2].shape)))
    model(torch.zeros(1, 3, 32, 32))
    assert sizes == [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]
    # With the convolutions' part at zero, a block is the identity on what is not negative.
    block = model.blocks[0]
    block.bn2.weight.data.zero_()
    x = torch.rand(2, 16, 8, 8)
    np.testing.assert_array_equal(block(x).detach().numpy(), x.numpy())


def test_lenet_says_what_is_too_small():
    with pytest.raises(ValueError, match="image_size must be at least 4, got image_size=3"):
        models.LeNet(image_size=3)


def test_same_numbers_as_torch():
    real = pytest.importorskip("torch", reason="compares with PyTorch")
    torch.manual_seed(0)
    own = models.CNNWithGAP()
    example = {"torch": real, "nn": real.nn, "__name__": "example"}
    source = EXAMPLE.read_text(encoding="utf-8")
    exec(source[source.index("class CNNWithGAP") : source.index("if __name__")], example)
    other = example["CNNWithGAP"]()
    other.load_state_dict(
        {name: real.from_numpy(np.array(v.numpy())) for name, v in own.state_dict().items()}
    )
    x = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    found, expected = own(torch.from_numpy(x)), other(real.from_numpy(x))
    np.testing.assert_allclose(
        found.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5
    )
