"""Memory order stays out of sight: convolutions keep theirs, and no values or views notice."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from layout_cases import convolved, images

import lucidlite
from lucidlite import nn
from lucidlite.backends import cpu, default_backend

F = nn.functional


def in_conv_layout(tensor):
    return tensor.backend.in_conv_layout(tensor.array)


class Copies:
    """The copies the backend makes for the sake of memory order."""

    def __init__(self, monkeypatch):
        self.made = []
        kind = type(default_backend())
        plain = {name: getattr(kind, name) for name in ("to_conv_layout", "contiguous", "copy")}

        def to_conv_layout(backend, array):
            self.made.append(("to_conv_layout", array.shape))
            return plain["to_conv_layout"](backend, array)

        def contiguous(backend, array):
            if not array.flags.c_contiguous:
                self.made.append(("contiguous", array.shape))
            return plain["contiguous"](backend, array)

        def copied(backend, array):
            if not array.flags.c_contiguous:
                self.made.append(("copy", array.shape))
            return plain["copy"](backend, array)

        monkeypatch.setattr(kind, "to_conv_layout", to_conv_layout)
        monkeypatch.setattr(kind, "contiguous", contiguous)
        monkeypatch.setattr(kind, "copy", copied)


@pytest.fixture
def copies(monkeypatch):
    return Copies(monkeypatch)


# -- no copies on the way --------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, channels=4, classes=3):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.inner = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)
        self.head = nn.Conv2d(channels, channels, 2, stride=2)
        self.linear = nn.Linear(channels, classes)
        self.seen = []

    def keep(self, x):
        self.seen.append(x)
        if x.requires_grad:
            x.retain_grad()
        return x

    def forward(self, x):
        x = self.keep(F.relu(self.keep(self.norm1(self.keep(self.stem(x))))))
        y = self.keep(F.relu(self.norm2(self.inner(x)), inplace=True))
        x = self.keep(F.max_pool2d(self.keep(x + y), 2))
        x = self.keep(F.avg_pool2d(self.keep(self.head(x).relu()), 2, ceil_mode=True))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_is_not_laid_out_anew(batch, channels, copies):
    lucidlite.manual_seed(0)
    model = Residual(channels)
    x = lucidlite.randn(batch, 3, 8, 12)
    target = lucidlite.zeros(batch, dtype=lucidlite.int64)
    loss = F.cross_entropy(model(x), target)
    assert copies.made == []
    assert all(in_conv_layout(t) for t in model.seen)
    loss.backward()
    assert [made for made in copies.made if made[0] != "copy"] == []
    # What is copied into C order are gradients of parameters (and those retain_grad keeps).
    shapes = {tuple(p.shape) for p in model.parameters()}
    assert {shape for _, shape in copies.made} <= shapes
    # The last one's gradient is one number an image and channel, broadcast.
    assert all(in_conv_layout(t.grad) for t in model.seen[:-1])
    assert all(p.grad.is_contiguous() for p in model.parameters())


def test_evaluation_is_not_laid_out_anew(copies):
    model = Residual().eval()
    with lucidlite.no_grad():
        model(lucidlite.randn(2, 3, 8, 12))
    assert copies.made == []


def test_a_stray_operand_is_brought_over_once(copies):
    y = convolved(2, 3, 4, 5)
    total = y + images(2, 3, 4, 5)
    assert in_conv_layout(total)
    assert copies.made == [("to_conv_layout", (2, 3, 4, 5))]


@pytest.mark.parametrize(
    "shape", [(1, 3, 1, 1), (3, 1, 1), (2, 3, 1, 1), (5,), (4, 5), (1, 1, 4, 5)]
)
def test_a_broadcast_operand_stays(shape, copies):
    assert in_conv_layout(convolved(2, 3, 4, 5) * images(*shape))
    assert in_conv_layout(images(*shape) + convolved(2, 3, 4, 5))
    assert copies.made == []


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 3, 4, 5), (3, 4, 5)])
def test_a_broadcast_image_follows(shape, copies):
    """Where NumPy would let the smaller operand choose the order, that is what is copied."""
    assert in_conv_layout(convolved(2, 3, 4, 5) * images(*shape))
    assert in_conv_layout(images(*shape) + convolved(2, 3, 4, 5))
    assert all(np.prod(made) == np.prod(shape) for _, made in copies.made)


# -- operations keep conv layout -------------------------------------------------------------------

KEEPERS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "gelu": F.gelu,
    "sigmoid": lucidlite.sigmoid,
    "tanh": lucidlite.tanh,
    "exp": lucidlite.exp,
    "abs": lucidlite.abs,
    "neg": lambda x: -x,
    "scalar": lambda x: 2.0 * x + 1,
    "pow": lambda x: x**3,
    "square": lambda x: x**2,
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "sum of two": lambda x: x + x.exp(),
    "division": lambda x: x / (x * x + 1),
    "maximum": lambda x: lucidlite.maximum(x, -x),
    "where": lambda x: lucidlite.where(x > 0, x, 0.0),
    "masked_fill": lambda x: x.masked_fill(x > 0, 0.0),
    "comparison": lambda x: x > 0,
    "clone": lambda x: x.clone(),
    "detach": lambda x: x.detach(),
    "float": lambda x: x.float(),
    "dropout": lambda x: F.dropout(x, 0.5),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "cat channels": lambda x: lucidlite.cat([x, x * 2], 1),
    "cat images": lambda x: lucidlite.cat([x, x * 2], 0),
    "pad": lambda x: F.pad(x, (1, 1, 2, 0)),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, (3, 2)),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (2, 4)),
    "conv2d": lambda x: F.conv2d(x, images(4, 3, 3, 3)),
    "depthwise": lambda x: F.conv2d(x, images(3, 1, 3, 3), groups=3, padding=1),
    "in place": lambda x: x.clone().mul_(2.0).add_(1.0).relu_(),
    "crop": lambda x: x[:, :, 1:-1, 1:],
}


@pytest.mark.parametrize("keep", KEEPERS.values(), ids=KEEPERS.keys())
@pytest.mark.parametrize("batch", [1, 3])
def test_conv_layout_is_kept(keep, batch):
    y = convolved(batch, 3, 6, 8, grad=True)
    lucidlite.manual_seed(0)
    result = keep(y)
    assert in_conv_layout(result)
    lucidlite.manual_seed(0)
    expected = keep(lucidlite.from_numpy(y.detach().contiguous().numpy().copy()))
    np.testing.assert_allclose(result.detach().numpy(), expected.numpy(), 1e-12, 1e-12)


# -- what tells the truth --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "contiguous"),
    [((2, 3, 4, 5), False), ((1, 3, 4, 5), False), ((2, 1, 4, 5), False), ((1, 1, 4, 5), True),
     ((2, 3, 1, 1), True), ((1, 3, 1, 1), True)],
)  # fmt: skip
def test_facts(shape, contiguous):
    y = convolved(*shape)
    assert y.is_contiguous() == contiguous
    array = y.numpy()
    assert y.stride() == tuple(s // 8 for s in array.strides)
    assert y.stride(1) == y.stride()[1]
    assert y.data_ptr() == array.ctypes.data
    assert y.shape == shape
    plain = y.contiguous()
    assert plain.is_contiguous()
    assert (plain is y) == contiguous
    np.testing.assert_array_equal(plain.numpy(), array)
    assert plain.stride()[-1] == 1 or shape[-1] == 1


def test_contiguous_has_a_gradient():
    y = convolved(2, 3, 4, 5, grad=True)
    plain = y.contiguous()
    assert type(plain.grad_fn).__name__ == "CloneBackward0"
    plain.sum().backward()


def test_values_come_in_logical_order(tmp_path):
    y = convolved(2, 3, 4, 5)
    plain = lucidlite.from_numpy(np.ascontiguousarray(y.numpy()))
    assert y.tolist() == plain.tolist()
    assert repr(y) == repr(plain)
    assert str(y[0]) == str(plain[0])
    assert y.numpy().ravel().tolist() == plain.numpy().ravel().tolist()
    assert [float(v) for row in y for v in row.flatten()] == plain.flatten().tolist()
    assert y.argmax().item() == plain.argmax().item()
    assert y.nonzero().tolist() == plain.nonzero().tolist()
    assert y[y > 0].tolist() == plain[plain > 0].tolist()
    assert y.cumsum(3).tolist() == plain.cumsum(3).tolist()
    assert lucidlite.stack([y, y]).tolist() == lucidlite.stack([plain, plain]).tolist()
    assert copy.deepcopy(y).tolist() == plain.tolist()
    lucidlite.save({"y": y}, tmp_path / "y")
    assert lucidlite.load(tmp_path / "y")["y"].tolist() == plain.tolist()
    assert np.asarray(y).tobytes() == plain.numpy().tobytes()


def test_parameters_and_gradients_are_plain():
    """Whatever the layout of what comes in, weights and their gradients are C-contiguous."""
    layer = nn.Conv2d(3, 4, 3).double()
    out = layer(convolved(2, 3, 6, 6))
    (out * out).sum().backward()
    for parameter in layer.parameters():
        assert parameter.is_contiguous()
        assert parameter.grad.is_contiguous()
    assert layer.state_dict()["weight"].is_contiguous()


def test_leaf_gradients_are_in_c_order():
    x = images(2, 3, 4, 5, grad=True)
    F.conv2d(x, images(4, 3, 3, 3)).sum().backward()
    assert x.grad.is_contiguous()


def test_random_numbers_follow_the_logical_order():
    y = convolved(2, 3, 4, 5)
    plain = y.contiguous()
    for draw in (lucidlite.rand_like, lucidlite.randn_like, lambda t: F.dropout(t * 0 + 1, 0.5)):
        lucidlite.manual_seed(4)
        a = draw(y)
        lucidlite.manual_seed(4)
        np.testing.assert_array_equal(a.numpy(), draw(plain).numpy())


@pytest.mark.parametrize(
    "shape", [(3, 5, 7, 9), (64, 64, 16, 16), (33, 70, 13, 20), (130, 64, 8, 8)]
)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
def test_copies_between_the_orders(shape, kind):
    """Tile by tile where they are large; every element is where it was."""
    n, c, h, w = shape
    values = np.random.default_rng(0).integers(0, 200, shape).astype(kind)
    image = np.ascontiguousarray(values.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    for array in (cpu.copy(image), cpu.copy_like(image, values), cpu.copy_like(values, values)):
        assert array.flags.c_contiguous
        assert not np.shares_memory(array, image)
        np.testing.assert_array_equal(array, values)
    for array in (cpu.copy_like(values, image), cpu.copy_like(image, image)):
        assert array.strides == image.strides
        assert not np.shares_memory(array, values)
        assert not np.shares_memory(array, image)
        np.testing.assert_array_equal(array, values)
    np.testing.assert_array_equal(cpu.to_conv_layout(values), values)
    gaps = np.zeros((n, c, h + 2, w), kind)[:, :, 1:-1]
    gaps[...] = values
    np.testing.assert_array_equal(cpu.copy(gaps), values)
    np.testing.assert_array_equal(cpu.to_conv_layout(gaps), values)


def test_a_leaf_s_gradient_has_the_leaf_s_order():
    x = lucidlite.randn(4, 8, 6, 6)
    leaf = nn.functional.conv2d(x, lucidlite.randn(8, 8, 3, 3), padding=1).detach()
    assert not leaf.is_contiguous()
    leaf.requires_grad_()
    plain = leaf.detach().clone().contiguous().requires_grad_()
    for each in (leaf, plain):
        (nn.functional.relu(each) * x).sum().backward()
        assert each.grad.stride() == each.stride()
    np.testing.assert_array_equal(leaf.grad.numpy(), plain.grad.numpy())
