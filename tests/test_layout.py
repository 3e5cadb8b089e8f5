"""Memory order stays out of sight: convolutions keep theirs, and no values or views notice."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import lucidlite
from lucidlite import nn
from lucidlite.backends import cpu
from lucidlite.backends.base import is_conv_layout

F = nn.functional


def images(*shape, grad=False):
    values = np.random.default_rng(0).standard_normal(shape)
    return lucidlite.from_numpy(values).requires_grad_(grad)


def convolved(*shape, grad=False):
    """A convolution's result of ``shape``, values different everywhere."""
    x = images(*shape, grad=grad)
    weight = lucidlite.eye(shape[1], dtype=lucidlite.float64).reshape(shape[1], shape[1], 1, 1)
    return F.conv2d(x, weight)


def in_conv_layout(tensor):
    return is_conv_layout(tensor.array)


class Copies:
    """The copies the backend makes for the sake of memory order."""

    def __init__(self, monkeypatch):
        self.made = []
        kind = type(cpu)
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


# -- views after a convolution ---------------------------------------------------------------------

WAYS = {
    "view": lambda y: y.view(y.size(0), -1),
    "view pair": lambda y: y.view((-1, y.size(-1))),
    "reshape": lambda y: y.reshape(y.size(0), -1),
    "flatten": lambda y: y.flatten(1),
    "Flatten": nn.Flatten(),
    "flatten all": lambda y: y.flatten(),
    "unflatten": lambda y: y.unflatten(1, (1, -1)),
    "view_as": lambda y: y.view_as(lucidlite.zeros(y.numel())),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def expected_of(way, *shape):
    """What the values look like that way, from a tensor in row-major order."""
    return way(images(*shape)).numpy()


@every_way
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 1)])
def test_view_of_a_fresh_result(way, shape):
    """Nobody else sees the memory: it is put in row-major order, and the result is a true view."""
    y = convolved(*shape, grad=True)
    node, version = y.grad_fn, y._version
    v = way(y)
    assert y.grad_fn is node
    assert y._version == version == v._version
    assert np.shares_memory(v.array, y.array)
    np.testing.assert_array_equal(v.detach().numpy(), expected_of(way, *shape))
    with lucidlite.no_grad():
        v[(0,) * v.dim()] = 77.0
    assert y[0, 0, 0, 0].item() == 77.0


SHARERS = {
    "detach": lambda y: y.detach(),
    "data": lambda y: y.data,
    "view": lambda y: y[:, 1:],
    "transpose": lambda y: y.transpose(0, 1),
    "numpy": lambda y: y.detach().numpy(),
}


@every_way
@pytest.mark.parametrize("share", SHARERS.values(), ids=SHARERS.keys())
def test_view_where_another_sees_the_memory(way, share):
    """Who sees the memory already goes on seeing the tensor; the result is a copy."""
    y = convolved(2, 3, 4, 5, grad=True)
    other = share(y)
    array = other if isinstance(other, np.ndarray) else other.array
    before = array.copy()
    v = way(y)
    np.testing.assert_array_equal(v.detach().numpy(), expected_of(way, 2, 3, 4, 5))
    np.testing.assert_array_equal(array, before)
    assert np.shares_memory(array, y.array)
    with lucidlite.no_grad():
        y.mul_(2.0)
    np.testing.assert_array_equal(array, 2 * before)
    v.sum().backward()


@every_way
def test_gradient_through_a_view(way):
    x = images(2, 3, 4, 5, grad=True)
    w = images(3, 3, 1, 1)
    y = F.conv2d(x, w)
    weights = np.random.default_rng(1).standard_normal(way(y.detach()).shape)
    (way(y) * lucidlite.from_numpy(weights)).sum().backward()
    mixed = np.einsum("nkhw,kc->nchw", weights.reshape(2, 3, 4, 5), w.numpy()[:, :, 0, 0])
    np.testing.assert_allclose(x.grad.numpy(), mixed, 1e-12, 1e-12)


@every_way
def test_writes_through_a_view(way):
    y = convolved(2, 3, 4, 5, grad=True)
    v = way(y)
    v.mul_(3.0)
    assert type(y.grad_fn).__name__ == "CopySlices"
    np.testing.assert_array_equal(way(y).detach().numpy(), v.detach().numpy())
    y.sum().backward()


def test_relu_in_place_after_flatten():
    x = images(2, 3, 4, 5, grad=True)
    y = F.conv2d(x, lucidlite.eye(3, dtype=lucidlite.float64).view(3, 3, 1, 1))
    flat = F.relu(y.flatten(1), inplace=True)
    flat.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), (x.detach().numpy() > 0).astype(float))
    assert bool((y >= 0).all())


def steps(rng, x):
    """A few random view operations, the same in every framework, with their names."""
    names = []
    for _ in range(rng.integers(0, 3)):
        kind = rng.integers(5)
        if kind == 0:
            a, b = (int(d) for d in rng.integers(0, x.dim(), 2))
            x, name = x.transpose(a, b), f"transpose({a}, {b})"
        elif kind == 1:
            dim = int(rng.integers(x.dim()))
            start = int(rng.integers(2)) if x.shape[dim] > 1 else 0
            x, name = x.narrow(dim, start, x.shape[dim] - start), f"narrow({dim}, {start})"
        elif kind == 2 and x.dim() > 1:
            dim = int(rng.integers(x.dim()))
            x, name = x.select(dim, 0), f"select({dim}, 0)"
        elif kind == 3:
            dim = int(rng.integers(x.dim() + 1))
            x, name = x.unsqueeze(dim), f"unsqueeze({dim})"
        else:
            order = [int(d) for d in rng.permutation(x.dim())]
            x, name = x.permute(order), f"permute({order})"
        names.append(name)
    return x, names


def targets(shape):
    """Shapes a tensor of ``shape`` might be viewed in."""
    yield (-1,)
    for d in range(len(shape) - 1):
        yield (*shape[:d], shape[d] * shape[d + 1], *shape[d + 2 :])
    yield (*shape[:-1], 1, shape[-1])
    if len(shape) > 1:
        yield (shape[0], -1)


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_view_raises_only_where_pytorch_raises(seed):
    """On a row-major base exactly there; a convolution's memory may make more views possible."""
    torch = pytest.importorskip("torch")
    shape = [(2, 3, 4, 2), (1, 3, 2, 4), (2, 1, 3, 2), (2, 2, 1, 3)][seed % 4]
    values = torch.tensor(images(*shape).numpy())
    theirs, names = steps(np.random.default_rng(seed), values)
    wanted = list(targets(tuple(theirs.shape)))
    target = wanted[int(np.random.default_rng(seed).integers(len(wanted)))]
    expected = theirs.reshape(target).numpy()
    try:
        theirs.view(target)
        possible = True
    except RuntimeError:
        possible = False
    for make in (images, convolved):
        mine, _ = steps(np.random.default_rng(seed), make(*shape))
        if possible:
            np.testing.assert_array_equal(mine.view(target).numpy(), expected, str(names))
        elif make is images:
            with pytest.raises(RuntimeError, match="view size is not compatible"):
                mine.view(target)
        np.testing.assert_array_equal(mine.reshape(target).numpy(), expected, str(names))


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
