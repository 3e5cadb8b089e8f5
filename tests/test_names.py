"""The printed names of nodes: the rule, and each entry of the table against PyTorch itself."""

from __future__ import annotations

import warnings

import pytest

import lucidlite
from lucidlite.names import PRINTED, node_name

# One-argument functions that follow the rule, by where PyTorch keeps them.
OF_TORCH = [
    "neg", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "abs",
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "sigmoid", "relu",
    "erf", "erfc", "reciprocal", "sign", "floor", "ceil", "round", "trunc", "sum", "mean",
    "var", "std", "prod", "amax", "amin", "clone", "trace", "tril", "triu", "squeeze", "median",
    "nansum",
]  # fmt: skip
OF_FUNCTIONAL = [
    "leaky_relu", "gelu", "elu", "celu", "silu", "softplus", "hardtanh", "hardswish", "mish",
    "glu",
]  # fmt: skip


@pytest.mark.parametrize(
    ("vjp_name", "printed"),
    [
        ("mul_vjp", "MulBackward0"),
        ("log_softmax_vjp", "LogSoftmaxBackward0"),
        ("avg_pool2d_vjp", "AvgPool2DBackward0"),
        ("log1p_vjp", "Log1PBackward0"),
        ("expm1_vjp", "Expm1Backward0"),
        ("t_vjp", "TBackward0"),
        ("smooth_l1_loss_vjp", "SmoothL1LossBackward0"),
        ("sum_vjp", "SumBackward0"),
        ("sum_dim_vjp", "SumBackward1"),
        ("conv2d_vjp", "ConvolutionBackward0"),
        ("conv2d_input_grad_vjp", "ConvolutionBackwardBackward0"),
        ("conv2d_weight_grad_vjp", "ConvolutionBackwardBackward0"),
        ("conv2d_backward_vjp", "ConvolutionBackwardBackward0"),
        ("max_pool2d_input_grad_vjp", "MaxPool2DWithIndicesBackwardBackward0"),
        ("sigmoid_grad_vjp", "SigmoidBackwardBackward0"),
        ("relu_grad_vjp", "ThresholdBackwardBackward0"),
        ("relu__vjp", "ReluBackward0"),
        ("view_scatter_vjp", "CopySlices"),
        ("copy_vjp", "CopyBackwards"),
        ("my_op", "MyOpBackward0"),
    ],
)
def test_node_name(vjp_name, printed):
    assert node_name(vjp_name) == printed


def test_table_holds_only_operations():
    for op, printed in PRINTED.items():
        assert op == op.strip("_")
        assert not op.endswith("_vjp")
        assert printed.isidentifier()


def torch_results(torch):
    """For each operation name, the PyTorch call it stands for."""
    F = torch.nn.functional
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape):
        return torch.rand(*shape, generator=generator).requires_grad_()

    x, y, v, q = leaf(3, 4), leaf(3, 4), leaf(4), leaf(2, 3, 4)
    images, mat = leaf(2, 3, 8, 8), leaf(4, 5)
    index, rows = torch.zeros(3, 4, dtype=torch.long), torch.tensor([0, 1])
    labels = torch.tensor([0, 1, 2])
    zeros, ones, gain, shift = torch.zeros(3), torch.ones(3), leaf(3), leaf(3)

    def written(function):
        def run():
            z = x * 1
            function(z)
            return z

        return run

    def gradient_of(function, leaf_tensor):
        def run():
            return torch.autograd.grad(function().sum(), leaf_tensor, create_graph=True)[0]

        return run

    def norm(training=True):
        return lambda: F.batch_norm(images, zeros.clone(), ones.clone(), gain, shift, training)

    cases = {
        # the rule
        **{name: lambda name=name: getattr(torch, name)(x) for name in OF_TORCH},
        **{name: lambda name=name: getattr(F, name)(x) for name in OF_FUNCTIONAL},
        "add": lambda: x + y,
        "sub": lambda: x - y,
        "mul": lambda: x * y,
        "div": lambda: x / y,
        "maximum": lambda: torch.maximum(x, y),
        "minimum": lambda: torch.minimum(x, y),
        "where": lambda: torch.where(x > 0.5, x, y),
        "atan2": lambda: torch.atan2(x, y),
        "fmod": lambda: x.fmod(2),
        "remainder": lambda: x % 2,
        "lerp": lambda: torch.lerp(x, y, 0.5),
        "addcmul": lambda: torch.addcmul(x, y, y),
        "addcdiv": lambda: torch.addcdiv(x, y, y),
        "clamp_min": lambda: x.clamp_min(0),
        "clamp_max": lambda: x.clamp_max(1),
        "softmax": lambda: x.softmax(1),
        "log_softmax": lambda: x.log_softmax(1),
        "logsumexp": lambda: x.logsumexp(1),
        "mm": lambda: x @ mat,
        "mv": lambda: x @ v,
        "dot": lambda: v @ v,
        "bmm": lambda: torch.bmm(q, leaf(2, 4, 3)),
        "addmm": lambda: torch.addmm(leaf(5), x, mat),
        "baddbmm": lambda: torch.baddbmm(leaf(2, 3, 3), q, leaf(2, 4, 3)),
        "cumsum": lambda: x.cumsum(0),
        "cumprod": lambda: x.cumprod(0),
        "sort": lambda: x.sort(1)[0],
        "sort_stable": lambda: torch.sort(x, dim=1, stable=True)[0],
        "topk": lambda: x.topk(2)[0],
        "view": lambda: x.view(12),
        "transpose": lambda: x.transpose(0, 1),
        "t": lambda: x.t(),
        "permute": lambda: q.permute(2, 0, 1),
        "unsqueeze": lambda: x.unsqueeze(0),
        "expand": lambda: v.expand(3, 4),
        "repeat": lambda: x.repeat(2, 2),
        "cat": lambda: torch.cat([x, y]),
        "stack": lambda: torch.stack([x, y]),
        "split": lambda: x.split(2)[0],
        "unbind": lambda: x.unbind(0)[0],
        "select": lambda: x.select(0, 1),
        "slice": lambda: x[1:],
        "alias": lambda: x[...],
        "index": lambda: x[[0, 1]],
        "flip": lambda: x.flip(0),
        "roll": lambda: x.roll(1),
        "diagonal": lambda: x.diagonal(),
        "unfold": lambda: x.unfold(0, 2, 1),
        "gather": lambda: x.gather(0, index),
        "scatter": lambda: x.scatter(0, index, y),
        "scatter_add": lambda: x.scatter_add(0, index, y),
        "index_select": lambda: x.index_select(0, rows),
        "index_add": lambda: x.index_add(0, labels, y),
        "index_put": lambda: x.index_put((rows,), v),
        "index_fill": lambda: x.index_fill(0, rows, 1.0),
        "masked_fill": lambda: x.masked_fill(x > 0.5, 0.0),
        "masked_select": lambda: x.masked_select(x > 0.5),
        "take": lambda: x.take(index),
        "to_copy": lambda: x.double(),
        "zero": written(lambda z: z.zero_()),
        "avg_pool2d": lambda: F.avg_pool2d(images, 2),
        "adaptive_avg_pool2d": lambda: F.adaptive_avg_pool2d(images, 2),
        "adaptive_max_pool2d": lambda: F.adaptive_max_pool2d(images, 2),
        "nll_loss": lambda: F.nll_loss(x, labels),
        "nll_loss2d": lambda: F.nll_loss(images, torch.zeros(2, 8, 8, dtype=torch.long)),
        "mse_loss": lambda: F.mse_loss(x, y),
        "smooth_l1_loss": lambda: F.smooth_l1_loss(x, y),
        "huber_loss": lambda: F.huber_loss(x, y),
        "binary_cross_entropy": lambda: F.binary_cross_entropy(x, y.detach()),
        "binary_cross_entropy_with_logits": lambda: F.binary_cross_entropy_with_logits(
            x, y.detach()
        ),
        "embedding": lambda: F.embedding(rows, x),
        "upsample_nearest2d": lambda: F.interpolate(images, scale_factor=2),
        "upsample_bilinear2d": lambda: F.interpolate(images, scale_factor=2, mode="bilinear"),
        "pixel_shuffle": lambda: F.pixel_shuffle(leaf(2, 4, 4, 4), 2),
        "im2col": lambda: F.unfold(images, 2),
        "col2im": lambda: F.fold(leaf(2, 12, 16), (8, 8), 2, stride=2),
        # the table
        "pow": lambda: x**y,
        "pow_scalar": lambda: x**2,
        "rpow": lambda: 2**x,
        "square": lambda: x.square(),
        "rsub": lambda: 1 - x,
        "div_mode": lambda: torch.div(x, 2, rounding_mode="floor"),
        "not_implemented": lambda: x // y,
        "round_decimals": lambda: torch.round(x, decimals=2),
        "clamp": lambda: x.clamp(min=0),
        "clip": lambda: x.clip(0, 1),
        "clamp_tensor": lambda: x.clamp(y, y),
        "clamp_min_tensor": lambda: x.clamp_min(y),
        "clamp_max_tensor": lambda: x.clamp_max(y),
        "fmod_tensor": lambda: x.fmod(y),
        "copysign_number": lambda: x.copysign(2),
        "xlogy_of_number": lambda: torch.xlogy(2, x),
        "xlogy_by_number": lambda: torch.xlogy(x, 2),
        "nanmedian_dim": lambda: x.nanmedian(1)[0],
        "diagonal_copy": lambda: x.diag(),
        "index_fill_tensor": lambda: x.index_fill(0, torch.tensor([0]), torch.tensor(0.0)),
        "remainder_tensor": lambda: x % y,
        "lerp_tensor": lambda: torch.lerp(x, y, x),
        "relu6": lambda: F.relu6(x),
        "selu": lambda: F.selu(x),
        "logsigmoid": lambda: F.logsigmoid(x),
        "softmin": lambda: F.softmin(x, 1),
        "softsign": lambda: F.softsign(x),
        "tanhshrink": lambda: F.tanhshrink(x),
        "prelu": lambda: F.prelu(x, leaf(1)),
        "vm": lambda: gain @ x,
        "matmul": lambda: q @ mat,
        "outer": lambda: torch.outer(v, v),
        "linear": lambda: F.linear(x, leaf(5, 4), leaf(5)),
        "linear_no_bias": lambda: F.linear(x, leaf(5, 4)),
        "linear_nd": lambda: F.linear(q, leaf(5, 4), leaf(5)),
        "linear_nd_no_bias": lambda: F.linear(q, leaf(5, 4)),
        "linear_1d_no_bias": lambda: F.linear(v, leaf(5, 4)),
        "sum_dim": lambda: x.sum(1),
        "mean_dim": lambda: x.mean((0, 1)),
        "prod_dim": lambda: x.prod(1),
        "var_dim": lambda: x.var(1),
        "std_dim": lambda: x.std(1),
        "max": lambda: x.max(),
        "max_dim": lambda: x.max(1)[0],
        "min": lambda: x.min(),
        "min_dim": lambda: x.min(1)[0],
        "median_dim": lambda: x.median(1)[0],
        "norm": lambda: x.norm(),
        "reshape": lambda: x.reshape(12),
        "reshape_copy": lambda: x.t().reshape(12),
        "reshape_alias": lambda: x.t().reshape(4, 3),
        "flatten": lambda: q.flatten(1),
        "flatten_copy": lambda: q.transpose(1, 2).flatten(1),
        "unflatten": lambda: x.unflatten(1, (2, 2)),
        "view_as": lambda: x.view_as(y),
        "swapaxes": lambda: x.swapaxes(0, 1),
        "movedim": lambda: q.movedim(0, 1),
        "squeeze_dim": lambda: leaf(1, 3).squeeze(0),
        "squeeze_dims": lambda: leaf(1, 3, 1).squeeze((0, 2)),
        "expand_as": lambda: v.expand_as(x),
        "broadcast_to": lambda: v.broadcast_to(3, 4),
        "tile": lambda: x.tile(2),
        "split_sizes": lambda: x.split([1, 2])[0],
        "chunk": lambda: x.chunk(2)[0],
        "tensor_split": lambda: x.tensor_split(2)[0],
        "narrow": lambda: x.narrow(0, 0, 2),
        "diag": lambda: v.diag(),
        "view_scatter": written(lambda z: z[0].mul_(2)),
        "getitem": lambda: x[x > 0.5],
        "getitem_int": lambda: x[0],
        "getitem_slice": lambda: x[:, 1:],
        "getitem_none": lambda: x[None],
        "getitem_all": lambda: x[()],
        "index_put_add": lambda: x.index_put((rows,), v, accumulate=True),
        "scatter_value": lambda: x.scatter(0, index, 1.0),
        "masked_fill_tensor": lambda: x.masked_fill(x > 0.5, torch.tensor(0.0)),
        "take_along_dim": lambda: x.take_along_dim(index, 0),
        "to": lambda: x.to(torch.float64),
        "contiguous": lambda: x.t().contiguous(),
        "copy": written(lambda z: z.copy_(y)),
        "fill": written(lambda z: z.fill_(1)),
        "conv1d": lambda: F.conv1d(q, leaf(4, 3, 2)),
        "conv2d": lambda: F.conv2d(images, leaf(4, 3, 3, 3)),
        "conv_transpose1d": lambda: F.conv_transpose1d(q, leaf(3, 4, 2)),
        "conv_transpose2d": lambda: F.conv_transpose2d(images, leaf(3, 4, 3, 3)),
        "max_pool2d": lambda: F.max_pool2d(images, 2),
        "adaptive_avg_pool2d_1x1": lambda: F.adaptive_avg_pool2d(images, 1),
        "avg_pool1d": lambda: F.avg_pool1d(q, 2),
        "max_pool1d": lambda: F.max_pool1d(q, 2),
        "adaptive_avg_pool1d": lambda: F.adaptive_avg_pool1d(q, 2),
        "adaptive_max_pool1d": lambda: F.adaptive_max_pool1d(q, 2),
        "lp_pool2d": lambda: F.lp_pool2d(images, 2, 2),
        "unfold2d": lambda: F.unfold(images, 2),
        "fold2d": lambda: F.fold(leaf(2, 12, 16), (8, 8), 2, stride=2),
        "pad": lambda: F.pad(x, (1, 1)),
        "reflection_pad2d": lambda: F.pad(images, (1, 1, 1, 1), "reflect"),
        "pad_circular": lambda: F.pad(images, (1, 1, 1, 1), "circular"),
        "replication_pad2d": lambda: F.pad(images, (1, 1, 1, 1), "replicate"),
        "batch_norm": norm(),
        "layer_norm": lambda: F.layer_norm(x, (4,)),
        "group_norm": lambda: F.group_norm(images, 3),
        "instance_norm": lambda: F.instance_norm(images),
        "rms_norm": lambda: F.rms_norm(x, (4,)),
        "local_response_norm": lambda: F.local_response_norm(images, 2),
        "dropout": lambda: F.dropout(x, 0.5, True),
        "dropout2d": lambda: F.dropout2d(images, 0.5, True),
        "alpha_dropout": lambda: F.alpha_dropout(x, 0.5, True),
        "cross_entropy": lambda: F.cross_entropy(x, labels),
        "cross_entropy_2d": lambda: F.cross_entropy(images, torch.zeros(2, 8, 8, dtype=torch.long)),
        "cross_entropy_soft": lambda: F.cross_entropy(x, y.detach()),
        "cross_entropy_smooth": lambda: F.cross_entropy(x, labels, label_smoothing=0.1),
        "l1_loss": lambda: F.l1_loss(x, y),
        "pairwise_distance": lambda: F.pairwise_distance(x, y),
        "rrelu": lambda: F.rrelu(x),
        **{
            f"{name}_inplace": lambda name=name: getattr(F, name)(x * 1, inplace=True)
            for name in ("elu", "selu", "celu", "leaky_relu", "rrelu")
        },
        "threshold_inplace": lambda: F.threshold(x * 1, 0.5, 0.0, inplace=True),
    }
    gradients = {
        "relu_grad": (lambda: F.relu(x), x),
        "softmax_grad": (lambda: x.softmax(1), x),
        "log_softmax_grad": (lambda: x.log_softmax(1), x),
        "cross_entropy_grad": (cases["cross_entropy"], x),
        # the rule
        "leaky_relu_grad": (cases["leaky_relu"], x),
        "sigmoid_grad": (lambda: x.sigmoid(), x),
        "tanh_grad": (lambda: x.tanh(), x),
        "gelu_grad": (cases["gelu"], x),
        "elu_grad": (cases["elu"], x),
        "softplus_grad": (cases["softplus"], x),
        "hardtanh_grad": (cases["hardtanh"], x),
        "hardswish_grad": (cases["hardswish"], x),
        "avg_pool2d_input_grad": (cases["avg_pool2d"], images),
        "adaptive_avg_pool2d_input_grad": (cases["adaptive_avg_pool2d"], images),
        "max_pool2d_input_grad": (cases["max_pool2d"], images),
        "adaptive_max_pool2d_input_grad": (cases["adaptive_max_pool2d"], images),
        "conv2d_input_grad": (cases["conv2d"], images),
        "batch_norm_grad": (cases["batch_norm"], images),
        "layer_norm_grad": (cases["layer_norm"], x),
        "mse_loss_grad": (cases["mse_loss"], x),
        "nll_loss_grad": (cases["nll_loss"], x),
        "reflection_pad2d_grad": (cases["reflection_pad2d"], images),
    }
    cases.update({name: gradient_of(*call) for name, call in gradients.items()})
    return cases


def test_names_are_pytorchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    cases = torch_results(torch)
    assert set(PRINTED) <= set(cases), sorted(set(PRINTED) - set(cases))
    wrong = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for op, call in cases.items():
            printed = type(call().grad_fn).__name__
            if node_name(op + "_vjp") != printed:
                wrong[op] = (node_name(op + "_vjp"), printed)
    assert wrong == {}


def test_a_node_says_its_name():
    y = lucidlite.ones(2, requires_grad=True) * 2
    assert y.grad_fn.name() == type(y.grad_fn).__name__ == "MulBackward0"
