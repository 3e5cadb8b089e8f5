"""A product of two inputs with a matrix between them, for every output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lucidlite.callsite import error
from lucidlite.ops.common import check_device, check_tensor
from lucidlite.ops.matmul import linear, matmul
from lucidlite.ops.precision import as_cast, precision
from lucidlite.ops.shape import permute, reshape, squeeze, unsqueeze

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def bilinear(
    input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """``input1 @ weight[k] @ input2 + bias[k]`` for each output k.

    Shapes: input1 (..., I), input2 (..., J), weight (K, I, J), bias (K), result (..., K).

    >>> import lucidlite
    >>> F, ones = lucidlite.nn.functional, lucidlite.ones
    >>> F.bilinear(ones(1, 2), ones(1, 3), ones(1, 2, 3))
    tensor([[6.]])

    Semantics: torch.nn.functional.bilinear.
    """
    if precision.active:
        input1, input2, weight, bias = precision.cast("bilinear", input1, input2, weight, bias)
    for name, tensor in (("input1", input1), ("input2", input2), ("weight", weight)):
        check_tensor("bilinear", name, tensor)
    check_device("bilinear", input1, input2, weight, bias)
    one, two, w = input1.array.shape, input2.array.shape, weight.array.shape
    if len(w) != 3:
        raise error(RuntimeError, f"bilinear: weight must have 3 dimensions, got weight={w}")
    if one[:-1] != two[:-1] or not one:
        raise error(
            RuntimeError,
            "bilinear: inputs must match in all dimensions but the last, "
            f"got input1={tuple(one)}, input2={tuple(two)}",
        )
    if one[-1] != w[1] or two[-1] != w[2]:
        raise error(
            RuntimeError,
            "bilinear: the last dimensions of the inputs must be the weight's, "
            f"got input1={tuple(one)}, input2={tuple(two)}, weight={tuple(w)}",
        )
    if bias is not None and bias.array.shape != w[:1]:
        raise error(
            RuntimeError,
            "bilinear: bias must have one value per output feature, "
            f"got bias={tuple(bias.array.shape)}, weight={tuple(w)}",
        )
    with as_cast():
        rows = reshape(permute(weight, (0, 2, 1)), (w[0] * w[2], w[1]))
        left = reshape(linear(input1, rows), (*one[:-1], w[0], w[2]))
        out = squeeze(matmul(left, unsqueeze(input2, -1)), -1)
        return out if bias is None else out + bias
