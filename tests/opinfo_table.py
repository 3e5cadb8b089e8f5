"""What of PyTorch's test data is run here, and the one table of what is left out, with reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

# Names of PyTorch's OpInfos. What has no OpInfo of its own is in WITHOUT_OPINFO.
OPS = {
    "constructors": """
        arange bernoulli cauchy empty empty_like exponential eye full full_like geometric
        linspace log_normal logspace multinomial new_empty new_full new_ones new_zeros normal
        ones ones_like rand_like randint randint_like randn randn_like scalar_tensor uniform
        zeros zeros_like
    """,
    "elementwise": """
        __radd__ __rmatmul__ __rmod__ __rmul__ __rpow__ __rsub__ abs acos acosh add addcdiv
        addcmul asin asinh atan atan2 atanh bitwise_left_shift bitwise_right_shift ceil clamp
        clamp_max clamp_min copysign cos cosh deg2rad div erf erfc erfinv exp exp2 expm1
        float_power floor floor_divide fmax fmin fmod frac hypot ldexp lerp log log10 log1p log2
        logaddexp logaddexp2 logit maximum minimum mul nan_to_num neg positive pow rad2deg
        reciprocal remainder round rsqrt rsub sgn sigmoid sign signbit sin sinc sinh sqrt square
        sub tan tanh true_divide trunc xlogy
    """,
    "comparison and logic": """
        __rand__ __ror__ __rxor__ allclose bitwise_and bitwise_not bitwise_or bitwise_xor eq
        equal ge gt heaviside isclose isfinite isin isinf isnan isneginf isposinf isreal le
        logical_and logical_not logical_or logical_xor lt ne where
    """,
    "reductions": """
        all amax amin aminmax any argmax argmin argsort bincount count_nonzero cummax cummin
        cumprod cumsum diff dist histc kthvalue linalg.matrix_norm linalg.norm linalg.vector_norm
        logcumsumexp logsumexp max mean median min mode msort nanmean nanmedian nansum norm prod
        quantile sort std std_mean sum topk unique unique_consecutive var var_mean
    """,
    "products": """
        addbmm addmm addmv addr baddbmm bmm cdist cross dot einsum inner kron linalg.cross
        linalg.matrix_power linalg.multi_dot linalg.vecdot matmul mm mv outer tensordot vdot
    """,
    "shape": """
        H T as_strided atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes
        broadcast_tensors broadcast_to cartesian_prod cat chunk clone column_stack combinations
        contiguous diag diag_embed diagflat diagonal dsplit dstack expand expand_as flatten flip
        fliplr flipud hsplit hstack linalg.diagonal mH mT meshgrid movedim narrow permute ravel
        repeat repeat_interleave reshape reshape_as roll rot90 select split split_with_sizes
        squeeze stack sum_to_size t tensor_split tile trace transpose tril tril_indices triu
        triu_indices unbind unflatten unfold unsqueeze view view_as vsplit vstack
    """,
    "indexing": """
        __getitem__ argwhere bucketize diagonal_scatter gather index_add index_copy index_fill
        index_put index_select masked_fill masked_scatter masked_select nonzero put scatter
        scatter_add scatter_reduce searchsorted select_scatter slice_scatter take take_along_dim
    """,
    "in place and conversion": """
        bool byte char double fill float half int item long short to zero_
    """,
    "activations": """
        log_softmax nn.functional.alpha_dropout nn.functional.celu nn.functional.dropout
        nn.functional.dropout2d nn.functional.dropout3d nn.functional.elu
        nn.functional.feature_alpha_dropout nn.functional.gelu nn.functional.glu
        nn.functional.hardshrink nn.functional.hardsigmoid nn.functional.hardswish
        nn.functional.hardtanh nn.functional.leaky_relu nn.functional.logsigmoid
        nn.functional.mish nn.functional.prelu nn.functional.relu nn.functional.relu6
        nn.functional.rrelu nn.functional.selu nn.functional.silu nn.functional.softmin
        nn.functional.softplus nn.functional.softshrink nn.functional.softsign
        nn.functional.tanhshrink nn.functional.threshold softmax
    """,
    "losses": """
        nn.functional.binary_cross_entropy nn.functional.binary_cross_entropy_with_logits
        nn.functional.cosine_embedding_loss nn.functional.cross_entropy
        nn.functional.gaussian_nll_loss nn.functional.hinge_embedding_loss
        nn.functional.huber_loss nn.functional.kl_div nn.functional.l1_loss
        nn.functional.margin_ranking_loss nn.functional.mse_loss nn.functional.multi_margin_loss
        nn.functional.multilabel_margin_loss nn.functional.multilabel_soft_margin_loss
        nn.functional.nll_loss nn.functional.poisson_nll_loss nn.functional.smooth_l1_loss
        nn.functional.soft_margin_loss nn.functional.triplet_margin_loss
        nn.functional.triplet_margin_with_distance_loss
    """,
    "images": """
        nn.functional.adaptive_avg_pool1d nn.functional.adaptive_avg_pool2d
        nn.functional.adaptive_max_pool1d nn.functional.adaptive_max_pool2d
        nn.functional.avg_pool1d nn.functional.avg_pool2d nn.functional.channel_shuffle
        nn.functional.conv1d nn.functional.conv2d nn.functional.conv_transpose1d
        nn.functional.conv_transpose2d nn.functional.interpolate
        nn.functional.local_response_norm nn.functional.max_pool1d nn.functional.max_pool2d
        nn.functional.max_unpool1d nn.functional.max_unpool2d nn.functional.pad
        nn.functional.pixel_shuffle nn.functional.pixel_unshuffle nn.functional.unfold
        nn.functional.upsample_bilinear nn.functional.upsample_nearest
    """,
    "layers": """
        nn.functional.batch_norm nn.functional.bilinear nn.functional.cosine_similarity
        nn.functional.embedding nn.functional.embedding_bag nn.functional.group_norm
        nn.functional.instance_norm nn.functional.layer_norm nn.functional.linear
        nn.functional.multi_head_attention_forward nn.functional.normalize nn.functional.one_hot
        nn.functional.pairwise_distance nn.functional.rms_norm
        nn.functional.scaled_dot_product_attention renorm
    """,
}

MODULES = """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d AvgPool1d AvgPool2d
    BCELoss BCEWithLogitsLoss BatchNorm1d BatchNorm2d Bilinear CELU CircularPad1d CircularPad2d
    CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d Conv1d Conv2d ConvTranspose1d
    ConvTranspose2d CosineEmbeddingLoss CrossEntropyLoss ELU Embedding GELU GLU GRU GRUCell
    GaussianNLLLoss GroupNorm Hardshrink Hardswish Hardtanh HingeEmbeddingLoss HuberLoss
    InstanceNorm1d InstanceNorm2d KLDivLoss L1Loss LPPool1d LPPool2d LSTM LSTMCell LayerNorm
    LeakyReLU Linear LocalResponseNorm LogSigmoid LogSoftmax MSELoss MarginRankingLoss MaxPool1d
    MaxPool2d Mish MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss
    MultiheadAttention NLLLoss PReLU PoissonNLLLoss RMSNorm RNN RNNCell ReLU ReLU6
    ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d
    ReplicationPad3d SELU SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax Softmax2d Softmin
    Softplus Softshrink Softsign Tanh Tanhshrink Threshold Transformer TransformerDecoderLayer
    TransformerEncoder TransformerEncoderLayer ZeroPad1d ZeroPad2d ZeroPad3d
"""

# Promised too, and not in PyTorch's databases: these have rows in cases.py or layer tests.
WITHOUT_OPINFO = """
    rand randperm copy_ add_ mul_ clamp_ fill_ from_numpy Tensor nn.functional.fold
    nn.functional.lp_pool2d nn.functional.hardtanh_ MaxUnpool2d Dropout Dropout2d Unflatten Upsample
    PixelShuffle Unfold Fold Hardsigmoid TripletMarginLoss ParameterList ParameterDict Identity
    Flatten Sequential ModuleList ModuleDict
"""


@dataclass
class Asked:
    """One sample as PyTorch's database has it, for the table below to look at."""

    name: str  # of the op or module
    values: list[Any]  # the arguments, flat
    named: dict[str, Any]  # keyword arguments
    positional: tuple[Any, ...] = ()
    error: str = ""  # the expected message of an error input, '' for a sample
    dtype: str = ""


@dataclass
class Left:
    """A row of LEFT_OUT: what isn't asked, and why."""

    why: str
    names: str = "*"  # of ops and modules, with wildcards
    when: Callable[[Asked], Any] = bool
    what: tuple[str, ...] = ("value", "gradient", "second", "error")

    def holds(self, asked: Asked, what: str) -> bool:
        return (
            what in self.what
            and any(fnmatchcase(asked.name, pattern) for pattern in self.names.split())
            and bool(self.when(asked))
        )


def said(pattern: str) -> Callable[[Asked], bool]:
    """Error inputs whose expected message has ``pattern`` in it."""
    return lambda asked: bool(asked.error) and bool(re.search(pattern, asked.error))


def tensors(asked: Asked) -> Iterator[Any]:
    return (v for v in asked.values if type(v).__module__.startswith("torch") and hasattr(v, "dim"))


def _dtypes(asked: Asked) -> set[str]:
    """The names of all dtypes among the arguments."""
    kinds = [v.dtype for v in tensors(asked)]
    kinds += [v for v in asked.values if type(v).__name__ == "dtype"]
    return {str(kind).removeprefix("torch.") for kind in kinds}


def _complex(asked: Asked) -> bool:
    return any(kind.startswith("complex") for kind in _dtypes(asked)) or any(
        isinstance(value, complex) for value in asked.values
    )


def _singular(asked: Asked) -> bool:
    """Whether a norm is one of singular values: ord 'nuc', or 2 and -2 of a matrix."""
    args, named = asked.positional, asked.named
    order = named.get("ord", named.get("p", args[1] if len(args) > 1 else None))
    if asked.name == "norm" or order not in (2, -2):
        return bool(order == "nuc")
    dim = named.get("dim", args[2] if len(args) > 2 else None)
    return len(dim) == 2 if isinstance(dim, (tuple, list)) else dim is None and args[0].dim() == 2


RANDOM = """
    randn rand_like randn_like randint randint_like bernoulli multinomial normal uniform exponential
    cauchy geometric log_normal
    nn.functional.alpha_dropout nn.functional.feature_alpha_dropout nn.functional.rrelu
    nn.functional.dropout nn.functional.dropout2d nn.functional.dropout3d
"""

# No sample of OPS and MODULES is sparse, quantised, named or of a dtype that we lack.
LEFT_OUT = [
    Left("complex numbers are out of scope", when=_complex),
    Left("results are returned: there is no out=", when=lambda asked: "out" in asked.named),
    Left("results are returned: there is no out=", when=said("out=|out tensor|resize")),
    Left("nobody has set these values yet", "empty empty_like new_empty", what=("numbers",)),
    Left(
        "another generator than PyTorch's draws other numbers from the same seed",
        RANDOM,
        what=("numbers",),
        when=lambda asked: asked.named.get("training", True) and asked.named.get("p", 0.5) > 0,
    ),
    Left(
        "another generator than PyTorch's drops other elements",
        "nn.functional.scaled_dot_product_attention nn.functional.multi_head_attention_forward",
        when=lambda asked: asked.named.get("dropout_p", 0) > 0
        or any(isinstance(v, float) for v in asked.positional),
        what=("numbers",),
    ),
    Left(
        "a tensor's shape stays what it is: x = x.squeeze() instead of x.squeeze_()",
        "squeeze unsqueeze transpose t T movedim swapaxes resize_ as_strided",
        what=("in place",),
    ),
    Left(
        "0 / 0: how a mean of no rows depends on itself",
        "CrossEntropyLoss nn.functional.cross_entropy",
        when=lambda asked: (asked.values[-1] == asked.named.get("ignore_index", -100)).all()
        if hasattr(asked.values[-1], "dim")
        else False,
        what=("second",),
    ),
    Left("tensors have one layout", "normal", lambda asked: "layout" in asked.named),
    Left(
        "inverses of matrices are out of scope",
        "linalg.matrix_power",
        lambda asked: asked.positional[1] < 0,
    ),
    Left(
        "singular values are out of scope",
        "norm linalg.norm linalg.matrix_norm",
        _singular,
    ),
    Left(
        "a batch without channels is refused",
        "nn.functional.batch_norm",
        when=lambda asked: asked.values[0].dim() < 2 and not asked.error,
    ),
    Left(
        "a method of a C class looks at self before it starts; one written in Python can't",
        "__r*__",
        when=lambda asked: asked.error and not hasattr(asked.values[0], "dim"),
    ),
]
