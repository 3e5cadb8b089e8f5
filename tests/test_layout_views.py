"""Views of what convolutions return, in every situation of sharing, beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from layout_cases import convolved, images, share_memory

import lucidlite
from lucidlite import nn

F = nn.functional

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
    assert share_memory(v.array, y.array)
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

    def seen():
        return array if array is other else y.backend.to_numpy(array)

    before = seen().copy()
    v = way(y)
    np.testing.assert_array_equal(v.detach().numpy(), expected_of(way, 2, 3, 4, 5))
    np.testing.assert_array_equal(seen(), before)
    assert share_memory(array, y.array)
    with lucidlite.no_grad():
        y.mul_(2.0)
    np.testing.assert_array_equal(seen(), 2 * before)
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
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
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
