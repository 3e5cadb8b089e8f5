"""Losses against PyTorch's over weights, ignored targets, smoothing, reductions and dimensions."""

import itertools

import numpy as np
import pytest
from parity import assert_close, libraries, numpy_of, quietly

import lucidlite as torch
from lucidlite import nn
from lucidlite.nn import functional as F

# Scores; their class dimension is 1, or 0 where there is no other.
SHAPES = [(4, 5), (5,), (2, 5, 3), (2, 5, 3, 4), (1, 1), (3, 2, 2, 2, 2)]


def drawn(shape, ignore, seed=0):
    """Scores, targets (some ignored), class weights and class probabilities."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(shape)
    classes = shape[0] if len(shape) == 1 else shape[1]
    target = rng.integers(0, classes, () if len(shape) == 1 else (shape[0], *shape[2:]))
    if ignore is not None and len(shape) > 1:
        target[rng.random(target.shape) < 0.3] = ignore
    shares = rng.random(shape)
    shares /= shares.sum(0 if len(shape) == 1 else 1, keepdims=True)
    return scores, np.asarray(target), rng.random(classes) + 0.1, shares


def both(call, arrays):
    """(loss, gradients) of ``call(side, *tensors)`` on both libraries; the first requires grad."""
    found = []
    for side in libraries():
        tensors = [None if a is None else side.lib.from_numpy(np.array(a)) for a in arrays]
        tensors[0].requires_grad_()
        loss = call(side, *tensors)
        loss.backward(side.lib.ones_like(loss) * 1.5)
        found.append((numpy_of(loss), numpy_of(tensors[0].grad)))
    return found


REDUCTIONS = ["mean", "sum", "none"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_of_classes(shape, reduction):
    pytest.importorskip("torch", reason="compares with PyTorch")
    for ignore, weighted, smoothing in itertools.product((None, -100, 1), (0, 1), (0.0, 0.1, 1.0)):
        scores, target, weight, _ = drawn(shape, ignore)
        settings = {"reduction": reduction, "label_smoothing": smoothing}
        if ignore is not None:
            settings["ignore_index"] = ignore

        def loss(side, x, t, w, settings=settings):
            return side.nn.CrossEntropyLoss(weight=w, **settings)(x, t)

        arrays = [scores, target, weight if weighted else None]
        ours, theirs = both(loss, arrays)
        for mine, want in zip(ours, theirs, strict=True):
            assert_close(mine, want, 1e-10, 1e-12, f"{settings} {weighted}")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_of_probabilities(shape, reduction):
    pytest.importorskip("torch", reason="compares with PyTorch")
    for weighted, smoothing in itertools.product((0, 1), (0.0, 0.2)):
        scores, _, weight, shares = drawn(shape, None)
        settings = {"reduction": reduction, "label_smoothing": smoothing}

        def loss(side, x, t, w, settings=settings):
            return side.nn.CrossEntropyLoss(weight=w, **settings)(x, t)

        ours, theirs = both(loss, [scores, shares, weight if weighted else None])
        for mine, want in zip(ours, theirs, strict=True):
            assert_close(mine, want, 1e-10, 1e-12, f"{settings} {weighted}")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nll(shape, reduction):
    pytest.importorskip("torch", reason="compares with PyTorch")
    for ignore, weighted in itertools.product((None, -100, 0), (0, 1)):
        scores, target, weight, _ = drawn(shape, ignore)
        settings = {"reduction": reduction}
        if ignore is not None:
            settings["ignore_index"] = ignore

        def loss(side, x, t, w, settings=settings):
            return side.nn.NLLLoss(w, **settings)(x, t)

        ours, theirs = both(loss, [scores, target, weight if weighted else None])
        for mine, want in zip(ours, theirs, strict=True):
            assert_close(mine, want, 1e-10, 1e-12, f"{settings} {weighted}")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (2, 0)], ids=str)
def test_mse(shape, reduction):
    pytest.importorskip("torch", reason="compares with PyTorch")
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape), rng.standard_normal(shape)]
    ours, theirs = both(lambda side, x, t: side.nn.MSELoss(reduction=reduction)(x, t), arrays)
    for mine, want in zip(ours, theirs, strict=True):
        assert_close(mine, want, 1e-12, 1e-14)


def test_values_by_hand():
    scores = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    logp = scores.numpy() - np.log(np.exp(scores.numpy()).sum(1, keepdims=True))
    target = torch.tensor([0, 2])
    picked = -logp[[0, 1], [0, 2]]
    assert nn.CrossEntropyLoss()(scores, target).item() == pytest.approx(picked.mean())
    weight = torch.tensor([1.0, 2.0, 3.0])
    weighted = nn.CrossEntropyLoss(weight)(scores, target).item()
    assert weighted == pytest.approx((picked[0] + 3 * picked[1]) / 4)
    ignored = nn.CrossEntropyLoss(ignore_index=2)(scores, target).item()
    assert ignored == pytest.approx(picked[0])
    smooth = nn.CrossEntropyLoss(label_smoothing=0.3)(scores, target).item()
    assert smooth == pytest.approx(0.7 * picked.mean() - 0.3 * logp.mean())
    assert F.nll_loss(torch.from_numpy(logp), target, reduction="sum").item() == pytest.approx(
        picked.sum()
    )
    assert F.mse_loss(scores, torch.zeros(2, 3)).item() == pytest.approx(1.0)


def test_scores_of_any_size_do_not_overflow():
    scores = torch.tensor([[1000.0, 0.0], [-1000.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(scores, torch.tensor([1, 1]))
    assert loss.item() == 500
    loss.backward()
    assert scores.grad.tolist() == [[0.5, -0.5], [0, 0]]


def test_state_and_settings():
    weight = torch.tensor([1.0, 2.0])
    assert list(nn.CrossEntropyLoss(weight).state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    loss = nn.CrossEntropyLoss(weight, ignore_index=3, reduction="sum", label_smoothing=0.1)
    assert (loss.ignore_index, loss.reduction, loss.label_smoothing) == (3, "sum", 0.1)
    assert loss.double().weight.dtype is torch.float64
    assert (nn.NLLLoss().ignore_index, nn.MSELoss().reduction) == (-100, "mean")
    assert [repr(kind()) for kind in (nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss)] == [
        "CrossEntropyLoss()", "NLLLoss()", "MSELoss()",
    ]  # fmt: skip


def test_sizes_that_differ_warn_as_in_torch():
    for lib in (torch, pytest.importorskip("torch", reason="compares with PyTorch")):
        with pytest.warns(UserWarning, match="different"):
            loss = lib.nn.functional.mse_loss(lib.ones(2, 3), lib.zeros(3))
        assert loss.item() == 1


@pytest.mark.parametrize("arguments", [dict(size_average=False), dict(reduce=False)], ids=str)
def test_deprecated_arguments_name_the_one_to_use(arguments):
    for make in (nn.MSELoss, nn.NLLLoss, nn.CrossEntropyLoss):
        with pytest.raises(TypeError, match="use reduction"):
            make(**arguments)
    with pytest.raises(TypeError, match="use reduction"):
        F.mse_loss(torch.ones(2), torch.ones(2), **arguments)


def ce(T, scores, target, **settings):
    return T.nn.functional.cross_entropy(scores, target, **settings)


REFUSED = {
    "class-high": (lambda T: ce(T, T.ones(2, 3), T.tensor([0, 3])), IndexError, "arget 3 is out"),
    "class-low": (lambda T: ce(T, T.ones(2, 3), T.tensor([0, -1])), IndexError, "arget -1 is out"),
    "batch": (
        lambda T: ce(T, T.ones(2, 3), T.tensor([0, 1, 2])),
        ValueError,
        r"input batch_size \(2\) to match target batch_size \(3\)",
    ),
    "target-size": (
        lambda T: ce(T, T.ones(2, 3, 4), T.zeros(2, 5).long()),
        RuntimeError,
        r"expected target size \(2, 4\)",
    ),
    "target-int32": (lambda T: ce(T, T.ones(2, 3), T.tensor([0, 1]).int()), RuntimeError, "int64"),
    "target-float": (lambda T: ce(T, T.ones(2, 3), T.ones(2)), RuntimeError, "int64"),
    "target-like-scores": (
        lambda T: ce(T, T.ones(2, 3), T.ones(2, 3).long()),
        RuntimeError,
        "floating point type for target with class probabilities",
    ),
    "ignored-probabilities": (
        lambda T: ce(T, T.ones(2, 3), T.ones(2, 3), ignore_index=0),
        RuntimeError,
        "ignore_index is not supported for floating point target",
    ),
    "scores-int": (
        lambda T: ce(T, T.ones(2, 3).long(), T.tensor([0, 1])),
        NotImplementedError,
        "int64",
    ),
    "weight-size": (
        lambda T: ce(T, T.ones(2, 3), T.tensor([0, 1]), weight=T.ones(2)),
        RuntimeError,
        r"either for all 3 classes or no classes but got weight tensor of shape: \[2\]",
    ),
    "weight-dtype": (
        lambda T: ce(T, T.ones(2, 3), T.tensor([0, 1]), weight=T.ones(3).double()),
        RuntimeError,
        "weight=torch.float64",
    ),
    "reduction": (
        lambda T: ce(T, T.ones(2, 3), T.tensor([0, 1]), reduction="avg"),
        ValueError,
        "avg is not a valid value for reduction",
    ),
    "smoothing": (
        lambda T: ce(T, T.ones(2, 3), T.tensor([0, 1]), label_smoothing=1.5),
        RuntimeError,
        "label_smoothing must be between 0.0 and 1.0",
    ),
    "mse-sizes": (
        lambda T: T.nn.functional.mse_loss(T.ones(2, 3), T.ones(2, 2)),
        RuntimeError,
        "must match the size of tensor b",
    ),
    "mse-weight": (
        lambda T: T.nn.functional.mse_loss(T.ones(2, 3), T.ones(2, 3), weight=T.ones(3)),
        ValueError,
        "weights and input must have the same size",
    ),
    "mse-int": (
        lambda T: T.nn.functional.mse_loss(T.ones(2).long(), T.ones(2).long()),
        NotImplementedError,
        "int64",
    ),
    "weight-list": (lambda T: T.nn.CrossEntropyLoss([1, 2]), TypeError, "buffer 'weight'"),
}


CASES = [pytest.param(*row, id=name) for name, row in REFUSED.items()]


@pytest.mark.filterwarnings("ignore:.*different:UserWarning")
@pytest.mark.parametrize(("call", "kind", "gist"), CASES)
def test_refusal(call, kind, gist):
    with pytest.raises(kind, match=gist) as refusal:
        call(torch)
    assert f"at {__file__}:" in str(refusal.value)


@pytest.mark.parametrize(("call", "kind", "gist"), CASES)
def test_torch_refuses_in_the_same_class(call, kind, gist):
    theirs = pytest.importorskip("torch", reason="compares with PyTorch")
    _, problem = quietly(lambda: call(theirs))
    assert type(problem) is kind, gist
