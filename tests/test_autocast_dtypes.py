"""Which operation autocast runs in which dtype: on a CPU as PyTorch does, on a GPU by its lists."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import lucidlite
from lucidlite.nn import functional as F
from lucidlite.ops.precision import RULES

HALF, SINGLE, DOUBLE = "float16", "float32", "float64"


def arrays(kind):
    """A matrix, a vector and class indices: what every operation below takes."""
    rng = np.random.default_rng(0)
    matrix = (rng.random((3, 3)) + 0.5).astype(kind)
    return matrix, matrix[0].copy(), np.array([0, 2, 1])


# What a matrix ``a``, a vector ``v`` and classes ``t`` are put through, in PyTorch and here.
OPS = {
    "matmul": lambda s: s.a @ s.a,
    "matmul of a matrix and a vector": lambda s: s.a @ s.v,
    "matmul of vectors": lambda s: s.v @ s.v,
    "mm": lambda s: s.lib.mm(s.a, s.a),
    "mv": lambda s: s.lib.mv(s.a, s.v),
    "bmm": lambda s: s.lib.bmm(s.a[None], s.a[None]),
    "addmm": lambda s: s.lib.addmm(s.a, s.a, s.a),
    "linear": lambda s: s.F.linear(s.a, s.a, s.v),
    "conv2d": lambda s: s.F.conv2d(s.a[None, None], s.a[None, None]),
    "conv1d": lambda s: s.F.conv1d(s.a[None], s.a[None]),
    "conv_transpose1d": lambda s: s.F.conv_transpose1d(s.a[None], s.a[:, :, None]),
    "conv_transpose2d": lambda s: s.F.conv_transpose2d(s.a[None, None], s.a[None, None]),
    "layer_norm": lambda s: s.F.layer_norm(s.a, (3,), s.v),
    "group_norm": lambda s: s.F.group_norm(s.a, 1),
    "rms_norm": lambda s: s.F.rms_norm(s.a, (3,), s.v),
    "instance_norm": lambda s: s.F.instance_norm(s.a[None]),
    "local_response_norm": lambda s: s.F.local_response_norm(s.a[None], 2),
    "local_response_norm of images": lambda s: s.F.local_response_norm(s.a[None, None], 2),
    "resize nearest": lambda s: s.F.interpolate(s.a[None], 2),
    "resize bilinear": lambda s: s.F.interpolate(s.a[None, None], 2, mode="bilinear"),
    "avg_pool1d": lambda s: s.F.avg_pool1d(s.a[None], 2),
    "lp_pool1d": lambda s: s.F.lp_pool1d(s.a[None], 2, 2),
    "max_unpool2d": lambda s: s.F.max_unpool2d(
        s.a[None], s.lib.arange(9).reshape(1, 3, 3).to(s.a.device), 1),
    "pad replicate images": lambda s: s.F.pad(s.a[None], (1, 1, 1, 1), mode="replicate"),
    "dot": lambda s: s.lib.dot(s.v, s.v),
    "vdot": lambda s: s.lib.vdot(s.v, s.v),
    "tensordot": lambda s: s.lib.tensordot(s.a, s.a, 1),
    "inner": lambda s: s.lib.inner(s.a, s.a),
    "einsum": lambda s: s.lib.einsum("ij,jk->ik", s.a, s.a),
    "einsum that sums": lambda s: s.lib.einsum("ij->i", s.a),
    "bilinear": lambda s: s.F.bilinear(s.a, s.a, s.a[None]),
    "cross": lambda s: s.lib.cross(s.a, s.a.T, dim=1),
    "atan2": lambda s: s.lib.atan2(s.a, s.a),
    "addcmul": lambda s: s.lib.addcmul(s.a, s.a, s.a),
    "addcdiv": lambda s: s.lib.addcdiv(s.a, s.a, s.a),
    "index_put": lambda s: s.a.index_put((s.t,), s.a),
    "outer": lambda s: s.lib.outer(s.v, s.v),
    "pow": lambda s: s.a**1.5,
    "pow of a tensor": lambda s: s.a**s.a,
    "pow of a number": lambda s: 2**s.a,
    "square": lambda s: s.lib.square(s.a),
    "division of a number": lambda s: 1 / s.a,
    "division": lambda s: s.a / 2,
    "addition": lambda s: s.a + s.v,
    "softmax": lambda s: s.lib.softmax(s.a, 0),
    "log_softmax": lambda s: s.lib.log_softmax(s.a, 0),
    "softmax in a dtype": lambda s: s.lib.softmax(s.a, 0, dtype=s.lib.float64),
    "cumsum": lambda s: s.lib.cumsum(s.a, 0),
    "sum over a dim": lambda s: s.a.sum(0),
    "sum in a dtype": lambda s: s.a.sum(dtype=s.lib.float16),
    "prod over a dim": lambda s: s.a.prod(0),
    "norm over a dim": lambda s: s.lib.norm(s.a, dim=1),
    "logsumexp": lambda s: s.lib.logsumexp(s.a, 0),
    "cross_entropy": lambda s: s.F.cross_entropy(s.a, s.t, s.v),
    "cross_entropy of probabilities": lambda s: s.F.cross_entropy(s.a, s.a),
    "nll_loss": lambda s: s.F.nll_loss(s.a, s.t, s.v),
    "mse_loss": lambda s: s.F.mse_loss(s.a, s.a),
    "batch_norm": lambda s: s.F.batch_norm(s.a, None, None, training=True),
    "max_pool2d": lambda s: s.F.max_pool2d(s.a[None], 2),
    "avg_pool2d": lambda s: s.F.avg_pool2d(s.a[None], 2),
    "adaptive_avg_pool2d": lambda s: s.F.adaptive_avg_pool2d(s.a[None], 1),
    "dropout": lambda s: s.F.dropout(s.a, 0.5),
    "gelu": lambda s: s.F.gelu(s.a),
    "pad reflect": lambda s: s.F.pad(s.a[None], (1, 1), mode="reflect"),
    "pad replicate": lambda s: s.F.pad(s.a[None], (1, 1), mode="replicate"),
    "pad circular": lambda s: s.F.pad(s.a[None], (1, 1), mode="circular"),
    "pad constant": lambda s: s.F.pad(s.a[None], (1, 1)),
    "scatter_add": lambda s: s.a.scatter_add(0, s.lib.tensor([[0, 0, 0]]).to(s.a.device), s.a),
    "in place": lambda s: s.a.clone().exp_(),
    "topk": lambda s: s.a.topk(1)[0],
    "cat": lambda s: s.lib.cat([s.a, s.a]),
    "lerp": lambda s: s.lib.lerp(s.a, s.a, 0.5),
}  # fmt: skip
# Losses of a, b = a, a.T; and what is made of them.
LOSSES = (
    "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits", "kl_div",
    "poisson_nll_loss", "soft_margin_loss", "hinge_embedding_loss",
)  # fmt: skip
OPS.update({
    name: (lambda s, name=name: getattr(s.F, name)(s.a, s.a.T, reduction="sum")) for name in LOSSES
})  # fmt: skip
OPS.update({
    "margin_ranking_loss": lambda s: s.F.margin_ranking_loss(s.a, s.a.T, s.a),
    "cosine_embedding_loss": lambda s: s.F.cosine_embedding_loss(s.a, s.a.T, s.v),
    "triplet_margin_loss": lambda s: s.F.triplet_margin_loss(s.a, s.a.T, s.a, swap=True),
    "multi_margin_loss": lambda s: s.F.multi_margin_loss(s.a, s.t),
    "multilabel_margin_loss": lambda s: s.F.multilabel_margin_loss(s.v, s.t),
    "multilabel_soft_margin_loss": lambda s: s.F.multilabel_soft_margin_loss(s.a, s.a),
    "gaussian_nll_loss": lambda s: s.F.gaussian_nll_loss(s.a, s.a.T, s.a),
    "cosine_similarity": lambda s: s.F.cosine_similarity(s.a, s.a.T),
    "pairwise_distance": lambda s: s.F.pairwise_distance(s.a, s.a.T),
    "normalize": lambda s: s.F.normalize(s.a),
    "prelu": lambda s: s.F.prelu(s.a, s.v),
    "silu": lambda s: s.F.silu(s.a),
    "softplus": lambda s: s.F.softplus(s.a),
    "softmin": lambda s: s.F.softmin(s.a, 1),
})
OPS.update({
    name: (lambda s, name=name: getattr(s.lib, name)(s.a))
    for name in (
        "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "sqrt", "sin",
        "cos", "sigmoid", "tanh", "erf", "abs", "neg", "relu", "sum", "mean", "prod", "var", "std",
        "norm", "amax", "clone", "sign", "floor",
    )
})  # fmt: skip


def run(lib, name, kind, device="cpu"):
    a, v, t = (lib.from_numpy(array).to(device) for array in arrays(kind))
    return OPS[name](SimpleNamespace(lib=lib, F=lib.nn.functional, a=a, v=v, t=t))


def named(dtype):
    return str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("name", OPS)
def test_dtypes_on_the_cpu_are_those_of_torch(name):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for kind in (HALF, SINGLE, DOUBLE):
        with torch.autocast("cpu", dtype=torch.float16):
            expected = run(torch, name, kind)
        with lucidlite.autocast("cpu", dtype=lucidlite.float16):
            got = run(lucidlite, name, kind)
        assert got.dtype.name == named(expected.dtype), kind
        if name != "dropout":
            tolerance = {HALF: 4e-3, SINGLE: 4e-3, DOUBLE: 1e-12}[kind]
            np.testing.assert_allclose(
                got.double().numpy(), expected.double().numpy(), rtol=tolerance, atol=tolerance
            )


# On a GPU, by (what float16 operands give, what float32 ones give). Not listed: as given.
NARROW, WIDE = (HALF, HALF), (SINGLE, SINGLE)
ON_A_GPU = {
    **dict.fromkeys(
        ("matmul", "matmul of a matrix and a vector", "matmul of vectors", "mm", "mv", "bmm",
         "addmm", "einsum", "einsum that sums", "linear", "conv1d", "conv2d", "conv_transpose1d",
         "conv_transpose2d"), NARROW),
    **dict.fromkeys(
        ("pow", "pow of a tensor", "pow of a number", "square", "division of a number", "softmax",
         "log_softmax", "cumsum", "sum", "sum over a dim", "prod", "prod over a dim", "norm",
         "norm over a dim", "logsumexp", "cross_entropy", "cross_entropy of probabilities",
         "nll_loss", "mse_loss", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal",
         "rsqrt", "layer_norm", "group_norm", "rms_norm", "local_response_norm",
         "local_response_norm of images", "resize nearest", "resize bilinear", "lp_pool1d",
         *LOSSES, "margin_ranking_loss", "cosine_embedding_loss", "triplet_margin_loss",
         "multi_margin_loss", "multilabel_margin_loss", "cosine_similarity", "pairwise_distance",
         "normalize", "softplus", "softmin", "gaussian_nll_loss", "multilabel_soft_margin_loss"),
        WIDE),
    "prelu": NARROW,
    "softmax in a dtype": (DOUBLE, DOUBLE),
    "sum in a dtype": NARROW,
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
def test_dtypes_on_a_gpu(name, cuda):
    half, single = ON_A_GPU.get(name, (HALF, SINGLE))
    with lucidlite.autocast("cuda"):
        assert run(lucidlite, name, HALF, cuda).dtype.name == half
        assert run(lucidlite, name, SINGLE, cuda).dtype.name == single
        asked = {"sum in a dtype": HALF}
        assert run(lucidlite, name, DOUBLE, cuda).dtype.name == asked.get(name, DOUBLE)
    assert run(lucidlite, name, SINGLE, cuda).dtype.name == ON_A_GPU_OUTSIDE.get(name, SINGLE)


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_attention_is_rounded_once(place, request):
    """Its products are large, and lie beyond float16 here: they stay in float32."""
    device = request.getfixturevalue("cuda") if place == "cuda" else place
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 2, 8, 64)).astype("f2") * s for s in (80, 80, 1))
    scores = q.astype("f8") @ k.astype("f8").swapaxes(-1, -2)
    assert np.abs(scores).max() > 65504
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ v.astype("f8")
    given = [lucidlite.from_numpy(array.astype("f4")).to(device) for array in (q, k, v)]
    with lucidlite.autocast(place, dtype=lucidlite.float16):
        out = F.scaled_dot_product_attention(*given, scale=1.0)
    assert out.dtype is lucidlite.float16
    np.testing.assert_allclose(out.cpu().double().numpy(), expected, rtol=1e-3, atol=1e-3)


def test_probabilities_are_refused_on_a_gpu(cuda):
    x = lucidlite.full((2,), 0.5, device=cuda)
    with lucidlite.autocast("cuda"), pytest.raises(RuntimeError, match="unsafe to autocast"):
        F.binary_cross_entropy(x, x)
    with lucidlite.autocast("cuda", enabled=False):
        assert F.binary_cross_entropy(x, x).item() == pytest.approx(np.log(2))
    with lucidlite.autocast("cpu", dtype=lucidlite.float16):
        assert F.binary_cross_entropy(x.cpu().half(), x.cpu().half()).dtype is lucidlite.float32


ON_A_GPU_OUTSIDE = {"softmax in a dtype": DOUBLE, "sum in a dtype": HALF}


@pytest.mark.parametrize(
    ("op", "narrow"),
    [("dot", lambda a, b: lucidlite.dot(a[0], b[0])),
     ("scatter_add", lambda a, b: a.scatter_add(0, lucidlite.zeros(1, 3, dtype=lucidlite.int64,
                                                                   device=a.device), b)),
     ("cat", lambda a, b: lucidlite.cat([a, b])),
     ("stack", lambda a, b: lucidlite.stack([a, b])),
     ("add", lambda a, b: a + b)],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_widest_dtype_wins(op, narrow, cuda):
    a = lucidlite.from_numpy(arrays(HALF)[0]).to(cuda)
    b = lucidlite.from_numpy(arrays(SINGLE)[0]).to(cuda)
    with lucidlite.autocast("cuda"):
        for x, y in ((a, b), (b, a)):
            assert narrow(x, y).dtype is lucidlite.float32, op
        assert narrow(a, a).dtype is lucidlite.float16, op


def torch_lists():
    """PyTorch's lists for a GPU, as its header has them: {macro: names}."""
    torch = pytest.importorskip("torch", reason="reads PyTorch's lists")
    header = Path(torch.__file__).parent / "include/ATen/autocast_mode.h"
    if not header.exists():
        pytest.skip("this build of PyTorch has no headers to read the lists from")
    lists = {}
    for macro, body in re.findall(r"#define (AT_FORALL_\w+)\(_\)((?:.*\\\n)*.*\n)",
                                  header.read_text()):  # fmt: skip
        found = re.findall(r"_\((?:ADD_NS\()?(\w+)", body)
        lists[macro.removeprefix("AT_FORALL_")] = set(found)
    return lists


def test_lists_for_a_gpu_are_those_of_torch():
    """Each name of theirs that is an operation here has their rule, and no other name has one."""
    lists = torch_lists()
    rules = {
        "LOWER_PRECISION_FP": "narrow", "FP32": "single", "FP32_SET_OPT_DTYPE": "single",
        "DIFFERENT_REDISPATCH_SIGNATURE": "single", "PROMOTE": "widest",
    }  # fmt: skip
    expected = {name: rule for macro, rule in rules.items() for name in lists[macro]}
    here = {
        name for name in expected
        if hasattr(lucidlite, name) or hasattr(F, name) or hasattr(lucidlite.Tensor, name)
    }  # fmt: skip
    resizes = {name: rule for name, rule in expected.items() if "upsample_" in name}
    expected |= {name.removeprefix("_"): rule for name, rule in resizes.items()}
    here |= {name.removeprefix("_") for name in resizes}  # interpolate's modes
    assert here >= {"matmul", "conv2d", "softmax", "mse_loss", "pow", "dot"}
    listed = dict(RULES["cuda"])
    assert listed.pop("cross_entropy") == "single"  # of two of theirs: log_softmax, nll_loss
    assert {name: expected[name] for name in here} == listed
