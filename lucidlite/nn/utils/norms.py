"""The arithmetic of weight normalization and of spectral normalization."""

from __future__ import annotations

from typing import Any

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.nn import init
from lucidlite.ops.choose import clamp
from lucidlite.ops.matmul import dot, mv
from lucidlite.ops.statistics import norm
from lucidlite.tensor import Tensor


def norm_except_dim(v: Tensor, dim: int) -> Tensor:
    """The norm of each slice along ``dim``, in v's dims; of all of v for -1.

    Semantics: torch.norm_except_dim.
    """
    if dim == -1:
        return norm(v)
    if not -v.dim() <= dim < v.dim():
        raise error(
            IndexError,
            f"weight_norm: dim out of range, got dim={dim} for a tensor of {v.dim()} dimensions",
        )
    others = [d for d in range(v.dim()) if d != dim % v.dim()]
    return norm(v, 2, others, keepdim=True) if others else v.abs()


def weight_of(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """``v`` with norms ``g``: w = g * v / |v|. Source: Salimans and Kingma, 2016."""
    return v * (g / norm_except_dim(v, dim))


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """A weight as a matrix, its ``dim`` the rows."""
    if dim:
        weight = weight.permute(dim, *[d for d in range(weight.dim()) if d != dim])
    return weight.reshape(weight.size(0), -1)


def unit(x: Tensor, eps: float) -> Tensor:
    """``x`` scaled to norm 1."""
    return x / clamp(norm(x), min=eps)


def random_unit(like: Tensor, size: int, eps: float) -> Tensor:
    """A vector of norm 1 in any direction."""
    return unit(init.normal_(like.detach().new_empty(size)), eps)


def power_iteration(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float) -> None:
    """Bring ``u`` and ``v``, in place, nearer to the matrix's first singular vectors."""
    with no_grad():
        matrix = matrix.detach()
        for _ in range(steps):
            v.copy_(unit(mv(matrix.t(), u), eps))
            u.copy_(unit(mv(matrix, v), eps))


def largest_singular_value(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The value of which ``u`` and ``v`` are the singular vectors, as a function of the matrix."""
    return dot(u.clone(), mv(matrix, v.clone()))


def transposed(module: Any) -> bool:
    """Whether a layer's weight has its outputs in dim 1: a transposed convolution."""
    return type(module).__name__ in ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")


def refuse_second(module: Any, hook: type, name: str, what: str) -> None:
    """RuntimeError where a hook of this class computes the parameter already."""
    for each in module._forward_pre_hooks.values():
        if isinstance(each, hook) and each.name == name:  # type: ignore[attr-defined]
            raise error(
                RuntimeError, f"Cannot register two {what} hooks on the same parameter {name}"
            )


def take_away(module: Any, hook: type, name: str, what: str) -> None:
    """Undo what a hook of this class does to a parameter; ValueError where there is none."""
    for number, each in module._forward_pre_hooks.items():
        if isinstance(each, hook) and each.name == name:  # type: ignore[attr-defined]
            each.remove(module)  # type: ignore[attr-defined]
            del module._forward_pre_hooks[number]
            return
    raise error(ValueError, f"{what} of '{name}' not found in {module}")
