"""summary: its numbers against hand counts, and that the model stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

import lucidlite as torch
from lucidlite import models, nn
from lucidlite.summary import summary


def test_numbers_of_each_layer():
    model = nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5, bias=False),
    )
    table = summary(model, (4, 9, 9))
    conv, norm, relu, pool, flat, linear = table.layers
    assert conv == ("0", "Conv2d", (1, 6, 5, 5), 6 * 2 * 6 + 6, 150 * 2 * 6, 600, 1)
    assert norm[2:6] == ((1, 6, 5, 5), 12, 0, 600)
    assert (relu.activation_bytes, pool.output, flat.output) == (600, (1, 6, 1, 1), (1, 6))
    assert linear[2:6] == ((1, 5), 30, 30, 20)
    assert table.parameters == table.trainable == 78 + 12 + 30
    assert table.multiply_adds == 1800 + 30
    assert table.parameter_bytes == 4 * 120
    assert table.activation_bytes == 3 * 600 + 24 + 24 + 20


def test_work_agrees_with_the_formula_for_the_documented_cnn():
    convs = [(3, 64, 32), (64, 128, 16), (128, 256, 8)]
    work = sum(9 * c * k * size * size for c, k, size in convs) + 256 * 10
    assert summary(models.CNNWithGAP(), (3, 32, 32)).multiply_adds == work


def test_a_batch_costs_its_size():
    model = models.LeNet()
    one, four = summary(model, (1, 28, 28)), summary(model, torch.zeros(4, 1, 28, 28))
    assert four.multiply_adds == 4 * one.multiply_adds
    assert four.activation_bytes == 4 * one.activation_bytes
    assert four.inputs == (4, 1, 28, 28)
    assert four.parameters == one.parameters


def test_shared_and_frozen_layers():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.frozen = nn.Linear(3, 2).requires_grad_(False)
            self.unused = nn.Linear(9, 9)

        def forward(self, x):
            return {"out": [self.frozen(self.layer(self.layer(x)))]}

    table = summary(Twice(), (3,))
    assert [(each.name, each.calls, each.multiply_adds) for each in table.layers] == [
        ("layer", 2, 18), ("frozen", 1, 6),
    ]  # fmt: skip
    assert (table.parameters, table.trainable) == (12 + 8 + 90, 12 + 90)
    text = str(table)
    assert "layer x2" in text
    assert text.endswith("102 trainable, 8 frozen")


def test_the_model_stays_as_it_was():
    model = models.ResNet8()
    model.blocks[1].eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    text = str(summary(model, (3, 32, 32)))
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(p.grad is None for p in model.parameters())
    assert "78,042" in text.splitlines()[-2]


def test_hooks_leave_after_an_error():
    model = models.LeNet()
    with pytest.raises(RuntimeError):
        summary(model, (3, 28, 28))
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(ValueError, match="positive sizes"):
        summary(model, (0, 28, 28))


def test_a_single_layer_has_its_classes_name():
    assert [layer.name for layer in summary(nn.Linear(2, 2), (2,)).layers] == ["Linear"]
