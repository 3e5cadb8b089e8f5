"""Each layer against PyTorch's: settings, printing, parameters, start, forward and backward."""

import inspect

import numpy as np
import pytest
from layer_cases import LAYERS, apply_layer, twin_layers
from parity import assert_close, libraries, numpy_of

import lucidlite
from lucidlite import nn

KEYWORDS = inspect.Parameter.VAR_KEYWORD
BUILDS = [pytest.param(build, shape, id=name) for name, build, shape in LAYERS]


def layer_classes():
    return [name for name in nn.__all__ if inspect.isclass(getattr(nn, name))]


@pytest.mark.parametrize("name", layer_classes())
def test_signature_is_torchs(name):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    if getattr(torch.nn, name).__init__ is torch.nn.Module.__init__:
        pytest.skip("PyTorch takes and refuses any arguments")
    ours, theirs = (
        [
            (p.name, p.default.__name__ if callable(p.default) else p.default, p.kind)
            for p in inspect.signature(getattr(lib, name)).parameters.values()
        ]
        for lib in (nn, torch.nn)
    )
    if [kind for *_, kind in theirs] == [inspect.Parameter.VAR_POSITIONAL, KEYWORDS]:
        pytest.skip("PyTorch's takes anything and names nothing")
    assert ours == theirs


@pytest.mark.parametrize("build", [row[1] for row in LAYERS], ids=[row[0] for row in LAYERS])
def test_prints_and_holds_what_torchs_does(build):
    pytest.importorskip("torch", reason="compares with PyTorch")
    ours_side, torch_side = libraries()
    ours, theirs = build(ours_side.nn), build(torch_side.nn)
    assert repr(ours) == repr(theirs)
    for group in ("named_parameters", "named_buffers"):
        described = [
            [(n, tuple(t.shape), str(t.dtype), t.requires_grad) for n, t in getattr(side, group)()]
            for side in (ours, theirs)
        ]
        assert described[0] == described[1]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    # And the settings, under PyTorch's attribute names.
    public = [
        {k: v for k, v in vars(side).items() if not k.startswith("_") and k != "training"}
        for side in (ours, theirs)
    ]
    for hidden in ("transposed", "in_place"):
        public[1].pop(hidden, None)
    assert public[0] == public[1]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("build", "shape"), BUILDS)
def test_forward_and_backward_are_torchs(build, shape, training, dtype):
    pytest.importorskip("torch", reason="compares with PyTorch")
    ours_side, torch_side = libraries()
    ours, theirs = twin_layers(ours_side, torch_side, build)
    if dtype == "float64":
        ours, theirs = ours.double(), theirs.double()
    ours.train(training)
    theirs.train(training)
    rng = np.random.default_rng(1)
    tolerance = (1e-4, 1e-5) if dtype == "float32" else (1e-9, 1e-10)
    for seed in range(2):  # twice: running statistics are there the second time
        x = rng.standard_normal(shape).astype(dtype)
        out, grad, parameters = apply_layer(ours_side.lib, ours, x, seed)
        want, want_grad, want_parameters = apply_layer(torch_side.lib, theirs, x, seed)
        assert_close(out, want, *tolerance, "output")
        assert_close(grad, want_grad, *tolerance, "input gradient")
        assert list(parameters) == list(want_parameters)
        for name, value in want_parameters.items():
            assert_close(parameters[name], value, *tolerance, name)
    for name, value in theirs.named_buffers():
        assert_close(numpy_of(dict(ours.named_buffers())[name]), numpy_of(value), 1e-5, 1e-6, name)


# -- how weights start -------------------------------------------------------------------------

STARTS = {
    "linear": (lambda: nn.Linear(100, 400), 100),
    "conv": (lambda: nn.Conv2d(8, 300, (3, 5)), 8 * 15),
    "conv-groups": (lambda: nn.Conv2d(12, 360, 3, groups=4), 3 * 9),
}


@pytest.mark.parametrize(("build", "fan_in"), STARTS.values(), ids=STARTS)
def test_start_is_uniform_within_the_bound(build, fan_in):
    layer, bound = build(), 1 / fan_in**0.5
    for parameter in (layer.weight, layer.bias):
        values = numpy_of(parameter).astype(np.float64).ravel()
        count = values.size
        assert np.abs(values).max() <= np.float32(bound)
        assert np.abs(values).max() > bound * (1 - 10 / count)
        assert abs(values.mean()) < 5 * bound / (3 * count) ** 0.5
        assert values.std() == pytest.approx(bound / 3**0.5, rel=5 / count**0.5)
        # As many values in each tenth of the range.
        found, _ = np.histogram(values, 10, (-bound, bound))
        np.testing.assert_allclose(found, count / 10, atol=6 * (count / 10) ** 0.5)


def test_start_follows_the_seed_and_reset():
    def start(seed):
        lucidlite.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 5))

    first, again, other = start(1), start(1), start(2)
    for a, b, c in zip(*(m.parameters() for m in (first, again, other)), strict=True):
        assert numpy_of(a).tobytes() == numpy_of(b).tobytes()
        assert numpy_of(a).tobytes() != numpy_of(c).tobytes()
    for layer in first:
        before = numpy_of(layer.weight).copy()
        layer.reset_parameters()
        assert not np.array_equal(before, numpy_of(layer.weight))


def test_layers_without_weights_start_quietly():
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        assert nn.Linear(0, 2).weight.shape == (2, 0)
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        assert nn.Conv2d(3, 0, 3).weight.shape == (0, 3, 3, 3)


# -- dtype and device --------------------------------------------------------------------------

FACTORIES = [
    lambda **where: nn.Linear(3, 2, **where),
    lambda **where: nn.Conv2d(3, 2, 1, **where),
    lambda **where: nn.BatchNorm1d(3, **where),
    lambda **where: nn.BatchNorm2d(3, **where),
]


@pytest.mark.parametrize("make", FACTORIES)
def test_dtype_and_device(make):
    layer = make(dtype=lucidlite.float64, device="cpu")
    for name, tensor in layer.state_dict().items():
        counts = name == "num_batches_tracked"
        assert tensor.dtype is (lucidlite.int64 if counts else lucidlite.float64)
        assert tensor.device == lucidlite.device("cpu")
    assert all(p.dtype is lucidlite.float16 for p in make(dtype=lucidlite.half).parameters())
    for wrong in (lucidlite.int64, lucidlite.bool):
        with pytest.raises(RuntimeError, match="floating point dtype can require gradients"):
            make(dtype=wrong)
    with pytest.raises(TypeError, match="dtype"):
        make(dtype="float64")
    with pytest.raises(RuntimeError, match="xpu"):
        make(device="xpu")


@pytest.mark.parametrize("make", FACTORIES)
def test_device_cuda(make, cuda):
    layer = make(device=cuda)
    assert {t.device.type for t in layer.state_dict().values()} == {"cuda"}
    lucidlite.manual_seed(3)
    there = make(device=cuda)
    lucidlite.manual_seed(3)
    here = make()
    for name, value in here.state_dict().items():
        assert numpy_of(there.state_dict()[name].cpu()).tobytes() == numpy_of(value).tobytes()


def test_default_dtype_is_used():
    lucidlite.set_default_dtype(lucidlite.float64)
    try:
        assert nn.Linear(2, 2).weight.dtype is lucidlite.float64
        assert nn.BatchNorm2d(2).running_mean.dtype is lucidlite.float64
    finally:
        lucidlite.set_default_dtype(lucidlite.float32)
