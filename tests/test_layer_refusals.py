"""What layers refuse: PyTorch's exception class, its gist, and the user's own line."""

import numpy as np
import pytest

import lucidlite

IMAGE = (2, 4, 5, 5)

# Name: what is called on a library, PyTorch's class, the gist of our message.
REFUSED = {
    "linear-features": (
        lambda T: T.nn.Linear(3, 2)(T.ones(5, 4)),
        RuntimeError,
        r"mat1 and mat2 shapes cannot be multiplied \(5x4 and 3x2\)",
    ),
    "linear-dtype": (
        lambda T: T.nn.Linear(3, 2)(T.ones(5, 3).double()),
        RuntimeError,
        "same dtype, got input=torch.float64, weight=torch.float32",
    ),
    "linear-array": (
        lambda T: T.nn.Linear(3, 2)(np.ones((5, 3), np.float32)),
        TypeError,
        "'input' must be Tensor, got ndarray",
    ),
    "linear-size": (lambda T: T.nn.Linear(3.5, 2), TypeError, "size must be int"),
    "linear-negative": (lambda T: T.nn.Linear(-1, 2), RuntimeError, "negative dimension"),
    "linear-missing": (lambda T: T.nn.Linear(3), TypeError, "'out_features'"),
    "linear-unknown": (lambda T: T.nn.Linear(3, 2, size=1), TypeError, "'size'"),
    "conv-in-groups": (
        lambda T: T.nn.Conv2d(3, 4, 3, groups=2),
        ValueError,
        "in_channels must be divisible by groups, got in_channels=3, groups=2",
    ),
    "conv-out-groups": (
        lambda T: T.nn.Conv2d(4, 3, 3, groups=2),
        ValueError,
        "out_channels must be divisible by groups, got out_channels=3, groups=2",
    ),
    "conv-no-groups": (
        lambda T: T.nn.Conv2d(4, 4, 3, groups=0),
        ValueError,
        "groups must be a positive integer, got groups=0",
    ),
    "conv-padding-word": (
        lambda T: T.nn.Conv2d(4, 4, 3, padding="full"),
        ValueError,
        "Invalid padding string 'full', should be one of 'valid', 'same'",
    ),
    "conv-same-stride": (
        lambda T: T.nn.Conv2d(4, 4, 3, stride=(1, 2), padding="same"),
        ValueError,
        r"padding='same' is not supported for strided convolutions, got stride=\(1, 2\)",
    ),
    "conv-mode": (
        lambda T: T.nn.Conv2d(4, 4, 3, padding_mode="edge"),
        ValueError,
        "padding_mode must be one of .*, got padding_mode='edge'",
    ),
    "conv-kernel-type": (lambda T: T.nn.Conv2d(4, 4, 3.0), TypeError, "kernel_size=3.0"),
    "conv-padding-type": (
        lambda T: T.nn.Conv2d(4, 4, 3, padding=1.5)(T.ones(*IMAGE)),
        TypeError,
        "padding=1.5",
    ),
    "conv-stride-0": (
        lambda T: T.nn.Conv2d(4, 4, 3, stride=0)(T.ones(*IMAGE)),
        RuntimeError,
        r"stride should be greater than zero, got stride=\(0, 0\)",
    ),
    "conv-dilation-0": (
        lambda T: T.nn.Conv2d(4, 4, 3, dilation=0)(T.ones(*IMAGE)),
        RuntimeError,
        "dilation should be greater than zero",
    ),
    "conv-padding-negative": (
        lambda T: T.nn.Conv2d(4, 4, 3, padding=-1)(T.ones(*IMAGE)),
        RuntimeError,
        "negative padding is not supported",
    ),
    "conv-channels": (
        lambda T: T.nn.Conv2d(4, 4, 3)(T.ones(1, 3, 5, 5)),
        RuntimeError,
        r"expected input \[1, 3, 5, 5\] to have 4 channels, but got 3",
    ),
    "conv-too-small": (
        lambda T: T.nn.Conv2d(4, 4, 3)(T.ones(1, 4, 2, 5)),
        RuntimeError,
        r"padded input size per channel: \(2 x 5\). Kernel size: \(3 x 3\). Kernel size can't be "
        "greater than actual input size",
    ),
    "conv-rank": (
        lambda T: T.nn.Conv2d(4, 4, 3)(T.ones(5, 5)),
        RuntimeError,
        r"Expected 3D \(unbatched\) or 4D \(batched\) input, but got input of size: \[5, 5\]",
    ),
    "conv-dtype": (
        lambda T: T.nn.Conv2d(4, 4, 3)(T.ones(*IMAGE).long()),
        RuntimeError,
        "got input=torch.int64, weight=torch.float32",
    ),
    "conv-reflect-too-far": (
        lambda T: T.nn.Conv2d(4, 4, 3, padding=5, padding_mode="reflect")(T.ones(*IMAGE)),
        RuntimeError,
        r"padding size should be less than the corresponding input dimension",
    ),
    "conv-circular-too-far": (
        lambda T: T.nn.Conv2d(4, 4, 3, padding=6, padding_mode="circular")(T.ones(*IMAGE)),
        RuntimeError,
        "padding size should be less than",
    ),
    "relu-bool": (lambda T: T.nn.ReLU()(T.ones(3).bool()), RuntimeError, "oolean inputs"),
    "relu-leaf": (
        lambda T: T.nn.ReLU(inplace=True)(T.ones(2, requires_grad=True)),
        RuntimeError,
        "a leaf Variable that requires grad is being used in an in-place operation",
    ),
    "leaky-int": (lambda T: T.nn.LeakyReLU()(T.ones(3).long()), NotImplementedError, "int64"),
    "gelu-int": (lambda T: T.nn.GELU()(T.ones(3).long()), NotImplementedError, "int64"),
    "gelu-word": (lambda T: T.nn.GELU("fast")(T.ones(3)), RuntimeError, "either none or tanh"),
    "gelu-type": (lambda T: T.nn.GELU(1)(T.ones(3)), TypeError, "must be str"),
    "softmax-int": (lambda T: T.nn.Softmax(0)(T.ones(3).long()), NotImplementedError, "int64"),
    "softmax-dim": (
        lambda T: T.nn.Softmax(2)(T.ones(3)),
        IndexError,
        r"expected to be in range of \[-1, 0\], but got 2",
    ),
    "flatten-dim": (lambda T: T.nn.Flatten()(T.ones(3)), IndexError, "out of range"),
    "flatten-order": (
        lambda T: T.nn.Flatten(2, 1)(T.ones(3, 2, 2)),
        RuntimeError,
        "start_dim cannot come after end_dim",
    ),
    "sigmoid-argument": (lambda T: T.nn.Sigmoid(1), TypeError, "positional argument"),
    "no-input": (lambda T: T.nn.ReLU()(), TypeError, "'input'"),
    "two-inputs": (lambda T: T.nn.ReLU()(T.ones(1), T.ones(1)), TypeError, "positional"),
    "adaptive-three": (
        lambda T: T.nn.AdaptiveAvgPool2d((1, 2, 3))(T.ones(*IMAGE)),
        RuntimeError,
        "output_size must be 2",
    ),
    "adaptive-four": (
        lambda T: T.nn.AdaptiveAvgPool2d((1, 2, 3, 4))(T.ones(*IMAGE)),
        ValueError,
        "Input dimension should be at least 5",
    ),
    "adaptive-negative": (
        lambda T: T.nn.AdaptiveMaxPool2d(-1)(T.ones(*IMAGE)),
        (RuntimeError,),
        "greater than or equal to 0",
    ),
    "adaptive-float": (lambda T: T.nn.AdaptiveAvgPool2d(2.5)(T.ones(*IMAGE)), TypeError, "2.5"),
    "pad-odd": (lambda T: T.nn.functional.pad(T.ones(3), (1,)), RuntimeError, "padding length"),
    "pad-mode": (
        lambda T: T.nn.functional.pad(T.ones(3), (1, 1), "edge"),
        NotImplementedError,
        "mode='edge'",
    ),
    "pad-float": (lambda T: T.nn.functional.pad(T.ones(3), (1.5, 1)), TypeError, "1.5"),
    "pad-too-many": (
        lambda T: T.nn.functional.pad(T.ones(2, 3), (1, 1, 1, 1), "reflect"),
        NotImplementedError,
        "2D or 3D input",
    ),
    "pad-value": (
        lambda T: T.nn.functional.pad(T.ones(2, 3), (1, 1), "reflect", 2.0),
        RuntimeError,
        "doesn't take in value",
    ),
}
CASES = [pytest.param(*row, id=name) for name, row in REFUSED.items()]


@pytest.mark.parametrize(("call", "kind", "gist"), CASES)
def test_refusal(call, kind, gist):
    with pytest.raises(kind, match=gist) as refusal:
        call(lucidlite)
    text = str(refusal.value)
    if "at " in text:
        assert f"{__file__}:" in text


@pytest.mark.parametrize(("call", "kind", "gist"), CASES)
def test_torch_refuses_in_the_same_class(call, kind, gist):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises(kind) as refusal:
        call(torch)
    assert type(refusal.value) in (kind if isinstance(kind, tuple) else (kind,)), gist


def test_an_error_names_the_module_and_the_line():
    model = lucidlite.nn.Sequential(lucidlite.nn.Sequential(lucidlite.nn.Conv2d(3, 4, 3)))
    with pytest.raises(RuntimeError, match=r"in module Sequential\.0\.0: Conv2d") as refusal:
        model(lucidlite.ones(1, 2, 5, 5))
    assert f"at {__file__}:" in str(refusal.value)
