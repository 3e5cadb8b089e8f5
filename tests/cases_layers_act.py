"""Rows of the table of operations (see cases.py): activations, dropout, distances and losses."""

from __future__ import annotations

from case_kinds import HALF, Table, bools, const, ints, of

CASES = Table()
row, rows = CASES.row, CASES.rows

F = "nn.functional."
DRAWS = "PyTorch draws other numbers"
# Where PyTorch computes float64 with a constant in float32.
NARROW = ("float32", "float16")


def fn(name, *args, **named):
    """A call of a function of nn.functional on the row's tensors, then these arguments."""
    return lambda T, *x: getattr(T.nn.functional, name)(*x, *args, **named)


def inplace(name, *args, **named):
    """The same in place on a tensor that isn't a leaf."""
    return lambda T, x, *others: getattr(T.nn.functional, name)(
        x * 2, *others, *args, **named, inplace=True
    )


def each(names):
    return [(name, F + name) for name in names.split()]


# -- activations -----------------------------------------------------------------------------------

CURVED = "elu selu celu silu mish softplus logsigmoid softsign tanhshrink"
STRAIGHT = "relu6 hardtanh hardsigmoid hardswish hardshrink softshrink"
for name, path in each(f"{CURVED} {STRAIGHT}"):
    kinds = NARROW if name == "hardsigmoid" else HALF
    row(path, [(2, 7)], dtypes=kinds)
    row(path, [()], domain="positive", dtypes=kinds[:1])
    row(path, [(0, 3)])
    row(path, [(2, 3, 4, 5)], dtypes=kinds[:1])
    row(path, [(2, 7)], domain="extreme", grad=False, tol=4)
    if name in STRAIGHT:
        row(path, [(12,)], domain="ties", dtypes=kinds[:1], numeric=False)
for name, path in each("relu6 hardtanh hardsigmoid hardswish elu selu celu silu mish"):
    row(path, [(2, 7)], call=inplace(name), dtypes=("float32",))
row(F + "relu6", [(9,)], dtypes=("int64", "uint8"), grad=False)
row(F + "hardtanh", [(9,)], dtypes=("int64", "int32"), grad=False)
row(F + "hardtanh", [(9,)], 0.5, 2.7, dtypes=("float32", "uint8"), numeric=False, grad=False)
row(F + "hardtanh", [(9,)], -0.5, max_val=0.25)
row(F + "hardtanh", [(9,)], 0.25, 0.25, numeric=False)
row(F + "hardshrink", [(9,)], 0.25)
row(F + "hardshrink", [(9,)], lambd=-1.0, numeric=False)
row(F + "softshrink", [(9,)], lambd=0.75)
row(F + "elu", [(2, 7)], 2.5)
row(F + "elu", [(2, 7)], alpha=-0.5)
row(F + "celu", [(2, 7)], 2.5)
row(F + "celu", [(2, 7)], alpha=-0.5)
row(F + "softplus", [(2, 7)], 2, 1)
row(F + "softplus", [(2, 7)], beta=0.5, threshold=0.1, numeric=False)
row(F + "threshold", [(2, 7)], 0.3, 5.0, dtypes=HALF)
row(F + "threshold", [(2, 7)], 0, -1, dtypes=("int64", "uint8"), grad=False)
row(F + "threshold", [(2, 7)], 0.5, 0.5, domain="extreme", grad=False)
row(F + "threshold", [(12,)], 1.0, 2.0, domain="ties", numeric=False)
row(F + "threshold", [(2, 7)], call=inplace("threshold", 0.3, 5.0))
for name in ("celu_", "elu_", "hardtanh_", "relu_", "rrelu_", "selu_", "leaky_relu_"):
    call = lambda T, x, name=name: getattr(T.nn.functional, name)(x * 2)  # noqa: E731
    row(F + name, [(2, 7)], call=call, dtypes=NARROW)
row(F + "threshold_", [(2, 7)], call=lambda T, x: T.nn.functional.threshold_(x * 2, 0.1, -1.0))
rows("selu celu hardshrink", [(2, 7)])
row("threshold", [(2, 7)], 0.1, 20.0)
row(F + "glu", [(2, 6)], dtypes=HALF)
row(F + "glu", [(2, 3, 4)], 0)
row(F + "glu", [(2, 4, 3, 5)], dim=1)
row(F + "glu", [(2, 8)], domain="extreme", grad=False)
row(F + "prelu", [(4, 3), (1,)], dtypes=HALF)
row(F + "prelu", [(4, 3), (3,)])
row(F + "prelu", [(2, 3, 4, 5), (3,)])
row(F + "prelu", [(2, 3, 4, 5), ()])
row(F + "prelu", [(5,), (1,)])
row(F + "prelu", [(), (1,)])
row(F + "prelu", [(12,), const((1,))], domain="extreme", grad=False)
row("prelu", [(4, 3), (3,)])
row(F + "rrelu", [(4, 3)], dtypes=NARROW)
row(F + "rrelu", [(4, 3)], 0.25, 0.5, False)
row(F + "rrelu", [(4, 3)], 0.25, 0.25, training=True)
row(F + "rrelu", [(4, 3)], parity=DRAWS, dtypes=HALF,
    call=lambda T, x: (T.manual_seed(3), T.nn.functional.rrelu(x, training=True))[1])  # fmt: skip
row(F + "rrelu", [(4, 3)], parity=DRAWS,
    call=lambda T, x: (T.manual_seed(3), inplace("rrelu", 0.1, 0.2, True)(T, x))[1])  # fmt: skip
row("rrelu", [(4, 3)], 0.25, 0.5)
row(F + "softmin", [(3, 4)], 1, dtypes=HALF)
row(F + "softmin", [(2, 3, 4)], dim=-3)

for hard in (False, True):
    row(F + "gumbel_softmax", [(3, 4)], parity=DRAWS, numeric=not hard, call=lambda T, x, hard=hard:
        (T.manual_seed(3), T.nn.functional.gumbel_softmax(x, 0.7, hard, dim=0))[1])  # fmt: skip

# -- dropout ---------------------------------------------------------------------------------------

IMAGES = {"dropout1d": (2, 3, 4), "dropout2d": (2, 3, 4, 5), "dropout3d": (2, 3, 2, 2, 3)}
for name, path in each("dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout"):
    shape = IMAGES.get(name, (2, 3, 4))
    row(path, [shape], 1.0, True)
    row(path, [shape], call=inplace(name, 1.0, True))
    row(path, [shape], call=lambda T, x, name=name: fn(name, 0.5, False)(T, x) * 1)
    row(path, [shape], parity=DRAWS, dtypes=HALF, call=lambda T, x, name=name: (
        T.manual_seed(3), fn(name, 0.4, True)(T, x))[1])  # fmt: skip
    row(path, [shape], parity=DRAWS, call=lambda T, x, name=name: (
        T.manual_seed(3), inplace(name, 0.4, True)(T, x))[1])  # fmt: skip
for name, path in each("dropout1d dropout3d"):
    row(path, [IMAGES[name][1:]], 1.0)
    row(path, [IMAGES[name][1:]], 0.5, training=False)
    row(path, [IMAGES[name][1:]], parity=DRAWS, call=lambda T, x, name=name: (
        T.manual_seed(3), fn(name, 0.4, True)(T, x))[1])  # fmt: skip
rows("alpha_dropout feature_alpha_dropout", [(2, 3, 4)], 1.0, True)

# -- distances -------------------------------------------------------------------------------------

row(F + "normalize", [(3, 4)])
row(F + "normalize", [(3, 4)], 1, 0)
row(F + "normalize", [(2, 3, 4)], p=3.0, dim=-1, domain="away")
row(F + "normalize", [(3, 4)], dim=(0, 1))
row(F + "normalize", [(3, 4)], eps=2.5)
row(F + "normalize", [(3, 4)], call=lambda T, x: T.nn.functional.normalize(x * 0), numeric=False)
rows(F + "cosine_similarity cosine_similarity", [(3, 4), (3, 4)])
row(F + "cosine_similarity", [(3, 4), (4,)], dim=-1)
row(F + "cosine_similarity", [(2, 3, 4), (3, 1)], 1)
row(F + "cosine_similarity", [(3, 4), (3, 4)], eps=2.5, numeric=False)
row(F + "cosine_similarity", [(4,), of("int64", 4)], dim=0)
row(F + "cosine_similarity", [(3, 4), (3, 4)], numeric=False,
    call=lambda T, x, y: T.nn.functional.cosine_similarity(x * 0, y))  # fmt: skip
rows(F + "pairwise_distance pairwise_distance", [(3, 4), (3, 4)])
row(F + "pairwise_distance", [(3, 4), (4,)], 1.0, keepdim=True)
row(F + "pairwise_distance", [(4,), (4,)], p=3.0, eps=0.0)
row(F + "pairwise_distance", [(3, 4), (3, 4)], float("inf"))

# -- losses of pairs -------------------------------------------------------------------------------

PAIRS = "l1_loss smooth_l1_loss huber_loss binary_cross_entropy_with_logits poisson_nll_loss"
for how in ("mean", "sum", "none"):
    for _, path in each(PAIRS):
        row(path, [(4, 3), (4, 3)], reduction=how, dtypes=HALF if how == "mean" else ("float64",),
            tol=4)  # fmt: skip
    row(F + "soft_margin_loss", [(4, 3), const((4, 3))], reduction=how)
    row(F + "binary_cross_entropy", [(4, 3), (4, 3)], domain="unit", reduction=how)
    row(F + "binary_cross_entropy", [(4, 3), (4, 3), const((3,))], domain="unit",
        call=fn("binary_cross_entropy", reduction=how))  # fmt: skip
    row(F + "binary_cross_entropy_with_logits", [(4, 3), (4, 3), const((4, 3)), const((3,))],
        call=lambda T, x, y, w, p, how=how: T.nn.functional.binary_cross_entropy_with_logits(
            x, y, w, reduction=how, pos_weight=p))  # fmt: skip
    row(F + "gaussian_nll_loss", [(4, 3), (4, 3), (4, 3)], domain="positive", reduction=how)
    for name, path in each("l1_loss huber_loss"):
        row(path, [(4, 3), (4, 3), const((4, 3), "positive")], call=lambda T, x, y, w, name=name,
            how=how: getattr(T.nn.functional, name)(x, y, weight=w, reduction=how))  # fmt: skip
for how in ("sum", "none", "batchmean"):
    row(F + "kl_div", [(4, 3), (4, 3)], domain="positive", reduction=how)
    row(F + "kl_div", [(4, 3), (4, 3)], reduction=how, log_target=True)
row(F + "kl_div", [(4, 3), const((4, 3))], domain="zeros", reduction="sum", numeric=False,
    call=lambda T, x, y: T.nn.functional.kl_div(x, y.abs(), reduction="sum"))  # fmt: skip
for _, path in each(PAIRS):
    row(path, [(), ()])
    row(path, [(0, 3), (0, 3)], reduction="sum")
    row(path, [(2, 3, 4, 5), (2, 3, 4, 5)], dtypes=("float64",))
row(F + "l1_loss", [of("int64", 4), of("int64", 4)], reduction="sum", grad=False)
row(F + "l1_loss", [(8,), (8,)], domain="ties", numeric=False)
row(F + "smooth_l1_loss", [(4, 3), (4, 3)], beta=0.3)
row(F + "smooth_l1_loss", [(4, 3), (4, 3)], beta=0)
row(F + "smooth_l1_loss", [(8,), (8,)], domain="ties", numeric=False)
row(F + "huber_loss", [(4, 3), (4, 3)], delta=0.3)
row(F + "huber_loss", [(8,), (8,)], domain="ties", numeric=False)
row(F + "smooth_l1_loss", [(4, 3), of("float64", 4, 3)], dtypes=("float32",), numeric=False)
rows(F + "smooth_l1_loss", [(8,), (8,)], domain="extreme", grad=False, reduction="none")
rows(F + "huber_loss", [(8,), (8,)], domain="extreme", grad=False, reduction="none")
row(F + "binary_cross_entropy_with_logits", [(12,), const((12,), "unit")], domain="extreme",
    reduction="none", grad=False)  # fmt: skip
row(F + "binary_cross_entropy_with_logits", [(4, 3), const((4, 3), "unit")],
    call=lambda T, x, y: T.nn.functional.binary_cross_entropy_with_logits(x * 1e3, y),
    numeric=False)  # fmt: skip
row(F + "binary_cross_entropy", [(6,), const((6,), "unit")], numeric=False, call=lambda T, x, y:
    T.nn.functional.binary_cross_entropy((x > 0).to(x.dtype) + x * 0, y))  # fmt: skip
row(F + "soft_margin_loss", [(12,), const((12,), "positive")], domain="extreme", reduction="none",
    grad=False)  # fmt: skip
row(F + "poisson_nll_loss", [(4, 3), (4, 3)], False, domain="positive")
row(F + "poisson_nll_loss", [(4, 3), (4, 3)], full=True, domain="positive", reduction="none")
row(F + "poisson_nll_loss", [(4, 3), (4, 3)], log_input=False, full=True, eps=0.1,
    domain="positive")  # fmt: skip
row(F + "gaussian_nll_loss", [(4, 3), (4, 3), (4,)], domain="positive", full=True)
row(F + "gaussian_nll_loss", [(4, 3), (4, 3), (4, 1)], domain="positive", eps=0.7, numeric=False)
row(F + "gaussian_nll_loss", [(4, 3), (3,)], call=fn("gaussian_nll_loss", 0.5))

# -- losses with a margin --------------------------------------------------------------------------


def signed(name, **named):
    """A call with the last tensor, of bools, as 1 and -1 in the first one's dtype."""

    def call(T, *x):
        *scores, yes = x
        return getattr(T.nn.functional, name)(*scores, yes.to(scores[0].dtype) * 2 - 1, **named)

    return call


for how in ("mean", "sum", "none"):
    row(F + "hinge_embedding_loss", [(4, 3), bools(4, 3)],
        call=signed("hinge_embedding_loss", reduction=how))  # fmt: skip
    row(F + "margin_ranking_loss", [(5,), (5,), bools(5)],
        call=signed("margin_ranking_loss", margin=0.3, reduction=how))  # fmt: skip
    row(F + "cosine_embedding_loss", [(5, 4), (5, 4), bools(5)],
        call=signed("cosine_embedding_loss", margin=0.1, reduction=how))  # fmt: skip
    row(F + "triplet_margin_loss", [(5, 4), (5, 4), (5, 4)], reduction=how)
    row(F + "triplet_margin_loss", [(5, 4), (5, 4), (5, 4)], margin=2.0, p=3.0, swap=True,
        reduction=how)  # fmt: skip
    row(F + "triplet_margin_with_distance_loss", [(5, 4), (5, 4), (5, 4)], swap=True, reduction=how)
    row(F + "multilabel_soft_margin_loss", [(5, 4), (5, 4)], reduction=how)
    row(F + "multi_margin_loss", [(5, 4), ints((5,), 0, 4)], reduction=how)
    row(F + "multi_margin_loss", [(5, 4), ints((5,), 0, 4), const((4,), "positive")],
        call=lambda T, x, y, w, how=how: T.nn.functional.multi_margin_loss(
            x, y, 2, 0.5, w, reduction=how))  # fmt: skip
    row(F + "multilabel_margin_loss", [(5, 4), ints((5, 4), -1, 4)], reduction=how)
row(F + "hinge_embedding_loss", [(6,), of("int64", 6)], margin=0.5, numeric=False)
row(F + "margin_ranking_loss", [(4, 3), (4, 1), (1, 3)])
row(F + "cosine_embedding_loss", [(4,), (4,), bools()], call=signed("cosine_embedding_loss"))
row(F + "cosine_embedding_loss", [(5, 4), (5, 4), ints((5,), -1, 2)], domain="distinct")
row(F + "triplet_margin_loss", [(4,), (4,), (4,)])
row(F + "triplet_margin_with_distance_loss", [(5, 4), (5, 4), (5, 4)], call=lambda T, a, p, n:
    T.nn.functional.triplet_margin_with_distance_loss(
        a, p, n, distance_function=lambda x, y: (x - y).abs().sum(-1), margin=3.0))  # fmt: skip
row(F + "multilabel_soft_margin_loss", [(5, 4), (5, 4), const((4,))],
    call=fn("multilabel_soft_margin_loss"))  # fmt: skip
row(F + "multilabel_soft_margin_loss", [(4,), (4,)])
row(F + "multi_margin_loss", [(4,), ints((1,), 0, 4)], margin=2)
row(F + "multi_margin_loss", [(4,), ints((), 0, 4)], reduction="none")
row(F + "multilabel_margin_loss", [(4,), ints((4,), -1, 4)])
