"""What nn and nn.utils do to parameters: lists of them, vectors, normalized and computed ones."""

from __future__ import annotations

import copy
import math
import warnings
from collections import OrderedDict

import numpy as np
import pytest
from layer_twins import made, run, same_as_torch, same_on_device

import lucidlite
from lucidlite import nn
from lucidlite.autograd import gradgradcheck
from lucidlite.nn.utils.norms import norm_except_dim, weight_of

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((2, 3, 5, 5))


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch")


def libraries(torch):
    return lucidlite, torch


# -- containers of parameters ----------------------------------------------------------------------


def listing(lib):
    """What a ParameterList does, as plain values."""
    ones, cls = lib.ones, lib.nn.ParameterList
    held = cls([ones(2), 3, lib.nn.Parameter(ones(3, 2).double())])
    seen = [repr(held), len(held), list(held.state_dict()), held[-1].requires_grad, held[1]]
    held[0] = ones(4)
    held += [ones(1)]
    held.append("text").extend(p for p in (ones(5),))
    parts = [[type(p).__name__ for p in held[1:4]], type(held[::2]).__name__]
    names = [name for name, _ in held.named_parameters()]
    moved = held.double()[0].dtype == lib.float64
    return [*seen, *parts, names, moved, [str(n) for n in dir(held) if n.isdigit()]]


def lookups(lib):
    """What a ParameterDict does, as plain values."""
    ones, cls = lib.ones, lib.nn.ParameterDict
    held = cls({"b": ones(2), "a": ones(3, 2).double(), "c": 3})
    seen = [repr(held), len(held), list(held), "a" in held, held.get("x", 5), list(held.keys())]
    held.update(OrderedDict(z=ones(1), y=ones(1)))
    held.update([("q", ones(2))])
    popped = [held.pop("c"), held.popitem()[0], held.setdefault("c", 4), held.setdefault("c", 9)]
    both = held | cls({"d": ones(1)})
    held |= cls({"e": ones(1)})
    rest = [list(both), list(held), list(reversed(held)), list(held.copy().state_dict())]
    made_of = held.fromkeys(["u", "v"], 1)
    held.clear()
    return [*seen, *popped, *rest, list(made_of.items()), len(held), repr(held)]


@pytest.mark.parametrize("facts", [listing, lookups])
def test_containers(torch, facts):
    assert facts(lucidlite) == facts(torch)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda lib: lib.nn.ParameterList([1])[1], IndexError),
        (lambda lib: lib.nn.ParameterList(lib.ones(2)), TypeError),
        (lambda lib: lib.nn.ParameterList()(1), RuntimeError),
        (lambda lib: lib.nn.ParameterDict()(1), RuntimeError),
        (lambda lib: lib.nn.ParameterDict({1: 2}), TypeError),
        (lambda lib: lib.nn.ParameterDict(3), TypeError),
        (lambda lib: lib.nn.ParameterDict([3]), TypeError),
        (lambda lib: lib.nn.ParameterDict([(1, 2, 3)]), ValueError),
        (lambda lib: lib.nn.ParameterDict().popitem(), KeyError),
        (lambda lib: lib.nn.ParameterDict({"a": 1})["b"], AttributeError),
    ],
)
def test_container_refusals(torch, call, kind):
    for lib in libraries(torch):
        with pytest.raises(kind):
            call(lib)


# -- vectors ---------------------------------------------------------------------------------------


def test_parameters_to_vector_and_back():
    layer = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert vector.tolist() == [*layer.weight.flatten().tolist(), *layer.bias.tolist()]
    vector.sum().backward()
    assert layer.weight.grad.tolist() == [[1] * 3] * 2
    new = lucidlite.arange(8.0)
    nn.utils.vector_to_parameters(new, layer.parameters())
    assert layer.weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert layer.bias.tolist() == [6, 7]
    new[6] = 9.0  # one memory, as in PyTorch
    assert layer.bias.tolist() == [9, 7]
    with pytest.raises(TypeError, match=r"expected torch\.Tensor"):
        nn.utils.vector_to_parameters([1.0], layer.parameters())


def test_vectors_on_two_devices_are_refused(cuda):
    parameters = [nn.Linear(2, 2).weight, nn.Linear(2, 2).to(cuda).weight]
    with pytest.raises(TypeError, match="different devices"):
        nn.utils.parameters_to_vector(parameters)


# -- normalized weights ----------------------------------------------------------------------------


def weight_normed(kind, dim, old):
    def build(nn):
        norm = nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm
        return norm(nn.Conv2d(3, 4, 3) if kind == "conv" else nn.Linear(5, 4), dim=dim)

    return build


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_weight_norm(torch, kind, dim, old):
    same_as_torch(torch, weight_normed(kind, dim, old), [IMAGES])


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_second_gradients_of_weight_norm(dim):
    """Numerically: PyTorch's own are wrong where it takes its fused kernel."""
    v = lucidlite.tensor(RNG.standard_normal((3, 4, 2)), requires_grad=True)
    g = (norm_except_dim(v, dim).detach() * 1.3).requires_grad_()
    assert gradgradcheck(lambda v, g: weight_of(v, g, dim), (v, g))


@pytest.mark.parametrize("old", [True, False])
def test_spectral_norm(torch, old):
    def build(nn):
        norm = nn.utils.spectral_norm if old else nn.utils.parametrizations.spectral_norm
        return norm(nn.Conv2d(3, 4, 3), n_power_iterations=2)

    def three_times(layer, _lib, x):
        found = [layer(x) for _ in range(2)]
        return [*found, layer.eval()(x)]

    same_as_torch(torch, build, [IMAGES], three_times)


@pytest.mark.parametrize("old", [True, False])
def test_normalized_on_device(cuda, old):
    same_on_device(weight_normed("conv", 0, old), [IMAGES], cuda)

    def spectral(nn):
        norm = nn.utils.spectral_norm if old else nn.utils.parametrizations.spectral_norm
        return norm(nn.Linear(5, 4))

    same_on_device(spectral, [IMAGES], cuda)


def test_spectral_norm_is_the_largest_singular_value():
    lucidlite.manual_seed(0)
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4), n_power_iterations=50)
    weight = layer.weight.detach().numpy()
    assert np.linalg.svd(weight, compute_uv=False)[0] == pytest.approx(1, abs=1e-4)


UTILS = [
    ("weight_norm", "remove_weight_norm"),
    ("spectral_norm", "remove_spectral_norm"),
]


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize(("put", "remove"), UTILS)
def test_removing_puts_the_parameter_back(put, remove):
    layer = getattr(nn.utils, put)(nn.Linear(3, 2))
    layer(lucidlite.ones(1, 3))
    with pytest.raises(RuntimeError, match="Cannot register two"):
        getattr(nn.utils, put)(layer)
    weight = layer.weight.detach().clone()
    getattr(nn.utils, remove)(layer)
    assert list(layer.state_dict()) == ["bias", "weight"]
    assert isinstance(layer.weight, nn.Parameter)
    assert layer.weight.allclose(weight)
    with pytest.raises(ValueError, match="not found in Linear"):
        getattr(nn.utils, remove)(layer)


def test_the_old_weight_norm_says_that_it_is_old():
    with pytest.warns(FutureWarning, match="parametrizations.weight_norm"):
        nn.utils.weight_norm(nn.Linear(2, 2))


def test_old_weight_norm_states_load_into_the_new():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = nn.utils.weight_norm(nn.Linear(3, 2))
    new = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    new.load_state_dict(old.state_dict())
    x = lucidlite.ones(1, 3)
    assert new(x).allclose(old(x))


# -- parametrizations ------------------------------------------------------------------------------


def parametrized(nn):
    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).T

        def right_inverse(self, x):
            return x.triu()

    class Exponent(nn.Module):
        def forward(self, x):
            return x.exp()

        def right_inverse(self, x):
            return x.log()

    layer = nn.Linear(3, 3)
    register = nn.utils.parametrize.register_parametrization
    register(layer, "weight", Symmetric())
    register(layer, "weight", Exponent())
    with lucidlite.no_grad():
        bias = layer.bias
        bias.data = bias.data.abs() + 1
    register(layer, "bias", Exponent())
    return layer


def test_parametrizations(torch):
    same_as_torch(torch, parametrized, [RNG.standard_normal((2, 3))], second=True)


def test_what_a_parametrized_module_is():
    parametrize = nn.utils.parametrize
    layer = made(parametrized, lucidlite)
    assert type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert parametrize.is_parametrized(layer)
    assert parametrize.is_parametrized(layer, "bias")
    assert not parametrize.is_parametrized(layer, "other")
    assert layer.weight is not layer.weight
    with parametrize.cached():
        assert layer.weight is layer.weight
    x = lucidlite.ones(2, 3, dtype=lucidlite.float64)
    assert copy.deepcopy(layer)(x).equal(layer(x))
    value = lucidlite.full((3, 3), 2.0, dtype=lucidlite.float64)
    layer.weight = value
    assert layer.weight.allclose(value)
    before = layer(x)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer).__name__ == "ParametrizedLinear"
    parametrize.remove_parametrizations(layer, "bias")
    assert type(layer) is nn.Linear
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert layer(x).allclose(before)


class Shorter(nn.Module):
    def forward(self, x):
        return x[:1]


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda p, m: p.register_parametrization(m, "other", Shorter()), ValueError, "'other'"),
        (lambda p, m: p.register_parametrization(m, "weight", Shorter()), ValueError, "shape of"),
        (lambda p, m: p.remove_parametrizations(m, "weight"), ValueError, "does not have a param"),
        (lambda p, m: p.remove_parametrizations(
            nn.utils.parametrizations.weight_norm(m), "weight", False), ValueError, "sequence of"),
        (lambda p, m: setattr(p.register_parametrization(m, "weight", Shorter(), unsafe=True),
                              "weight", lucidlite.ones(1, 3)), RuntimeError, "right_inverse"),
        (lambda _, m: nn.utils.spectral_norm(m, n_power_iterations=0), ValueError, "positive"),
        (lambda _, m: nn.utils.parametrizations.spectral_norm(m, "other"), ValueError, "'other'"),
        (lambda _, m: nn.utils.parametrizations.spectral_norm(m, dim=2), IndexError, "range"),
        (lambda _, m: nn.utils.parametrizations.weight_norm(m, dim=2), IndexError, "out of range"),
    ],
)  # fmt: skip
def test_parametrization_refusals(call, kind, text):
    with pytest.raises(kind, match=text):
        call(nn.utils.parametrize, nn.Linear(3, 2))


def test_gradients_reach_the_originals():
    layer = made(parametrized, lucidlite)
    _, grads = run(lucidlite, layer, [RNG.standard_normal((2, 3))],
                   lambda m, _, x: m(x), second=False)  # fmt: skip
    original = grads["parametrizations.weight.original"]
    assert np.count_nonzero(np.tril(original, -1)) == 0
    assert np.count_nonzero(np.triu(original)) == 6


# -- what modules refuse, and initial values under their old names ---------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.bfloat16(), "use half"),
        (lambda m: m.share_memory(), "use threads"),
        (lambda m: m.compile(), "no compiler"),
        (lambda m: m.register_backward_hook(print), "register_full_backward_hook"),
    ],
)
def test_modules_refuse_what_there_is_not(call, text):
    with pytest.raises(NotImplementedError, match=text):
        call(nn.Linear(2, 2))


def test_to_empty():
    layer = nn.Linear(3, 2)
    weight = layer.weight
    assert layer.to_empty(device="cpu").weight is weight
    assert weight.shape == (2, 3)


def test_initial_values_under_old_names():
    init = nn.init
    with pytest.warns(FutureWarning, match=r"`nn\.init\.constant` is now deprecated"):
        assert init.constant(lucidlite.empty(2), 3.0).tolist() == [3, 3]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = init.nothing
    weight = lucidlite.empty(3, 4, 2)
    assert init._calculate_correct_fan(weight, "fan_in") == 8
    assert init._calculate_correct_fan(weight, "FAN_OUT") == 6
    assert math.isclose(init.calculate_gain("tanh"), 5 / 3)
