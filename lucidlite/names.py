"""The name a recorded operation prints: `grad_fn=<MulBackward0>`, as PyTorch prints it.

One rule covers most operations; `PRINTED` is the only list of the others. Where PyTorch prints one
operation differently by case, the case is part of the name: `sum`, `sum_dim`.
"""

from __future__ import annotations

import re

# Operation -> what PyTorch prints.
PRINTED: dict[str, str] = {
    # arithmetic
    "pow": "PowBackward1",  # tensor ** tensor
    "pow_scalar": "PowBackward0",  # tensor ** number
    "rpow": "PowBackward2",  # number ** tensor
    "square": "PowBackward0",
    "rsub": "RsubBackward1",  # number - tensor
    "div_mode": "DivBackward2",  # with rounding_mode
    "not_implemented": "NotImplemented",  # what PyTorch has no derivative for
    "round_decimals": "RoundBackward1",
    "clamp": "ClampBackward1",
    "clip": "ClampBackward1",
    "clamp_tensor": "ClampBackward0",  # bounds that are tensors
    "clamp_min_tensor": "ClampMinBackward1",
    "clamp_max_tensor": "ClampMaxBackward1",
    "remainder_tensor": "RemainderBackward1",
    "fmod_tensor": "FmodBackward1",
    "copysign_number": "CopysignBackward1",
    "xlogy_of_number": "XlogyBackward1",
    "xlogy_by_number": "XlogyBackward2",
    "lerp_tensor": "LerpBackward1",
    # activations
    "relu6": "HardtanhBackward0",
    "selu": "EluBackward0",
    "elu_inplace": "EluBackward1",
    "selu_inplace": "EluBackward1",
    "celu_inplace": "CeluBackward1",
    "leaky_relu_inplace": "LeakyReluBackward1",
    "threshold_inplace": "ThresholdBackward1",
    "rrelu": "RreluWithNoiseBackward0",
    "rrelu_inplace": "RreluWithNoiseBackward1",
    "logsigmoid": "LogSigmoidBackward0",
    "softmin": "SoftmaxBackward0",
    "softsign": "DivBackward0",
    "tanhshrink": "SubBackward0",
    "prelu": "PreluKernelBackward0",
    # products of matrices; mm, mv, dot, bmm, addmm, baddbmm follow the rule
    "vm": "SqueezeBackward4",  # vector @ matrix
    "matmul": "UnsafeViewBackward0",  # any operand of 3 or more dimensions
    "outer": "MulBackward0",
    "linear": "AddmmBackward0",
    "linear_no_bias": "MmBackward0",
    "linear_nd": "ViewBackward0",  # input of 1, 3 or more dimensions
    "linear_nd_no_bias": "UnsafeViewBackward0",
    "linear_1d_no_bias": "SqueezeBackward4",
    # reductions: no suffix for all elements, _dim for some
    "sum_dim": "SumBackward1",
    "mean_dim": "MeanBackward1",
    "prod_dim": "ProdBackward1",
    "var_dim": "VarBackward0",
    "std_dim": "StdBackward0",
    "max": "MaxBackward1",
    "max_dim": "MaxBackward0",
    "min": "MinBackward1",
    "min_dim": "MinBackward0",
    "median_dim": "MedianBackward1",
    "nanmedian_dim": "NanmedianBackward1",
    "sort_stable": "SortBackward1",  # with stable=
    "norm": "LinalgVectorNormBackward0",
    # shapes
    "reshape": "ViewBackward0",
    "reshape_alias": "ReshapeAliasBackward0",  # a view of what isn't contiguous
    "reshape_copy": "UnsafeViewBackward0",  # where a view cannot do
    "flatten": "ViewBackward0",
    "flatten_copy": "UnsafeViewBackward0",
    "unflatten": "ViewBackward0",
    "view_as": "ViewBackward0",
    "swapaxes": "TransposeBackward0",
    "movedim": "PermuteBackward0",
    "squeeze_dim": "SqueezeBackward1",
    "squeeze_dims": "SqueezeBackward2",
    "expand_as": "ExpandBackward0",
    "broadcast_to": "ExpandBackward0",
    "tile": "RepeatBackward0",
    "split_sizes": "SplitWithSizesBackward0",
    "chunk": "SplitBackward0",
    "tensor_split": "SliceBackward0",
    "narrow": "SliceBackward0",
    "diag": "DiagEmbedBackward0",
    "diagonal_copy": "DiagonalBackward0_copy",  # of a matrix, by diag
    "view_scatter": "CopySlices",  # the base of a view that was written to
    # indexing
    "getitem": "IndexBackward0",  # by lists, masks and index tensors
    "getitem_int": "SelectBackward0",
    "getitem_slice": "SliceBackward0",
    "getitem_none": "UnsqueezeBackward0",
    "getitem_all": "AliasBackward0",  # x[...] and x[()]
    "index_put_add": "IndexPutBackward0",
    "scatter_value": "ScatterBackward1",
    "index_fill_tensor": "IndexFillBackward1",
    "masked_fill_tensor": "MaskedFillBackward1",
    "take_along_dim": "GatherBackward0",
    # copies
    "to": "ToCopyBackward0",
    "contiguous": "CloneBackward0",
    "copy": "CopyBackwards",  # y.copy_(x)
    "fill": "FillBackward2",
    # convolution and pooling
    "conv1d": "ConvolutionBackward0",
    "conv2d": "ConvolutionBackward0",
    "conv_transpose1d": "ConvolutionBackward0",
    "conv_transpose2d": "ConvolutionBackward0",
    "max_pool2d": "MaxPool2DWithIndicesBackward0",
    "adaptive_avg_pool2d_1x1": "MeanBackward1",
    "avg_pool1d": "SqueezeBackward1",
    "max_pool1d": "SqueezeBackward1",
    "adaptive_avg_pool1d": "SqueezeBackward1",
    "adaptive_max_pool1d": "SqueezeBackward1",
    "lp_pool2d": "PowBackward0",
    "unfold2d": "Im2ColBackward0",  # nn.functional.unfold; Tensor.unfold follows the rule
    "fold2d": "Col2ImBackward0",
    "pad": "ConstantPadNdBackward0",
    "pad_circular": "CopySlices",
    # normalization and dropout
    "batch_norm": "NativeBatchNormBackward0",
    "layer_norm": "NativeLayerNormBackward0",
    "group_norm": "NativeGroupNormBackward0",
    "instance_norm": "ViewBackward0",
    "rms_norm": "MulBackward0",
    "local_response_norm": "DivBackward0",
    "dropout": "MulBackward0",
    "dropout2d": "MulBackward0",
    "alpha_dropout": "AddBackward0",
    # losses
    "cross_entropy": "NllLossBackward0",
    "cross_entropy_2d": "NllLoss2DBackward0",  # (N, C, H, W) against (N, H, W)
    "cross_entropy_soft": "DivBackward1",  # class probabilities
    "cross_entropy_smooth": "AddBackward0",  # label smoothing
    "l1_loss": "MeanBackward0",
    "pairwise_distance": "NormBackward1",
    # gradient operations that differ from their operation's name and "BackwardBackward0"
    "relu_grad": "ThresholdBackwardBackward0",
    "softmax_grad": "SoftmaxBackwardDataBackward0",
    "log_softmax_grad": "LogSoftmaxBackwardDataBackward0",
    "cross_entropy_grad": "LogSoftmaxBackwardDataBackward0",
}

_GRADIENT = r"(.+?)(?:_input|_weight)?_(?:grad|backward)"
_NEW_WORD = r"(?:^|_|(?<=\d))([a-z])"


def node_name(vjp_name: str) -> str:
    """Return the class name that the nodes of an operation print, from its name or its vjp's.

    The words of the operation are capitalized, a letter after a digit too; the gradient of an
    operation (`_grad`, `_input_grad`, `_weight_grad`, `_backward`) prints Backward twice.

    >>> node_name("log_softmax_vjp"), node_name("avg_pool2d_vjp"), node_name("sum_dim")
    ('LogSoftmaxBackward0', 'AvgPool2DBackward0', 'SumBackward1')
    >>> node_name("conv2d_weight_grad_vjp")
    'ConvolutionBackwardBackward0'
    """
    op = vjp_name.removesuffix("_vjp").strip("_")
    printed = PRINTED.get(op)
    if printed is not None:
        return printed
    gradient = re.fullmatch(_GRADIENT, op)
    if gradient is not None:
        return node_name(gradient[1]).rstrip("0123456789") + "Backward0"
    return re.sub(_NEW_WORD, lambda word: word[1].upper(), op) + "Backward0"
