"""AvgPool2d as the PyTorch tutorial documents it: one test a row, named by the row's ID."""

import ast
import inspect
import itertools

import numpy as np
import pytest
from seed_examples import BASIC, COMPARED, GAP, cnn_with_gap, with_imports

import lucidlite as torch
from lucidlite import nn


def run(code, capsys):
    variables = {"__name__": "__main__"}
    exec(with_imports(code, "lucidlite"), variables)
    return capsys.readouterr().out, variables


def grid(n, m=None):
    """1, 2, 3, ... as an (1, 1, n, m) image."""
    m = n if m is None else m
    return torch.arange(1.0, n * m + 1).view(1, 1, n, m)


def test_A1_signature():
    parameters = list(inspect.signature(nn.AvgPool2d).parameters.values())
    assert [(p.name, p.default) for p in parameters] == [
        ("kernel_size", inspect.Parameter.empty),
        ("stride", None),
        ("padding", 0),
        ("ceil_mode", False),
        ("count_include_pad", True),
        ("divisor_override", None),
    ]
    positional = nn.AvgPool2d(3, 2, 1, True, False, 5)
    named = nn.AvgPool2d(
        kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False,
        divisor_override=5,
    )  # fmt: skip
    for pool in (positional, named):
        assert (pool.kernel_size, pool.stride, pool.padding) == (3, 2, 1)
        assert (pool.ceil_mode, pool.count_include_pad, pool.divisor_override) == (True, False, 5)
    x = torch.randn(2, 3, 8, 7)
    assert torch.equal(positional(x), named(x))


def test_A2_kernel_size_is_a_number_or_a_pair():
    assert nn.AvgPool2d((3, 2))(grid(6)).shape == (1, 1, 2, 3)
    assert nn.AvgPool2d((3, 2))(grid(6)).tolist() == [[[[7.5, 9.5, 11.5], [25.5, 27.5, 29.5]]]]
    assert torch.equal(nn.AvgPool2d(3)(grid(6)), nn.AvgPool2d((3, 3))(grid(6)))


def test_A3_stride_defaults_to_the_kernel():
    assert nn.AvgPool2d(3).stride == 3
    assert nn.AvgPool2d((3, 2)).stride == (3, 2)
    assert nn.AvgPool2d(2, stride=(3, 1))(grid(5)).tolist() == [[[[4, 5, 6, 7], [19, 20, 21, 22]]]]
    assert nn.AvgPool2d(2, stride=(1, 3))(grid(5)).shape == (1, 1, 4, 2)


def test_A4_padding_is_zeros_on_both_sides():
    pooled = nn.AvgPool2d(2, 2, 1)(torch.ones(1, 1, 4, 4))
    assert pooled.tolist() == [[[[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]]]
    assert nn.AvgPool2d(2, padding=(0, 1))(torch.ones(1, 1, 4, 4)).shape == (1, 1, 2, 3)


def test_A5_ceil_mode_keeps_the_border():
    assert nn.AvgPool2d(2, 2, ceil_mode=True)(grid(3)).tolist() == [[[[3, 4.5], [7.5, 9]]]]
    assert nn.AvgPool2d(2, 2)(grid(3)).tolist() == [[[[3]]]]
    assert nn.AvgPool2d(2).ceil_mode is False


def test_A6_count_include_pad():
    pool = nn.AvgPool2d(2, 2, 1, count_include_pad=False)
    assert pool(torch.ones(1, 1, 4, 4)).tolist() == [[[[1.0] * 3] * 3]]
    assert nn.AvgPool2d(2).count_include_pad is True


def test_A7_divisor_override():
    ones = torch.ones(1, 1, 4, 4)
    assert nn.AvgPool2d(2).divisor_override is None
    pooled = nn.AvgPool2d(2, divisor_override=3)(ones)
    np.testing.assert_allclose(pooled.numpy(), np.full((1, 1, 2, 2), 4 / 3), rtol=1e-6)
    # It replaces the count of real elements too.
    pool = nn.AvgPool2d(2, 2, 1, count_include_pad=False, divisor_override=2)
    assert pool(ones).tolist() == [[[[0.5, 1, 0.5], [1, 2, 1], [0.5, 1, 0.5]]]]
    with pytest.raises(RuntimeError, match="divisor must be not zero"):
        nn.AvgPool2d(2, divisor_override=0)(ones)


def test_A8_input_with_and_without_a_batch():
    assert nn.AvgPool2d(2)(torch.ones(3, 8, 8)).shape == (3, 4, 4)
    x = torch.randn(3, 8, 6)
    assert torch.equal(nn.AvgPool2d(2)(x), nn.AvgPool2d(2)(x.unsqueeze(0)).squeeze(0))


def test_A9_output_has_the_rank_of_the_input():
    for shape in ((3, 8, 8), (5, 3, 8, 8)):
        x = torch.ones(shape, requires_grad=True)
        pooled = nn.AvgPool2d(2)(x)
        assert pooled.shape == (*shape[:-2], 4, 4)
        pooled.sum().backward()
        assert x.grad.shape == shape


SIZES = [
    (h, k, s, p)
    for h, k, s, p in itertools.product(range(1, 10), range(1, 5), range(1, 4), range(3))
    if p <= k // 2 and h + 2 * p >= k
]


def test_A10_output_size_by_the_formula():
    for h, k, s, p in SIZES:
        w = 9  # another size, another count
        x = torch.ones(1, 1, h, w)
        rows, columns = ((n + 2 * p - k) // s + 1 for n in (h, w))
        assert nn.AvgPool2d(k, s, p)(x).shape == (1, 1, rows, columns), (h, k, s, p)


def test_A11_output_size_with_ceil_mode():
    for h, k, s, p in SIZES:
        rows = -((h + 2 * p - k) // -s) + 1
        if (rows - 1) * s >= h + p:  # it would start in the right padding
            rows -= 1
        x = torch.ones(1, 1, h, 9)
        assert nn.AvgPool2d(k, s, p, ceil_mode=True)(x).shape[2] == rows, (h, k, s, p)


def test_A10_A11_sizes_and_values_are_torchs():
    theirs = pytest.importorskip("torch", reason="compares with PyTorch")
    for (h, k, s, p), ceil in itertools.product(SIZES, (False, True)):
        x = np.random.default_rng(h).standard_normal((1, 2, h, 11 - h), dtype=np.float32)
        if x.shape[3] + 2 * p < k:
            continue
        ours = nn.AvgPool2d(k, s, p, ceil)(torch.from_numpy(x))
        want = theirs.nn.AvgPool2d(k, s, p, ceil)(theirs.from_numpy(x))
        np.testing.assert_allclose(ours.numpy(), want.numpy(), 1e-5, 1e-6, err_msg=f"{h, k, s, p}")


def test_A12_basic_usage(capsys):
    said, variables = run(BASIC, capsys)
    lines = said.splitlines()
    image, pooled = ast.literal_eval(lines[1]), ast.literal_eval(lines[4])
    assert (lines[0], lines[3]) == ("Input:", "Output:")
    assert lines[-1] == "Shape transformation: (1, 1, 4, 4) -> (1, 1, 2, 2)"
    assert [len(row) for row in image] == [4, 4, 4, 4]
    assert all(type(n) is float for row in image + pooled for n in row)
    for i, j in itertools.product(range(2), range(2)):
        quadrant = [image[2 * i + a][2 * j + b] for a in range(2) for b in range(2)]
        assert pooled[i][j] == pytest.approx(sum(quadrant) / 4, rel=1e-6, abs=1e-7)
    assert variables["output"].shape == (1, 1, 2, 2)


def test_A13_global_average_pooling(capsys):
    said, variables = run(GAP, capsys)
    assert variables["out"].shape == (4, 64, 1, 1)
    assert said.splitlines()[-1] == "Number of average values per channel: 4"


def test_A14_max_and_average_printed(capsys):
    said, _ = run(COMPARED, capsys)
    assert said == (
        "Input Matrix:\n tensor([[ 1.,  2.,  3.,  4.],\n        [ 5.,  6.,  7.,  8.],\n"
        "        [ 9., 10., 11., 12.],\n        [13., 14., 15., 16.]])\n\n"
        "MaxPool2d Output (Extracts maximums):\n tensor([[ 6.,  8.],\n        [14., 16.]])\n\n"
        "AvgPool2d Output (Computes averages):\n tensor([[ 3.5000,  5.5000],\n"
        "        [11.5000, 13.5000]])\n"
    )


def test_A15_the_four_scalars():
    biggest, mean = nn.MaxPool2d(2)(grid(4))[0, 0], nn.AvgPool2d(2)(grid(4))[0, 0]
    assert (biggest[0, 0].item(), biggest[0, 1].item()) == (6, 8)
    assert (mean[0, 0].item(), mean[0, 1].item()) == (3.5, 5.5)


def test_A16_a_kernel_as_large_as_the_input_is_global():
    x = torch.randn(4, 64, 16, 16)
    whole, adaptive = nn.AvgPool2d(16)(x), nn.AdaptiveAvgPool2d(1)(x)
    assert whole.shape == adaptive.shape == (4, 64, 1, 1)
    np.testing.assert_allclose(whole.numpy(), adaptive.numpy(), rtol=1e-5, atol=1e-7)


def test_A17_global_pooling_saves_parameters():
    def parameters(module):
        return sum(p.numel() for p in module.parameters())

    model = cnn_with_gap(torch)()
    assert parameters(model.classifier) == 2_570
    flat = nn.Sequential(nn.Flatten(), nn.Linear(256 * 4 * 4, 10))
    assert parameters(flat) == 40_970
    features = model.features(torch.zeros(1, 3, 32, 32))
    assert flat(features).shape == model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_A18_an_average_is_a_low_pass_filter(kernel):
    noise = torch.randn(1, 1, 240, 240, generator=torch.Generator().manual_seed(kernel))
    smooth = nn.AvgPool2d(kernel)(noise)
    fall = noise.var().item() / smooth.var().item()
    assert fall == pytest.approx(kernel * kernel, rel=0.1)
    # What varies slowly passes: a constant image stays as it is.
    flat = torch.full((1, 1, 12, 12), 0.7)
    np.testing.assert_allclose(nn.AvgPool2d(kernel)(flat).numpy(), 0.7, rtol=1e-6)


def test_A19_ints_as_float32():
    x = torch.tensor([[1, 2], [3, 4]], dtype=torch.float32)
    assert x.dtype is torch.float32
    assert repr(x) == "tensor([[1., 2.],\n        [3., 4.]])"
    assert torch.tensor([[1, 2], [3, 4]]).dtype is torch.int64
