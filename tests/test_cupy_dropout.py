"""Dropout on a GPU: the host's masks, bit for bit, from one kernel that keeps none."""

import numpy as np
import pytest
from parity import numpy_of

import lucidlite
from lucidlite import nn
from lucidlite.backends import cpu, get_backend
from lucidlite.generator import Generator, default_generator, use_generator
from lucidlite.nn import functional as F

SHAPES = [(1,), (7,), (), (0, 3), (5, 4), (2, 3, 4), (2, 3, 4, 4), (2, 5, 3, 3), (1, 3, 5, 7),
          (3, 1, 2, 2), (2, 3, 1, 1), (0, 2, 3, 3), (2, 3, 4, 5, 2)]  # fmt: skip


@pytest.fixture
def gpu(cuda):
    return get_backend(cuda)


def before_gpus(generator, x, p):
    """Dropout as the CPU had it before a GPU drew anything: draws compared as numbers."""
    draws = generator.uniform(x.shape, np.float32)
    scale = x.dtype.type(0.0 if p == 1.0 else 1.0 / (1.0 - p))
    return x * ((draws >= np.float32(p)) * scale).astype(x.dtype)


def values(shape, dtype):
    x = np.random.default_rng(3).standard_normal(shape)
    return np.asarray(x, dtype)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.999, 1.0, 1e-9])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_masks(gpu, shape, dtype, p):
    x = values(shape, dtype)
    want = before_gpus(Generator().manual_seed(9), x, p)
    for backend in (cpu, gpu):
        generator = Generator().manual_seed(9)
        out, state = backend.dropout(backend.asarray(x), p, generator)
        np.testing.assert_array_equal(backend.to_numpy(out), want)
        assert backend.to_numpy(out).dtype == dtype
        ones = backend.asarray(np.ones(shape, dtype))
        again = backend.to_numpy(backend.drop_alike(ones, state))
        np.testing.assert_array_equal(again != 0, (want != 0))
        assert generator.get_state()["offset"] == (x.size + 3) // 4


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 5, 3, 3), (1, 3, 5, 7), (2, 40, 2, 2)])
def test_masks_whatever_the_memory_order(gpu, shape):
    x = values(shape, np.float32)
    want = before_gpus(Generator().manual_seed(1), x, 0.3)
    orders = [
        gpu.asarray(x),
        gpu.to_conv_layout(gpu.asarray(x)),
        gpu.asarray(np.ascontiguousarray(x.transpose(3, 1, 0, 2))).transpose(2, 1, 3, 0),
    ]
    for given in orders:
        out, state = gpu.dropout(given, 0.3, Generator().manual_seed(1))
        np.testing.assert_array_equal(gpu.to_numpy(out), want)
        for other in orders:
            np.testing.assert_array_equal(gpu.to_numpy(gpu.drop_alike(other, state)), want)
    conv = orders[1]
    out, _ = gpu.dropout(conv, 0.3, Generator().manual_seed(1))
    assert out.strides == conv.strides  # the memory order is kept


def test_special_values(gpu):
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, -1.0] * 4, np.float32)
    results = [backend.to_numpy(backend.dropout(backend.asarray(x), 0.5, Generator().manual_seed(2))
                                [0]) for backend in (cpu, gpu)]  # fmt: skip
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(np.signbit(results[0]), np.signbit(results[1]))


PLACES = {
    "later": {"seed": 5, "offset": 12345},
    "great seed": {"seed": 2**64 - 1, "offset": 3},
    "carry": {"seed": 5, "offset": 2**64 - 3},
    "one key": {"seed": 5, "offset": 7, "fork": [2**64 - 1]},
    "three keys": {"seed": 5, "offset": 0, "fork": [1, 2, 3]},
    "carry into a key": {"seed": 5, "offset": 2**64 - 2, "fork": [2**64 - 1, 2**64 - 1, 8]},
}


@pytest.mark.parametrize("state", PLACES.values(), ids=PLACES.keys())
def test_places_in_the_stream(gpu, state):
    x = np.ones(40, np.float32)
    masks = []
    for backend in (cpu, gpu):
        generator = Generator().set_state(state)
        masks.append(backend.to_numpy(backend.dropout(backend.asarray(x), 0.5, generator)[0]))
    np.testing.assert_array_equal(*masks)
    assert 5 < np.count_nonzero(masks[0]) < 35


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_uniform_numbers(gpu, shape, dtype):
    state = PLACES["carry into a key"]
    generators = [Generator().set_state(state) for _ in range(2)]
    ours = gpu.to_numpy(gpu.uniform(shape, dtype, generators[0]))
    want = generators[1].uniform(shape, dtype)
    assert ours.dtype == want.dtype
    np.testing.assert_array_equal(ours, want)
    assert generators[0].get_state() == generators[1].get_state()


DRAWING = {
    "rrelu": lambda x: F.rrelu(x, training=True),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x),
    "gumbel_softmax hard": lambda x: F.gumbel_softmax(x, hard=True),
    "bernoulli": lambda x: lucidlite.bernoulli(lucidlite.sigmoid(x)),
    "bernoulli p": lambda x: x.bernoulli(0.3),
}


@pytest.mark.parametrize("name", DRAWING)
def test_draws_of_operations(cuda, gpu, name):
    """The host's draws, made on the GPU: nothing is copied and nobody waits."""
    x = lucidlite.linspace(-2, 2, 40).view(5, 8)
    results, op = [], DRAWING[name]
    counts = getattr(gpu.xp, "counts", {})  # of the stand-in
    for device in ("cpu", cuda):
        here = x.to(device)
        for _ in range(2):  # numbers are on the GPU from the first time on
            lucidlite.manual_seed(6)
            before = dict(counts)
            out = op(here)
        assert all(counts[n] == before[n] for n in ("sync", "d2h", "h2d") if n in before)
        results.append(numpy_of(out.cpu()))
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_chances_out_of_range(cuda):
    for device in ("cpu", cuda):
        with pytest.raises(RuntimeError, match="bernoulli: expected 0 <= p <= 1"):
            lucidlite.bernoulli(lucidlite.tensor([0.5, 1.5], device=device)).sum().item()


def test_words_are_philox():
    generator = Generator().set_state({"seed": 3, "offset": 11, "fork": [7, 8]})
    low, high, *counter = generator.words(11)
    bits = np.random.Philox(
        key=np.array([low, high], np.uint64), counter=np.array(counter, np.uint64)
    )
    np.testing.assert_array_equal(bits.random_raw(6), generator.raw(6))


@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 4, 4), (2, 3, 3, 5)])
def test_gradients(cuda, shape):
    found = []
    for device in ("cpu", cuda):
        lucidlite.manual_seed(4)
        x = lucidlite.randn(shape).to(device).requires_grad_()
        y = F.dropout(x * 2, 0.4)
        (grad,) = lucidlite.autograd.grad((y * y).sum(), x, create_graph=True)
        (grad * grad).sum().backward()
        found.append([numpy_of(t.detach().cpu()) for t in (y, grad, x.grad)])
    np.testing.assert_array_equal(found[0][0], found[1][0])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_one_launch_each_way_and_no_copies(cuda, gpu, monkeypatch):
    x = lucidlite.ones(8, 16, device=cuda, requires_grad=True)
    out = F.dropout(x)
    calls = []
    launch = gpu.launch
    monkeypatch.setattr(gpu, "launch", lambda *a, **k: (calls.append(a[1]), launch(*a, **k)))
    counts = getattr(gpu.xp, "counts", {})  # of the stand-in
    before = dict(counts)
    again = F.dropout(x)
    again.backward(out.detach())
    assert calls == ["drop_blocks"] * 2
    assert all(counts[name] == before[name] for name in ("sync", "d2h", "h2d") if name in before)
    assert out.grad_fn.saved_bytes() == 0  # the mask is worked out again


def test_backward_twice_is_refused_alike(cuda):
    for device in ("cpu", cuda):
        out = F.dropout(lucidlite.ones(4, device=device, requires_grad=True)).sum()
        out.backward()
        with pytest.raises(RuntimeError, match="second time"):
            out.backward()


def test_generators_in_use(cuda):
    x = lucidlite.ones(4, 6)
    results = []
    for device in ("cpu", cuda):
        before = default_generator.get_state()
        with use_generator(Generator().manual_seed(3).fork(1, 2)):
            results.append(F.dropout(x.to(device), 0.5).cpu().tolist())
        assert default_generator.get_state() == before
    assert results[0] == results[1]


def test_layer_in_place_and_training(cuda):
    results = []
    for device in ("cpu", cuda):
        lucidlite.manual_seed(8)
        layer = nn.Dropout(0.3, inplace=True)
        x = lucidlite.ones(9, 3).to(device)
        assert layer(x) is x
        results.append(x.cpu().tolist())
        assert layer.eval()(x) is x
    assert results[0] == results[1]
