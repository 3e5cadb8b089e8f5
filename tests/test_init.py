"""nn.init: exact values where they are fixed, bounds and moments where they are drawn."""

import math

import numpy as np
import pytest

import lucidlite

init = lucidlite.nn.init


@pytest.fixture(params=["lucidlite", "torch"])
def lib(request):
    return pytest.importorskip(request.param, reason="compares with PyTorch")


def array(tensor):
    return np.asarray(tensor.tolist())


def check_moments(values, mean, std):
    """Mean and standard deviation, to five standard errors (of a normal distribution)."""
    n = values.size
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(n)
    assert abs(values.std() - std) < 5 * std / math.sqrt(2 * n)


# -- gains and fans --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("conv1d", None, 1),
        ("conv2d", None, 1),
        ("conv_transpose3d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 2, math.sqrt(0.4)),
        ("leaky_relu", 0.5, math.sqrt(1.6)),
        ("selu", None, 0.75),
    ],
)
def test_gain(lib, name, param, gain):
    assert lib.nn.init.calculate_gain(name, param) == gain


@pytest.mark.parametrize("shape", [(3, 5), (4, 3, 2), (6, 2, 3, 5)])
def test_fans(lib, shape):
    field = math.prod(shape[2:])
    fans = lib.nn.init._calculate_fan_in_and_fan_out(lib.empty(shape))
    assert fans == (shape[1] * field, shape[0] * field)


# -- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (lambda n, _t: n.calculate_gain("gelu"), ValueError, "Unsupported nonlinearity gelu"),
        (lambda n, _t: n.calculate_gain("leaky_relu", True), ValueError, "not a valid number"),
        (lambda n, t: n.xavier_uniform_(t(3)), ValueError, "fewer than 2 dimensions"),
        (lambda n, t: n.xavier_normal_(t(3)), ValueError, "fewer than 2 dimensions"),
        (lambda n, t: n.kaiming_uniform_(t(3)), ValueError, "fewer than 2 dimensions"),
        (lambda n, t: n.kaiming_normal_(t(3)), ValueError, "fewer than 2 dimensions"),
        (lambda n, t: n.kaiming_normal_(t(2, 2), mode="in"), ValueError, "Mode in not supported"),
        (lambda n, t: n.kaiming_normal_(t(2, 2), 0, "fan_in", "no"), ValueError, "nonlinearity no"),
        (lambda n, t: n.eye_(t(3)), ValueError, "Only tensors with 2 dimensions"),
        (lambda n, t: n.sparse_(t(3), 0.5), ValueError, "Only tensors with 2 dimensions"),
        (lambda n, t: n.orthogonal_(t(3)), ValueError, "Only tensors with 2 or more dimensions"),
        (lambda n, t: n.dirac_(t(3, 3)), ValueError, "Only tensors with 3, 4, or 5 dimensions"),
        (lambda n, t: n.dirac_(t(3, 2, 2), 2), ValueError, "dim 0 must be divisible by groups"),
        (lambda n, t: n.uniform_(t(3), 1, 0), RuntimeError, "a [from, to) range"),
        (lambda n, t: n.normal_(t(3), 0, -1), RuntimeError, "normal expects std >= 0.0"),
        (lambda n, t: n.uniform_(t(3).long()), NotImplementedError, ""),
        (lambda n, t: n.normal_(t(3).long()), NotImplementedError, ""),
    ],
)
def test_refusals(lib, act, kind, text):
    with pytest.raises(kind) as caught:
        act(lib.nn.init, lib.zeros)
    assert text in caught.value.args[0]


@pytest.mark.parametrize("bounds", [(0.0, 0.0, 1.0), (1.0, 1.0, -1.0)])
def test_trunc_normal_refuses_what_it_cannot_draw(bounds):
    std, a, b = bounds
    with pytest.raises(RuntimeError, match="std must be positive and a <= b, got std="):
        init.trunc_normal_(lucidlite.empty(3), std=std, a=a, b=b)


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_empty_tensors_are_left_with_a_warning(lib, name):
    with pytest.warns(UserWarning, match="zero-element tensors is a no-op"):
        getattr(lib.nn.init, name)(lib.empty(0, 3))


# -- exact values ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_constants(lib, dtype):
    tensor = lib.empty(2, 3, dtype=getattr(lib, dtype))
    assert lib.nn.init.constant_(tensor, 3) is tensor
    assert tensor.tolist() == [[3] * 3] * 2
    assert lib.nn.init.ones_(tensor).tolist() == [[1] * 3] * 2
    assert lib.nn.init.zeros_(tensor).tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_eye(lib, shape):
    assert array(lib.nn.init.eye_(lib.ones(shape))).tolist() == np.eye(*shape).tolist()


@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((3, 3, 3), 1),
        ((4, 2, 3, 4), 1),
        ((2, 4, 3, 3), 1),
        ((6, 2, 3, 3), 3),
        ((4, 4, 1, 2), 2),
        ((2, 2, 3, 2, 4), 1),
    ],
)
def test_dirac(shape, groups):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    expected = torch.nn.init.dirac_(torch.ones(shape), groups).tolist()
    assert init.dirac_(lucidlite.ones(shape), groups).tolist() == expected


def test_dirac_passes_channels_through():
    weight = init.dirac_(lucidlite.empty(2, 2, 3, 3))
    x = lucidlite.randn(1, 2, 5, 5)
    out = lucidlite.nn.functional.conv2d(x, weight, padding=1)
    np.testing.assert_array_equal(array(out), array(x))


# -- distributions ---------------------------------------------------------------------------

SHAPE = (40, 30, 5)  # fan_in 150, fan_out 200
CASES = [
    # call, mean, standard deviation, bound (None: normal)
    (lambda n, t: n.uniform_(t), 0.5, math.sqrt(1 / 12), (0, 1)),
    (lambda n, t: n.uniform_(t, -3, 1), -1, 4 * math.sqrt(1 / 12), (-3, 1)),
    (lambda n, t: n.normal_(t), 0, 1, None),
    (lambda n, t: n.normal_(t, 2, 0.5), 2, 0.5, None),
    (lambda n, t: n.xavier_uniform_(t), 0, math.sqrt(2 / 350), 3),
    (lambda n, t: n.xavier_uniform_(t, gain=2.0), 0, 2 * math.sqrt(2 / 350), 3),
    (lambda n, t: n.xavier_normal_(t, gain=2.0), 0, 2 * math.sqrt(2 / 350), None),
    (lambda n, t: n.kaiming_uniform_(t), 0, math.sqrt(2 / 150), 3),
    (lambda n, t: n.kaiming_uniform_(t, a=math.sqrt(5)), 0, math.sqrt(1 / 3 / 150), 3),
    (lambda n, t: n.kaiming_uniform_(t, mode="fan_out"), 0, math.sqrt(2 / 200), 3),
    (lambda n, t: n.kaiming_normal_(t, nonlinearity="linear"), 0, math.sqrt(1 / 150), None),
    (lambda n, t: n.kaiming_normal_(t, mode="FAN_OUT"), 0, math.sqrt(2 / 200), None),
]


@pytest.mark.parametrize(("act", "mean", "std", "bound"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(lib, act, mean, std, bound, dtype):
    lib.manual_seed(3)
    tensor = lib.nn.Parameter(lib.empty(SHAPE, dtype=getattr(lib, dtype)))
    version = tensor._version
    assert act(lib.nn.init, tensor) is tensor
    assert tensor._version > version
    assert tensor.grad_fn is None
    assert tensor.requires_grad
    values = array(tensor)
    check_moments(values, mean, std)
    if bound == 3:  # symmetric uniform: bound is sqrt(3) standard deviations
        bound = (-math.sqrt(3) * std, math.sqrt(3) * std)
    if bound is not None:
        width = bound[1] - bound[0]
        assert bound[0] - 1e-6 <= values.min() < bound[0] + 0.01 * width
        assert bound[1] + 1e-6 >= values.max() > bound[1] - 0.01 * width
    else:
        assert 3 * std < np.abs(values - mean).max() < 6 * std


def truncated_moments(mean, std, a, b):
    x = np.linspace(a, b, 200_001)
    density = np.exp(-0.5 * ((x - mean) / std) ** 2)
    density /= density.sum()
    center = (x * density).sum()
    return center, math.sqrt(((x - center) ** 2 * density).sum())


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0, 1, -2, 2),
        (0, 0.02, -2, 2),
        (1, 2, 0.5, 1.5),
        (0, 1, 1.5, 4),
        (0, 5, -1, 1),
        (3, 1, 0, 1.5),
    ],
)
def test_trunc_normal(lib, mean, std, a, b):
    lib.manual_seed(4)
    tensor = lib.empty(100, 100)
    assert lib.nn.init.trunc_normal_(tensor, mean, std, a, b) is tensor
    values = array(tensor)
    assert values.min() >= a
    assert values.max() <= b
    low, high = max(a, mean - 9 * std), min(b, mean + 9 * std)
    check_moments(values, *truncated_moments(mean, std, low, high))


def test_trunc_normal_far_from_the_mean_warns(lib):
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        tensor = lib.nn.init.trunc_normal_(lib.empty(5000), 0, 1, 3, 5)
    values = array(tensor)
    assert values.min() >= 3
    assert values.max() <= 5
    check_moments(values, *truncated_moments(0, 1, 3, 5))


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (9, 4), (6, 2, 3), (3, 4, 2, 2)])
@pytest.mark.parametrize("gain", [1, 2.5])
def test_orthogonal(lib, shape, gain):
    tensor = lib.empty(shape)
    assert lib.nn.init.orthogonal_(tensor, gain=gain) is tensor
    flat = array(tensor).reshape(shape[0], -1)
    if flat.shape[0] > flat.shape[1]:
        flat = flat.T
    np.testing.assert_allclose(flat @ flat.T, gain**2 * np.eye(len(flat)), atol=1e-5)


def test_orthogonal_is_uniform_over_signs():
    generator = lucidlite.Generator().manual_seed(0)
    signs = [
        init.orthogonal_(lucidlite.empty(1, 1), generator=generator).item() for _ in range(200)
    ]
    assert set(signs) == {-1.0, 1.0}
    assert 60 < signs.count(1.0) < 140
    assert tuple(init.orthogonal_(lucidlite.empty(0, 3)).shape) == (0, 3)


@pytest.mark.parametrize(("sparsity", "zeros"), [(0, 0), (0.1, 2), (0.5, 10), (0.51, 11), (1, 20)])
def test_sparse(lib, sparsity, zeros):
    tensor = lib.empty(20, 60)
    assert lib.nn.init.sparse_(tensor, sparsity, std=0.1) is tensor
    values = array(tensor)
    assert ((values == 0).sum(axis=0) == zeros).all()
    if zeros < 20:
        check_moments(values[values != 0], 0, 0.1)


# -- generators ------------------------------------------------------------------------------

DRAWS = [
    lambda t, g: init.uniform_(t, generator=g),
    lambda t, g: init.normal_(t, generator=g),
    lambda t, g: init.trunc_normal_(t, generator=g),
    lambda t, g: init.xavier_uniform_(t, generator=g),
    lambda t, g: init.xavier_normal_(t, generator=g),
    lambda t, g: init.kaiming_uniform_(t, generator=g),
    lambda t, g: init.kaiming_normal_(t, generator=g),
    lambda t, g: init.orthogonal_(t, generator=g),
    lambda t, g: init.sparse_(t, 0.5, generator=g),
]


@pytest.mark.parametrize("draw", DRAWS)
def test_one_seed_gives_the_same_values(draw):
    first = draw(lucidlite.empty(4, 6), lucidlite.Generator().manual_seed(11)).tolist()
    lucidlite.manual_seed(5)
    before = lucidlite.rand(1).item()
    lucidlite.manual_seed(5)
    assert draw(lucidlite.empty(4, 6), lucidlite.Generator().manual_seed(11)).tolist() == first
    assert lucidlite.rand(1).item() == before  # a generator of one's own leaves the default alone
    lucidlite.manual_seed(11)
    assert draw(lucidlite.empty(4, 6), None).tolist() == first
    assert draw(lucidlite.empty(4, 6), None).tolist() != first


def test_values_do_not_depend_on_the_layout():
    first = init.normal_(lucidlite.empty(4, 6), generator=lucidlite.Generator().manual_seed(1))
    transposed = lucidlite.empty(6, 4)
    init.normal_(transposed.t(), generator=lucidlite.Generator().manual_seed(1))
    assert transposed.t().tolist() == first.tolist()
