"""Loss and distance layers against PyTorch's: printing, settings, state, values and gradients."""

import warnings

import numpy as np
import pytest
from parity import assert_close, libraries, numpy_of

import lucidlite
from lucidlite.nn import functional as F

N, C = 5, 4


def drawn(kind, rng):
    """An argument of a loss by its kind: two of one kind differ."""
    return {
        "scores": lambda: rng.standard_normal((N, C)),
        "unit": lambda: rng.uniform(0.05, 0.95, (N, C)),
        "positive": lambda: rng.uniform(0.3, 2.0, (N, C)),
        "classes": lambda: rng.integers(0, C, N),
        "sets": lambda: rng.integers(-1, C, (N, C)),
        "signs": lambda: rng.choice([-1.0, 1.0], (N, C)),
        "sides": lambda: rng.choice([-1.0, 1.0], N),
        "images": lambda: rng.standard_normal((N, C, 2, 3)),
        "labels": lambda: rng.integers(0, C, (N, 2, 3)),
    }[kind]()


def weights(s):
    return s.lib.linspace(0.5, 2.0, C)


# Name, how to make it, the kinds of its arguments; all of floats get a gradient but "signs".
LOSSES = [
    ("L1", lambda s, **k: s.nn.L1Loss(**k), "scores scores"),
    ("MSE", lambda s, **k: s.nn.MSELoss(**k), "scores scores"),
    ("SmoothL1", lambda s, **k: s.nn.SmoothL1Loss(beta=0.5, **k), "scores scores"),
    ("Huber", lambda s, **k: s.nn.HuberLoss(delta=0.5, **k), "scores scores"),
    ("BCE", lambda s, **k: s.nn.BCELoss(**k), "unit unit"),
    ("BCE-weight", lambda s, **k: s.nn.BCELoss(weights(s), **k), "unit unit"),
    ("logits", lambda s, **k: s.nn.BCEWithLogitsLoss(**k), "scores unit"),
    ("logits-weights", lambda s, **k: s.nn.BCEWithLogitsLoss(
        weights(s), pos_weight=weights(s), **k), "scores unit"),
    ("KLDiv", lambda s, **k: s.nn.KLDivLoss(**k), "scores unit"),
    ("KLDiv-log", lambda s, **k: s.nn.KLDivLoss(log_target=True, **k), "scores scores"),
    ("Poisson", lambda s, **k: s.nn.PoissonNLLLoss(**k), "scores positive"),
    ("Poisson-full", lambda s, **k: s.nn.PoissonNLLLoss(False, True, eps=0.1, **k),
     "positive positive"),
    ("Gaussian", lambda s, **k: s.nn.GaussianNLLLoss(**k), "scores scores positive"),
    ("Gaussian-full", lambda s, **k: s.nn.GaussianNLLLoss(full=True, eps=0.5, **k),
     "scores scores positive"),
    ("NLL", lambda s, **k: s.nn.NLLLoss(weights(s), ignore_index=1, **k), "scores classes"),
    ("NLL-images", lambda s, **k: s.nn.NLLLoss(**k), "images labels"),
    ("CrossEntropy", lambda s, **k: s.nn.CrossEntropyLoss(
        weights(s), ignore_index=2, label_smoothing=0.1, **k), "scores classes"),
    ("CrossEntropy-images", lambda s, **k: s.nn.CrossEntropyLoss(weights(s), **k),
     "images labels"),
    ("SoftMargin", lambda s, **k: s.nn.SoftMarginLoss(**k), "scores signs"),
    ("Hinge", lambda s, **k: s.nn.HingeEmbeddingLoss(0.5, **k), "scores signs"),
    ("Cosine", lambda s, **k: s.nn.CosineEmbeddingLoss(0.1, **k), "scores scores sides"),
    ("Ranking", lambda s, **k: s.nn.MarginRankingLoss(0.3, **k), "scores scores signs"),
    ("Triplet", lambda s, **k: s.nn.TripletMarginLoss(2.0, 1.0, swap=True, **k),
     "scores scores scores"),
    ("Triplet-distance", lambda s, **k: s.nn.TripletMarginWithDistanceLoss(margin=2.0, **k),
     "scores scores scores"),
    ("MultiMargin", lambda s, **k: s.nn.MultiMarginLoss(2, 0.7, weights(s), **k),
     "scores classes"),
    ("MultiLabelMargin", lambda s, **k: s.nn.MultiLabelMarginLoss(**k), "scores sets"),
    ("MultiLabelSoftMargin", lambda s, **k: s.nn.MultiLabelSoftMarginLoss(weights(s), **k),
     "scores unit"),
]  # fmt: skip
each_loss = pytest.mark.parametrize(
    ("build", "kinds"), [row[1:] for row in LOSSES], ids=[row[0] for row in LOSSES]
)


def values(side, layer, kinds, dtype):
    """(output, gradients of the float arguments) as NumPy arrays."""
    rng, tensors = np.random.default_rng(0), []
    for kind in kinds.split():
        array = drawn(kind, rng)
        array = array.astype(dtype) if array.dtype.kind == "f" else array
        tensor = side.lib.from_numpy(array)
        takes_grad = array.dtype.kind == "f" and kind not in ("signs", "sides")
        tensors.append(tensor.requires_grad_() if takes_grad else tensor)
    layer = layer.double() if dtype == "float64" else layer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # KLDivLoss's mean
        out = layer(*tensors)
    grad = np.random.default_rng(1).standard_normal(tuple(out.shape)).astype(dtype)
    out.backward(side.lib.from_numpy(np.asarray(grad)))
    return numpy_of(out), [numpy_of(t.grad) for t in tensors if t.requires_grad]


@each_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_values_and_gradients_are_torchs(build, kinds, reduction):
    pytest.importorskip("torch", reason="compares with PyTorch")
    for dtype, tolerance in (("float64", 1e-10), ("float32", 2e-5)):
        ours, theirs = (
            values(side, build(side, reduction=reduction), kinds, dtype) for side in libraries()
        )
        assert_close(ours[0], theirs[0], tolerance, tolerance, dtype)
        for mine, want in zip(ours[1], theirs[1], strict=True):
            assert_close(mine, want, tolerance, tolerance, f"{dtype} gradient")


@each_loss
def test_prints_and_holds_what_torchs_does(build, kinds):
    del kinds
    pytest.importorskip("torch", reason="compares with PyTorch")
    ours, theirs = (build(side) for side in libraries())
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    public = [
        {k: v for k, v in vars(side).items() if not k.startswith("_") and k != "training"}
        for side in (ours, theirs)
    ]
    assert public[0] == public[1]


def test_distances():
    pytest.importorskip("torch", reason="compares with PyTorch")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 3))
    found = []
    for s in libraries():
        layers = s.nn.PairwiseDistance(1.0, 0.1, True), s.nn.CosineSimilarity(2, 0.5)
        a, b = s.lib.from_numpy(x), s.lib.from_numpy(y)
        found.append((*map(repr, layers), *(numpy_of(layer(a, b)) for layer in layers)))
    assert found[0][:2] == found[1][:2]
    for mine, want in zip(found[0][2:], found[1][2:], strict=True):
        assert_close(mine, want, 1e-12, 1e-14)


# -- what the table can't say ------------------------------------------------------------------


def both():
    return lucidlite, pytest.importorskip("torch", reason="compares with PyTorch")


def test_sizes_that_differ_warn_as_in_torch():
    for T in both():
        for name in ("l1_loss", "smooth_l1_loss", "huber_loss"):
            with pytest.warns(UserWarning, match="different to the input size") as warned:
                loss = getattr(T.nn.functional, name)(T.ones(2, 3), T.zeros(3))
            assert loss.shape == ()
            assert warned[0].filename == __file__


def test_kl_div_warns_of_its_mean():
    for T in both():
        with pytest.warns(UserWarning, match="'batchmean' divides only by the batch size"):
            loss = T.nn.KLDivLoss()(T.zeros(2, 3), T.full((2, 3), 0.5))
        assert loss.item() == pytest.approx(0.5 * np.log(0.5))


def test_nll_loss_2d_is_the_old_name():
    for T in both():
        with pytest.warns(FutureWarning, match="NLLLoss2d"):
            loss = T.nn.NLLLoss2d()
        assert isinstance(loss, T.nn.NLLLoss)
        assert loss(T.zeros(1, 2, 3, 3), T.zeros(1, 3, 3).long()).item() == 0


def test_bce_by_hand():
    x = lucidlite.tensor([0.0, 1.0, 0.5, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(x, lucidlite.tensor([1.0, 1.0, 0.0, 0.0]), reduction="none")
    np.testing.assert_allclose(numpy_of(loss), [100, 0, np.log(2), 100], rtol=1e-6)
    loss.sum().backward()
    np.testing.assert_allclose(numpy_of(x.grad), [-1e12, 0, 2, 1e12], rtol=1e-6)


def test_scores_of_any_size_do_not_overflow():
    x = lucidlite.tensor([1e4, -1e4, 1e4, -1e4], requires_grad=True)
    y = lucidlite.tensor([1.0, 0.0, 0.0, 1.0])
    loss = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    assert loss.tolist() == [0, 0, 1e4, 1e4]
    loss.sum().backward()
    assert x.grad.tolist() == [0, 0, 1, -1]


def test_losses_of_large_scores_have_finite_gradients():
    x = lucidlite.tensor([1e4, -1e4], requires_grad=True)
    F.soft_margin_loss(x, lucidlite.tensor([1.0, -1.0]), reduction="sum").backward()
    assert x.grad.tolist() == [0, 0]


REFUSED = {
    "bce-range": (lambda T: T.nn.BCELoss()(T.tensor([0.5, 1.5]), T.ones(2)), RuntimeError,
                  "between 0 and 1"),
    "bce-nan": (lambda T: T.nn.BCELoss()(T.tensor([float("nan")]), T.ones(1)), RuntimeError,
                "between 0 and 1"),
    "bce-size": (lambda T: T.nn.BCELoss()(T.rand(2), T.ones(3)), ValueError, "size"),
    "bce-dtype": (lambda T: T.nn.BCELoss()(T.rand(2), T.ones(2).long()), RuntimeError,
                  "Long|int64"),
    "logits-size": (lambda T: T.nn.BCEWithLogitsLoss()(T.rand(2), T.ones(2, 1)), ValueError,
                    "must be the same"),
    "logits-pos-weight": (lambda T: T.nn.BCEWithLogitsLoss(pos_weight=T.ones(3))(
        T.rand(2, 2), T.ones(2, 2)), RuntimeError, "size|shapes must broadcast"),
    "beta": (lambda T: T.nn.SmoothL1Loss(beta=-1.0)(T.ones(2), T.ones(2)), RuntimeError,
             "negative values for beta"),
    "delta": (lambda T: T.nn.HuberLoss(delta=0.0)(T.ones(2), T.ones(2)), RuntimeError,
              "non-positive values for delta"),
    "delta-type": (lambda T: T.nn.HuberLoss(delta="1"), TypeError, "delta must be a float or int"),
    "reduction": (lambda T: T.nn.functional.l1_loss(T.ones(2), T.ones(2), reduction="max"),
                  ValueError, "is not a valid value for reduction"),
    "l1-weight": (lambda T: T.nn.functional.l1_loss(T.ones(2), T.ones(2), weight=T.ones(1)),
                  ValueError, "must have the same size"),
    "soft-shapes": (lambda T: T.nn.functional.multilabel_soft_margin_loss(T.ones(2), T.ones(3)),
                    RuntimeError, "size"),
    "gaussian-var": (lambda T: T.nn.GaussianNLLLoss()(T.ones(2), T.ones(2), -T.ones(2)), ValueError,
                     "negative"),
    "gaussian-size": (lambda T: T.nn.GaussianNLLLoss()(T.ones(2, 3), T.ones(2, 3), T.ones(4, 3)),
                      ValueError, "incorrect size"),
    "ranking-dims": (lambda T: T.nn.MarginRankingLoss()(T.ones(2), T.ones(2, 1), T.ones(2)),
                     RuntimeError, "same dimension"),
    "cosine-target": (lambda T: T.nn.CosineEmbeddingLoss()(
        T.ones(2, 3), T.ones(2, 3), T.ones(2, 1)), RuntimeError, "multi-target not supported"),
    "cosine-input": (lambda T: T.nn.CosineEmbeddingLoss()(T.ones(3), T.ones(3), T.ones(2)),
                     RuntimeError, "1D target tensor expects 2D input"),
    "triplet-margin": (lambda T: T.nn.TripletMarginLoss(margin=0), ValueError, "greater than 0"),
    "triplet-dims": (lambda T: T.nn.TripletMarginLoss()(T.ones(2, 3), T.ones(3), T.ones(3)),
                     RuntimeError, "number of dimensions|same dimension"),
    "multi-margin-p": (lambda T: T.nn.MultiMarginLoss(p=3), ValueError, "p == 1 and p == 2"),
    "multi-margin-weight": (lambda T: T.nn.MultiMarginLoss(weight=T.ones(2, 2)), ValueError, "1D"),
    "multi-margin-class": (lambda T: T.nn.MultiMarginLoss()(T.ones(1, 3), T.tensor([3])),
                           RuntimeError, "out of range"),
    "multi-margin-size": (lambda T: T.nn.MultiMarginLoss()(T.ones(2, 3), T.tensor([1])),
                          RuntimeError, "inconsistent target size"),
    "multilabel-class": (lambda T: T.nn.MultiLabelMarginLoss()(T.ones(3), T.tensor([3, 0, 0])),
                         RuntimeError, "out of range"),
    "soft-margin-target": (lambda T: T.nn.SoftMarginLoss()(
        T.ones(2), T.ones(2, requires_grad=True)), RuntimeError, "derivative for .*target"),
    "cosine-int": (lambda T: T.nn.CosineSimilarity()(T.ones(2, 2).long(), T.ones(2, 2).long()),
                   RuntimeError, "floating point"),
    "glu-odd": (lambda T: T.nn.GLU()(T.ones(3)), RuntimeError, "alving dimension must be even"),
    "glu-scalar": (lambda T: T.nn.GLU()(T.ones(())), RuntimeError, "does not support scalars"),
    "prelu-channels": (lambda T: T.nn.PReLU(3)(T.ones(2, 4)), RuntimeError,
                       "ismatch of parameter numbers"),
    "prelu-dtype": (lambda T: T.nn.PReLU()(T.ones(2).double()), RuntimeError, "romoting not"),
    "hardtanh-order": (lambda T: T.nn.functional.hardtanh(T.ones(2), 1.0, -1.0), ValueError,
                       "min_val cannot be greater than max_val"),
    "hardtanh-layer": (lambda T: T.nn.Hardtanh(1.0, 1.0), AssertionError, "must be greater than"),
    "hardtanh-unsigned": (lambda T: T.nn.Hardtanh()(T.ones(2).to(T.uint8)), RuntimeError,
                          "unsigned type with negative limits"),
    "softshrink": (lambda T: T.nn.Softshrink(-1.0)(T.ones(2)), RuntimeError, "or equal to 0"),
    "celu": (lambda T: T.nn.CELU(0.0)(T.ones(2)), RuntimeError, "alpha cannot be 0"),
    "rrelu": (lambda T: T.nn.RReLU(0.5, 0.25)(T.ones(2)), RuntimeError, "ower bound"),
    "softmax2d": (lambda T: T.nn.Softmax2d()(T.ones(2, 3)), ValueError, "expected input to be 3D"),
    "silu-int": (lambda T: T.nn.SiLU()(T.ones(2).long()), NotImplementedError, "Long|int64"),
    "elu-int": (lambda T: T.nn.ELU()(T.ones(2).long()), NotImplementedError, "Long|int64"),
    "relu6-leaf": (lambda T: T.nn.ReLU6(inplace=True)(T.ones(2, requires_grad=True)), RuntimeError,
                   "a leaf Variable that requires grad"),
    "dropout1d": (lambda T: T.nn.Dropout1d()(T.ones(2)), RuntimeError, "2D or 3D"),
    "dropout-p": (lambda T: T.nn.Dropout2d(1.5), ValueError, "between 0 and 1"),
    "dropout2d-1": (lambda T: T.nn.functional.feature_alpha_dropout(T.ones(2), 0.5, True),
                    RuntimeError, "at least 2 dimensions"),
}  # fmt: skip
refusals = pytest.mark.parametrize(("call", "kind", "gist"), REFUSED.values(), ids=REFUSED)


@refusals
def test_refusal(call, kind, gist):
    with pytest.raises(kind, match=gist) as refusal:
        call(lucidlite)
    assert f"{__file__}:" in str(refusal.value)


@refusals
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_refuses_in_the_same_class(call, kind, gist):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises(kind) as refusal:
        call(torch)
    assert type(refusal.value) is kind, gist
