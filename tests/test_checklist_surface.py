"""What the documents' code uses, under PyTorch's names: one test a symbol (test_S_...)."""

import subprocess
import sys

import numpy as np
import pytest
from seed_examples import cnn_with_gap

import lucidlite as torch
from lucidlite import nn


def test_S_tensor():
    assert torch.tensor([[1, 2], [3, 4]]).dtype is torch.int64
    assert torch.tensor([1.5, 2]).dtype is torch.float32
    assert torch.tensor([True]).dtype is torch.bool
    assert torch.tensor([[[1], [2]]]).shape == (1, 2, 1)
    scalar = torch.tensor(2.5)
    assert (scalar.shape, scalar.dim(), scalar.item()) == ((), 0, 2.5)
    assert torch.tensor([1, 2], dtype=torch.float64).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="expected sequence"):
        torch.tensor([[1, 2], [3]])


def test_S_randn():
    for x in (torch.randn(2, 3, 4), torch.randn([2, 3, 4]), torch.randn((2, 3, 4))):
        assert x.shape == (2, 3, 4)
        assert x.dtype is torch.float32
    torch.manual_seed(7)
    first = torch.randn(1000)
    torch.manual_seed(7)
    assert torch.equal(first, torch.randn(1000))
    assert not torch.equal(first, torch.randn(1000))
    values = torch.randn(20_000)
    assert values.mean().item() == pytest.approx(0, abs=0.03)
    assert values.std().item() == pytest.approx(1, abs=0.03)


def test_S_ones():
    for x in (torch.ones((2, 3)), torch.ones(2, 3), torch.ones([2, 3])):
        assert x.tolist() == [[1.0] * 3] * 2
        assert x.dtype is torch.float32


def test_S_float32():
    assert repr(torch.float32) == "torch.float32"
    assert torch.zeros(1).dtype is torch.float32
    assert torch.float32.is_floating_point


def test_S_functional():
    F = torch.nn.functional
    x = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert F.relu(x).tolist() == [[1, 0], [0, 3]]
    loss = F.cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3]))
    assert loss.item() == pytest.approx(1.386294)
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert F.max_pool2d(image, 2).tolist() == [[[[5, 7], [13, 15]]]]
    assert F.avg_pool2d(image, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert F.adaptive_avg_pool2d(image, 1).tolist() == [[[[7.5]]]]


def test_S_shape_and_size():
    x = torch.zeros(2, 3, 4)
    assert x.shape == x.size() == (2, 3, 4)
    assert isinstance(x.shape, tuple)
    assert (x.size(0), x.size(-1), x.size(dim=1)) == (2, 4, 3)
    assert type(x.size(0)) is int
    with pytest.raises(IndexError, match=r"expected to be in range of \[-3, 2\], but got 3"):
        x.size(3)


def test_S_view():
    x = torch.arange(24.0).view(2, 3, 2, 2)
    flat = x.view(x.size(0), -1)
    assert flat.shape == (2, 12)
    flat[0, 0] = 9  # the same memory
    assert x[0, 0, 0, 0].item() == 9
    assert x.view(-1).shape == (24,)
    with pytest.raises(RuntimeError, match=r"view: .*Use .reshape"):
        x.transpose(0, 1).view(6, 4)
    assert x.transpose(0, 1).reshape(6, 4).shape == (6, 4)
    with pytest.raises(RuntimeError, match="invalid for input of size 24"):
        x.view(5, -1)


def test_S_view_after_every_layer_of_the_network():
    x = torch.randn(2, 3, 8, 8)
    for layer in (nn.Conv2d(3, 3, 3, padding=1), nn.MaxPool2d(2), nn.AvgPool2d(2),
                  nn.AdaptiveAvgPool2d(3), nn.BatchNorm2d(3), nn.ReLU()):  # fmt: skip
        out = layer(x)
        assert out.view(out.size(0), -1).tolist() == out.detach().reshape(2, -1).tolist()


def test_S_squeeze_tolist_numel():
    x = torch.tensor([[[[0.975620687007904, 1.0]]]])
    assert x.squeeze().shape == (2,)
    # float32 values as Python floats, all digits.
    assert x.squeeze().tolist() == [0.975620687007904, 1.0]
    assert str(x.squeeze().tolist()) == "[0.975620687007904, 1.0]"
    assert x.numel() == 2
    assert type(x.numel()) is int
    assert torch.tensor([[1, 2]]).tolist() == [[1, 2]]
    assert torch.tensor(3).tolist() == 3


def test_S_indexing():
    x = torch.arange(24.0, requires_grad=True).view(2, 3, 4)
    assert x[0, 0].tolist() == [0, 1, 2, 3]
    x[1, 2].sum().backward()
    leaf = torch.arange(4.0, requires_grad=True)
    leaf[1:3].sum().backward()
    assert leaf.grad.tolist() == [0, 1, 1, 0]
    y = x.detach()
    assert y[:, ::2, 1:-1].shape == (2, 2, 2)
    assert y[None, ..., -1].shape == (1, 2, 3)
    assert y[y > 20].tolist() == [21, 22, 23]
    assert y[1, np.array([0, 2]), torch.tensor([3, 1])].tolist() == [15, 21]
    assert y[-1, -1, -1].item() == 23


def test_S_print_a_tensor(capsys):
    print(torch.tensor([[1.0, 2.5], [-3.0, 4.0]]))
    assert capsys.readouterr().out == "tensor([[ 1.0000,  2.5000],\n        [-3.0000,  4.0000]])\n"


def test_S_print_shapes(capsys):
    x = torch.zeros(4, 64, 16, 16)
    print("a", x.shape, "->", x[0].shape)
    assert capsys.readouterr().out == "a (4, 64, 16, 16) -> (64, 16, 16)\n"
    assert f"{x.shape}" == "(4, 64, 16, 16)"


def test_S_integer_results():
    x = torch.zeros(4, 64)
    assert x.numel() // 64 == 4
    assert f"{x.numel() // 64}" == "4"
    assert f"{x.size(0)}/{x.dim()}" == "4/2"


def test_S_Module():
    class Old(nn.Module):
        def __init__(self):
            super(Old, self).__init__()  # noqa: UP008
            self.layer = nn.Linear(2, 1)

        def forward(self, x):
            return self.layer(x)

    model = Old()
    assert [name for name, _ in model.named_parameters()] == ["layer.weight", "layer.bias"]
    assert model(torch.ones(3, 2)).shape == (3, 1)

    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Forgetful()


def test_S_Sequential():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    assert model(torch.ones(1, 3, 6, 6)).shape == (1, 4, 2, 2)
    assert isinstance(model[1], nn.ReLU)
    assert len(model) == 3


def test_S_Conv2d():
    layer = nn.Conv2d(3, 64, 3, padding=1)
    assert (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
    assert layer.bias.shape == (64,)
    assert layer.padding_mode == "zeros"
    positional = nn.Conv2d(4, 6, 3, 2, 1, 2, 2, False, "reflect")
    assert positional.weight.shape == (6, 2, 3, 3)
    assert positional.bias is None
    x = torch.ones(1, 3, 9, 8)
    assert nn.Conv2d(3, 5, (3, 4), padding="same")(x).shape == (1, 5, 9, 8)
    assert nn.Conv2d(3, 5, 3, padding="valid")(x).shape == (1, 5, 7, 6)


def test_S_reprs():
    assert [repr(layer) for layer in (
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Linear(256, 10),
        nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(2))] == [
        "Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
        "ReLU()",
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
        "Linear(in_features=256, out_features=10, bias=True)",
        "AdaptiveAvgPool2d(output_size=1)",
        "AvgPool2d(kernel_size=2, stride=2, padding=0)",
    ]  # fmt: skip


def test_S_print_a_model():
    lines = repr(cnn_with_gap(torch)()).splitlines()
    assert lines[:3] == [
        "CNNWithGAP(",
        "  (features): Sequential(",
        "    (0): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
    ]
    assert lines[-2] == "  (classifier): Linear(in_features=256, out_features=10, bias=True)"
    assert lines[-1] == ")"


def test_S_forward_and_extra_repr():
    layer, x = nn.AvgPool2d(3, 2), torch.randn(1, 2, 7, 7)
    assert torch.equal(layer.forward(x), layer(x))
    assert layer.extra_repr() == "kernel_size=3, stride=2, padding=0"


@pytest.mark.parametrize(
    ("layer", "bound"), [(nn.Linear(256, 300), 0.0625), (nn.Conv2d(3, 300, 3), 0.19245)]
)
def test_S_initial_values(layer, bound):
    for parameter in (layer.weight, layer.bias):
        values = parameter.detach().numpy()
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.97 * bound
        assert values.std() == pytest.approx(bound / 3**0.5, rel=0.1)


PRINTED = {
    "tensor(3.)": lambda: torch.tensor(3.0),
    "tensor([])": lambda: torch.tensor([]),
    "tensor([1., 2.])": lambda: torch.tensor([1.0, 2.0]),
    "tensor([1.5000, 2.0000])": lambda: torch.tensor([1.5, 2.0]),
    "tensor([1.0000e-05, 1.0000e+00])": lambda: torch.tensor([1e-5, 1.0]),
    "tensor([1.0000e+05, 1.0000e+00])": lambda: torch.tensor([1e5, 1.0]),
    "tensor([-1., 10.])": lambda: torch.tensor([-1.0, 10.0]),
    "tensor([], size=(3, 0))": lambda: torch.zeros(3, 0),
    "tensor([1.], dtype=torch.float64)": lambda: torch.tensor([1.0], dtype=torch.float64),
    "tensor([1.], requires_grad=True)": lambda: torch.tensor([1.0], requires_grad=True),
    "tensor([2.], grad_fn=<MulBackward0>)": lambda: torch.ones(1, requires_grad=True) * 2,
    "Parameter containing:\ntensor([1.], requires_grad=True)": lambda: nn.Parameter(torch.ones(1)),
    "tensor([[0.],\n        [1.]])": lambda: torch.tensor([[0.0], [1.0]]),
    "tensor([[[1.]],\n\n        [[1.]]])": lambda: torch.ones(2, 1, 1),
    "tensor([   0,    1,    2,  ..., 1998, 1999, 2000])": lambda: torch.arange(2001),
}


@pytest.mark.parametrize("text", PRINTED)
def test_S_print_rules(text):
    assert repr(PRINTED[text]()) == text


def test_S_print_width():
    lines = repr(torch.arange(100.0)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("tensor([ 0.,  1.,")


def test_S_the_alias():
    """``import lucidlite as torch`` is enough for ``torch.nn``, in a fresh interpreter."""
    code = "import lucidlite as torch; print(torch.nn.AvgPool2d(2)(torch.ones(1, 1, 2, 2)).shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 1, 1, 1)\n"
