"""How far apart vectors are, and vectors of length 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.ops.choose import clamp
from lucidlite.ops.common import broadcast_shape, check_tensor, result_type, to_dtype, wrap_dim
from lucidlite.ops.inplace import assign
from lucidlite.ops.loss import as_one
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import expand
from lucidlite.ops.statistics import norm

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def normalize(
    input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12
) -> Tensor:
    """``input`` over its p-norm along ``dim``, the norm no less than ``eps``.

    >>> import lucidlite
    >>> lucidlite.nn.functional.normalize(lucidlite.tensor([3.0, 4.0]), dim=0)
    tensor([0.6000, 0.8000])

    Semantics: torch.nn.functional.normalize.
    """
    check_tensor("normalize", "input", input)
    return input / expand(clamp(norm(input, p, dim, True), min=eps), input.array.shape)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``; lengths are no less than ``eps``.

    The inputs broadcast. Semantics: torch.nn.functional.cosine_similarity.
    """
    op = "cosine_similarity"
    check_tensor(op, "x1", x1)
    check_tensor(op, "x2", x2)
    if precision.active:
        x1, x2 = precision.cast(op, x1, x2)
    kind = result_type(x1, x2)
    if not kind.is_floating_point:
        raise error(RuntimeError, f"{op}: expected a floating point dtype, got dtype={kind}")
    shape = broadcast_shape(op, x1.array.shape, x2.array.shape)
    dim = wrap_dim(op, dim, len(shape))
    units = []
    for x in (x1, x2):
        wide = expand(to_dtype(x, kind.numpy), shape)
        length = norm(wide, 2.0, dim, True).clone()
        with no_grad():  # the limit holds back no gradient, as in PyTorch
            assign(op, length, lambda old: clamp(old, min=eps))
        units.append(wide / length)
    return sum(units[0] * units[1], dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last dim. Semantics: torch.pairwise_distance."""
    op = "pairwise_distance"
    check_tensor(op, "x1", x1)
    check_tensor(op, "x2", x2)
    broadcast_shape(op, x1.array.shape, x2.array.shape)
    return as_one(op, norm(x1 - x2 + eps, p, -1, keepdim))
