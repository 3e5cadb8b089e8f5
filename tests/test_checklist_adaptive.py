"""AdaptiveAvgPool2d and CNNWithGAP as documented: one test a row, named by the row's ID."""

import inspect

import numpy as np
import pytest
from seed_examples import ADAPTIVE, CNN_USE, CNN_WITH_GAP, SIZES, cnn_with_gap, with_imports

import lucidlite as torch
from lucidlite import nn


def run(code, capsys):
    variables = {"__name__": "__main__"}
    exec(with_imports(code, "lucidlite"), variables)
    return capsys.readouterr().out, variables


def test_D1_output_size():
    assert list(inspect.signature(nn.AdaptiveAvgPool2d).parameters) == ["output_size"]
    assert repr(nn.AdaptiveAvgPool2d(1)) == "AdaptiveAvgPool2d(output_size=1)"
    assert repr(nn.AdaptiveAvgPool2d((1, 7))) == "AdaptiveAvgPool2d(output_size=(1, 7))"
    assert nn.AdaptiveAvgPool2d((1, 7)).output_size == (1, 7)
    assert nn.AdaptiveAvgPool2d(output_size=3)(torch.ones(1, 2, 9, 9)).shape == (1, 2, 3, 3)


def test_D2_any_size_to_one(capsys):
    said, variables = run(ADAPTIVE, capsys)
    for name in ("out1", "out2", "out3"):
        assert variables[name].shape == (1, 64, 1, 1)
    assert said.splitlines()[:3] == [
        "32x32 -> (1, 64, 1, 1)", "16x16 -> (1, 64, 1, 1)", "8x8 -> (1, 64, 1, 1)",
    ]  # fmt: skip


def test_D3_examples_whose_backslash_was_lost(capsys):
    for code in (ADAPTIVE, SIZES, CNN_WITH_GAP + CNN_USE):
        said, _ = run(code, capsys)
        assert any(line.startswith("n") for line in said.splitlines())


def test_D4_to_four_by_four():
    assert nn.AdaptiveAvgPool2d((4, 4))(torch.randn(2, 128, 32, 32)).shape == (2, 128, 4, 4)


def test_D5_twenty_columns_to_seven():
    x = torch.randn(2, 64, 10, 20)
    pooled = nn.AdaptiveAvgPool2d((1, 7))(x)
    assert pooled.shape == (2, 64, 1, 7)
    bins = [(0, 3), (2, 6), (5, 9), (8, 12), (11, 15), (14, 18), (17, 20)]
    for i, (start, end) in enumerate(bins):
        want = x.numpy()[..., start:end].mean((2, 3))
        np.testing.assert_allclose(pooled[:, :, 0, i].numpy(), want, rtol=1e-4, atol=1e-6)


def test_D6_bins_overlap_where_sizes_do_not_divide():
    x = torch.arange(1.0, 26.0).view(1, 1, 5, 5)
    pooled = nn.AdaptiveAvgPool2d(3)(x)
    want = [[4, 5.5, 7], [11.5, 13, 14.5], [19, 20.5, 22]]
    np.testing.assert_allclose(pooled[0, 0].numpy(), want, rtol=1e-6)


def test_D7_the_documented_network():
    assert cnn_with_gap(torch)()(torch.randn(4, 3, 32, 32)).shape == (4, 10)


def test_D8_the_shape_of_every_stage():
    model = cnn_with_gap(torch)()
    x, shapes = torch.randn(4, 3, 32, 32), []
    for layer in model.features:
        x = layer(x)
        shapes.append(x.shape[1:])
    assert shapes == [
        (64, 32, 32), (64, 32, 32), (64, 16, 16), (128, 16, 16), (128, 16, 16), (128, 8, 8),
        (256, 8, 8), (256, 8, 8), (256, 4, 4),
    ]  # fmt: skip
    x = model.avgpool(x)
    assert x.shape == (4, 256, 1, 1)
    x = x.view(x.size(0), -1)
    assert x.shape == (4, 256)
    assert model.classifier(x).shape == (4, 10)


def test_D9_parameters():
    model = cnn_with_gap(torch)()
    shapes = {name: p.shape for name, p in model.named_parameters()}
    assert shapes == {
        "features.0.weight": (64, 3, 3, 3),
        "features.0.bias": (64,),
        "features.3.weight": (128, 64, 3, 3),
        "features.3.bias": (128,),
        "features.6.weight": (256, 128, 3, 3),
        "features.6.bias": (256,),
        "classifier.weight": (10, 256),
        "classifier.bias": (10,),
    }
    assert sum(p.numel() for p in model.parameters()) == 373_386
    assert list(model.state_dict()) == list(shapes)


def test_D10_num_classes():
    assert cnn_with_gap(torch)(num_classes=100)(torch.randn(4, 3, 32, 32)).shape == (4, 100)


@pytest.mark.parametrize("size", [(64, 64), (48, 40), (33, 29), (8, 8)])
def test_D11_one_model_for_any_input_size(size):
    model = cnn_with_gap(torch)()
    out = model(torch.randn(2, 3, *size))
    assert out.shape == (2, 10)
    out.sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


def test_D12_the_class_as_it_was_typed():
    assert "def __init__ (self, num_classes=10):" in CNN_WITH_GAP
    assert "super(CNNWithGAP,self). __init__ ()" in CNN_WITH_GAP
    assert "nn.MaxPool2d(2),\n        )\n        # Global" in CNN_WITH_GAP
    model = cnn_with_gap(torch)()
    assert (
        repr(model)
        == """CNNWithGAP(
  (features): Sequential(
    (0): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (1): ReLU()
    (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (3): Conv2d(64, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (4): ReLU()
    (5): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (6): Conv2d(128, 256, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (7): ReLU()
    (8): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
  )
  (avgpool): AdaptiveAvgPool2d(output_size=1)
  (classifier): Linear(in_features=256, out_features=10, bias=True)
)"""
    )


def test_D13_adaptive_and_regular_pooling_are_equal():
    x = torch.randn(1, 64, 32, 32)
    adaptive = nn.AdaptiveAvgPool2d(2)(x)
    regular = nn.AvgPool2d(kernel_size=16, stride=16)(x)
    assert adaptive.shape == regular.shape == (1, 64, 2, 2)
    np.testing.assert_allclose(adaptive.numpy(), regular.numpy(), rtol=1e-6, atol=1e-7)


def test_D14_where_sizes_divide_adaptive_pooling_is_regular_pooling():
    """Speed is a matter for benchmarks; where bins are equal both are the same work."""
    for out, kernel in ((2, 16), (4, 8), ((1, 4), (32, 8)), ((8, 2), (4, 16))):
        x = torch.randn(2, 3, 32, 32, requires_grad=True)
        adaptive, regular = nn.AdaptiveAvgPool2d(out)(x), nn.AvgPool2d(kernel)(x)
        assert adaptive.detach().numpy().tobytes() == regular.detach().numpy().tobytes()
        grad = torch.randn(*adaptive.shape)
        gradients = [torch.autograd.grad(y, x, grad)[0] for y in (adaptive, regular)]
        assert torch.equal(*gradients)


def test_D15_one_value_a_map():
    x = torch.randn(3, 5, 7, 9)
    pooled = nn.AdaptiveAvgPool2d(1)(x)
    mean = x.mean((2, 3), keepdim=True)
    assert pooled.shape == mean.shape == (3, 5, 1, 1)
    np.testing.assert_allclose(pooled.numpy(), mean.numpy(), rtol=1e-6)


def test_D16_trains_end_to_end():
    """One batch, until it is known by heart; test_parity_training.py follows PyTorch's losses."""
    torch.manual_seed(0)
    model = cnn_with_gap(torch)(num_classes=4)
    x, labels = torch.randn(8, 3, 16, 16), torch.tensor([0, 1, 2, 3] * 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.01:
            break
    assert losses[0] == pytest.approx(np.log(4), abs=0.1)
    assert losses[-1] < 0.01
    assert model(x).argmax(1).tolist() == labels.tolist()
