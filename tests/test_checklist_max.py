"""The MaxPool2d and AvgPool2d tutorial, and beyond: one test a row, named by the row's ID."""

import inspect

import numpy as np
import pytest
from seed_examples import QUIZ_AVG, QUIZ_MAX, TUTORIAL, TUTORIAL_PRINTS, with_imports

import lucidlite as torch
from lucidlite import nn


def run(code, capsys):
    variables = {"__name__": "__main__"}
    exec(with_imports(code, "lucidlite"), variables)
    return capsys.readouterr().out, variables


def grid(n):
    """1, 2, 3, ... as an (1, 1, n, n) image."""
    return torch.arange(1.0, n * n + 1).view(1, 1, n, n)


def defaults(layer):
    return [(p.name, p.default) for p in inspect.signature(layer).parameters.values()]


def test_M1_signature():
    assert defaults(nn.MaxPool2d) == [
        ("kernel_size", inspect.Parameter.empty),
        ("stride", None),
        ("padding", 0),
        ("dilation", 1),
        ("return_indices", False),
        ("ceil_mode", False),
    ]
    pool = nn.MaxPool2d(3, 2, 1, 2, True, True)
    assert (pool.kernel_size, pool.stride, pool.padding, pool.dilation) == (3, 2, 1, 2)
    assert (pool.return_indices, pool.ceil_mode) == (True, True)


def test_M2_signature_of_the_average():
    assert defaults(nn.AvgPool2d) == [
        ("kernel_size", inspect.Parameter.empty),
        ("stride", None),
        ("padding", 0),
        ("ceil_mode", False),
        ("count_include_pad", True),
        ("divisor_override", None),
    ]


def test_M3_stride_none_is_the_kernel():
    assert nn.MaxPool2d(2).stride == 2
    assert nn.MaxPool2d((3, 2), stride=None).stride == (3, 2)


def test_M4_the_calls():
    x = grid(4)
    assert nn.MaxPool2d(2)(x).shape == (1, 1, 2, 2)
    assert nn.AvgPool2d(kernel_size=3, stride=1, padding=1)(x).shape == (1, 1, 4, 4)
    values, indices = nn.MaxPool2d(kernel_size=2, stride=2, return_indices=True)(x)
    assert values.shape == indices.shape == (1, 1, 2, 2)


def test_M5_the_script(capsys):
    said, _ = run(TUTORIAL, capsys)
    assert said == TUTORIAL_PRINTS
    assert "tensor([[[[ 1.,  2.,  3.,  4.],\n          [ 5.," in said
    assert "tensor([[[[ 6.,  8.],\n          [14., 16.]]]])" in said
    assert "tensor([[[[ 3.5000,  5.5000],\n          [11.5000, 13.5000]]]])" in said


def test_M6_indices():
    pool = nn.MaxPool2d(2, 2, return_indices=True)
    found = pool(grid(4))
    assert type(found) is tuple
    values, indices = found
    assert values.tolist() == [[[[6, 8], [14, 16]]]]
    assert indices.dtype is torch.int64
    assert indices.tolist() == [[[[5, 7], [13, 15]]]]
    # They count the elements of the plane without its padding.
    values, indices = nn.MaxPool2d(2, 2, 1, return_indices=True)(grid(4))
    assert indices.tolist() == [[[[0, 2, 3], [8, 10, 11], [12, 14, 15]]]]
    assert values.tolist() == [[[[1, 3, 4], [9, 11, 12], [13, 15, 16]]]]


def test_M7_max_is_the_maximum_and_avg_the_mean():
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((2, 3, 6, 8), dtype=np.float32)
        windows = x.reshape(2, 3, 3, 2, 4, 2)
        biggest = nn.MaxPool2d(2)(torch.from_numpy(x)).numpy()
        mean = nn.AvgPool2d(2)(torch.from_numpy(x)).numpy()
        assert np.array_equal(biggest, windows.max((3, 5)))
        np.testing.assert_allclose(mean, windows.mean((3, 5)), rtol=1e-5, atol=1e-6)


def test_M8_names_of_the_arguments():
    assert nn.MaxPool2d(kernel_size=3, stride=2)(grid(7)).shape == (1, 1, 3, 3)
    with pytest.raises(TypeError, match="'size'"):
        nn.MaxPool2d(size=3, step=2)
    with pytest.raises(TypeError, match="'kernel'"):
        nn.AvgPool2d(kernel=3, stride=2)


def test_M9_six_to_three(capsys):
    said, variables = run(QUIZ_MAX, capsys)
    assert variables["output"].shape == (1, 1, 3, 3)
    assert said == "(1, 1, 3, 3)\n"


def test_M10_a_stride_above_the_kernel_is_no_error(capsys):
    said, variables = run(QUIZ_AVG, capsys)
    assert variables["output"].shape == (1, 1, 2, 2)
    assert said == "(1, 1, 2, 2)\n"


def test_M11_ten_to_three():
    x = torch.randn(1, 1, 10, 10)
    assert nn.MaxPool2d(kernel_size=3, stride=3)(x).shape[2:] == (3, 3)
    assert nn.AvgPool2d(kernel_size=4, stride=4)(x).shape[2:] == (2, 2)
    once = nn.MaxPool2d(kernel_size=2, stride=2)(x)
    assert once.shape[2:] == (5, 5)
    assert nn.MaxPool2d(2, 2)(once).shape[2:] == (2, 2)
    assert nn.AvgPool2d(kernel_size=5, stride=5)(x).shape[2:] == (2, 2)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 3, 6])
def test_M12_any_stride_and_kernel_for_both(kernel, stride):
    for shape in ((2, 3, 9, 10), (3, 9, 10)):
        x = torch.randn(*shape)
        want = (*shape[:-2], (9 - kernel) // stride + 1, (10 - kernel) // stride + 1)
        assert nn.MaxPool2d(kernel, stride)(x).shape == want
        assert nn.AvgPool2d(kernel, stride)(x).shape == want


def test_M13_dilation():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    pooled = nn.MaxPool2d(kernel_size=2, stride=1, dilation=2)(x)
    assert pooled.tolist() == [[[[10, 11], [14, 15]]]]


def test_M14_ceil_mode():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    assert nn.MaxPool2d(2, ceil_mode=True)(x).tolist() == [[[[4, 5], [7, 8]]]]
    assert nn.MaxPool2d(2)(x).tolist() == [[[[4]]]]


def test_X1_beyond_the_documents():
    low = nn.MaxPool2d(2, 2, 1)(-torch.ones(1, 1, 2, 2))
    assert low.tolist() == [[[[-1, -1], [-1, -1]]]]  # padding is -inf, not 0
    x = grid(4)
    x[0, 0, 0, 0] = float("nan")
    assert torch.isnan(nn.MaxPool2d(2)(x)).tolist() == [[[[True, False], [False, False]]]]
    empty = torch.zeros(0, 3, 8, 8, requires_grad=True)
    for layer in (nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(4)):
        pooled = layer(empty)
        assert pooled.shape == (0, 3, 4, 4)
        pooled.sum().backward()
        assert empty.grad.shape == (0, 3, 8, 8)
    assert nn.AdaptiveAvgPool2d((None, 7))(torch.ones(2, 3, 10, 20)).shape == (2, 3, 10, 7)
    larger = nn.AdaptiveAvgPool2d((1, 4))(torch.tensor([[[1.0, 2.0]]]))
    assert larger.tolist() == [[[1, 1, 2, 2]]]


IMAGE = (1, 1, 8, 8)
REFUSALS = {
    "pad-above-half": (
        dict(kernel_size=4, padding=3),
        IMAGE,
        "pad should be at most half of effective kernel size, but got pad=3, kernel_size=4 and "
        "dilation=1",
    ),
    "too-small": (
        dict(kernel_size=9),
        IMAGE,
        r"Given input size: \(1x8x8\). Calculated output size: \(1x0x0\). "
        "Output size is too small",
    ),
    "two-dimensions": (dict(kernel_size=2), (8, 8), r"3D or 4D \(batch mode\) tensor"),
    "stride-0": (dict(kernel_size=2, stride=0), IMAGE, "stride should not be zero"),
    "three-numbers": (
        dict(kernel_size=(2, 2, 2)),
        IMAGE,
        "kernel_size must either be a single int, or a tuple of two ints",
    ),
    "negative-pad": (
        dict(kernel_size=2, padding=-1),
        IMAGE,
        "pad must be non-negative, but got pad: -1",
    ),
}
REFUSAL_CASES = [pytest.param(*row, id=name) for name, row in REFUSALS.items()]


@pytest.mark.parametrize("layer", ["MaxPool2d", "AvgPool2d"])
@pytest.mark.parametrize(("settings", "shape", "message"), REFUSAL_CASES)
def test_X2_refusals(layer, settings, shape, message):
    with pytest.raises((RuntimeError, IndexError), match=message) as ours:
        getattr(nn, layer)(**settings)(torch.ones(*shape))
    assert f"{__file__}:" in str(ours.value)  # the line that made the call
    assert f"in module {layer}" in str(ours.value)


@pytest.mark.parametrize("layer", ["MaxPool2d", "AvgPool2d"])
@pytest.mark.parametrize(("settings", "shape", "message"), REFUSAL_CASES)
def test_X2_refusals_are_torchs(layer, settings, shape, message):
    theirs = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises((RuntimeError, IndexError), match=message) as ours:
        getattr(nn, layer)(**settings)(torch.ones(*shape))
    with pytest.raises(ours.type) as want:
        getattr(theirs.nn, layer)(**settings)(theirs.ones(*shape))
    assert want.type is ours.type


@pytest.mark.parametrize("settings", [dict(kernel_size=2.5), dict(kernel_size="2"),
    dict(kernel_size=2, stride=1.5), dict(kernel_size=2, padding=None),
    dict(kernel_size=True), dict(kernel_size=2, ceil_mode=1)], ids=str)  # fmt: skip
@pytest.mark.parametrize("layer", ["MaxPool2d", "AvgPool2d"])
@pytest.mark.parametrize("name", ["lucidlite", "torch"])
def test_X2_refusals_of_types(name, layer, settings):
    lib = pytest.importorskip(name, reason="compares with PyTorch")
    with pytest.raises(TypeError, match="must be"):
        getattr(lib.nn, layer)(**settings)(lib.ones(*IMAGE))
