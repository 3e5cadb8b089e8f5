"""Activations and losses in every dtype, and in every pair of them: PyTorch's dtype or error."""

import itertools

import numpy as np
import pytest

import lucidlite

FLOATS = ("float32", "float64", "float16")
KINDS = (*FLOATS, "int64", "bool")

ACTIVATIONS = {
    **dict.fromkeys((
        "relu", "relu6", "hardtanh", "elu", "selu", "celu", "leaky_relu", "silu", "mish",
        "hardswish", "hardsigmoid", "rrelu", "softplus", "softsign", "logsigmoid", "softshrink",
        "hardshrink", "tanhshrink", "gelu", "glu", "sigmoid", "tanh",
    ), ()),
    "threshold": (1.5, 2.7), "softmin": (0,), "dropout1d": (1.0,), "alpha_dropout": (1.0, True),
    "normalize": (2.0, 0),
}  # fmt: skip
LOSSES = (
    "l1_loss", "smooth_l1_loss", "huber_loss", "mse_loss", "binary_cross_entropy", "kl_div",
    "binary_cross_entropy_with_logits", "poisson_nll_loss", "hinge_embedding_loss",
    "soft_margin_loss", "multilabel_soft_margin_loss", "margin_ranking_loss",
    "cosine_embedding_loss", "triplet_margin_loss", "gaussian_nll_loss",
)  # fmt: skip


def outcome(call):
    """The dtype and values of a result, or the class of the error."""
    try:
        out = call()
    except (RuntimeError, TypeError, ValueError) as problem:  # NotImplementedError too
        return type(problem).__name__, np.zeros(0)
    return str(out.dtype).removeprefix("torch."), out.double().numpy()


def same(case, calls):
    ours, theirs = map(outcome, calls)
    assert ours[0] == theirs[0], case
    np.testing.assert_allclose(ours[1], theirs[1], rtol=5e-3, atol=5e-3, err_msg=str(case))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for kind in (*KINDS, "int32", "uint8", "int8"):
        array = np.array([[3, 0], [2, 9]]).astype(kind)
        same(kind, [
            lambda T=T, a=array: getattr(T.nn.functional, name)(T.tensor(a), *ACTIVATIONS[name])
            for T in (lucidlite, torch)
        ])  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, y = np.array([[0.25, 1.0], [0.5, 0.75]]), np.array([[1.0, 1.0], [0.0, 1.0]])
    sides = np.array([1.0, -1.0]) if name.startswith("cosine") else y + 0.5
    for how, a, b in itertools.product(("mean", "none"), KINDS, KINDS):
        arrays = [x.astype(a), y.astype(b)]
        if name.startswith(("margin", "cosine", "triplet", "gaussian")):
            arrays = [x.astype(a), y.astype(a), sides.astype(b)]
        same((how, a, b), [
            lambda T=T, arrays=arrays, how=how: getattr(T.nn.functional, name)(
                *map(T.tensor, arrays), reduction=how)
            for T in (lucidlite, torch)
        ])  # fmt: skip
