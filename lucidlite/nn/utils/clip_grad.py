"""Clipping gradients, by their common norm or each element by itself.

On a GPU a norm and the scaling by it take two launches for all gradients together, and the host
waits for neither. ``foreach`` chooses among implementations of the same in PyTorch: all values are
taken and mean the one there is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import GeneratorType

from lucidlite.callsite import error
from lucidlite.creation import tensor
from lucidlite.ops import clip
from lucidlite.tensor import Tensor

Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,  # noqa: ARG001
) -> Tensor:
    """The norm of all elements of the tensors together: 0-dim, on the first one's device.

    ``norm_type`` may be any number or inf. RuntimeError where ``error_if_nonfinite`` and the norm
    is NaN or infinite, which makes the host wait for a GPU.

    >>> import lucidlite
    >>> lucidlite.nn.utils.get_total_norm([lucidlite.tensor([3.0]), lucidlite.tensor([4.0])])
    tensor(5.)

    Semantics: torch.nn.utils.get_total_norm.
    """
    listed, order = _listed(tensors), float(norm_type)
    if not listed:
        return tensor(0.0)
    norm = clip.total_norm(listed, order)
    if error_if_nonfinite:
        _check_finite(norm, order)
    return norm


def _check_finite(norm: Tensor, order: float) -> None:
    if not bool(norm.isfinite()):
        raise error(
            RuntimeError,
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so it "
            "cannot be clipped. To disable this error and scale the gradients by the non-finite "
            "norm anyway, set `error_if_nonfinite=False`",
        )


def clip_grads_with_norm_(
    parameters: Tensors,
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,  # noqa: ARG001
) -> None:
    """Multiply the gradients by max_norm / (total_norm + 1e-6) where that is less than 1.

    Semantics: torch.nn.utils.clip_grads_with_norm_.
    """
    gradients = _gradients(parameters)
    if gradients:
        clip.scale_to_norm(gradients, float(max_norm), total_norm)


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients, in place, so that their common norm is ``max_norm`` at most.

    Returns the norm they had, as ``get_total_norm`` of them. Parameters without a gradient are left
    out.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    >>> (w * lucidlite.tensor([6.0, 8.0])).sum().backward()
    >>> lucidlite.nn.utils.clip_grad_norm_([w], max_norm=1.0)
    tensor(10.)
    >>> w.grad
    tensor([0.6000, 0.8000])

    Semantics: torch.nn.utils.clip_grad_norm_.
    """
    listed = _listed(parameters)
    if not listed and isinstance(parameters, GeneratorType):
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2
        )
    gradients = _gradients(listed)
    if gradients and not error_if_nonfinite:
        return clip.clip_norm(gradients, float(max_norm), float(norm_type))
    norm = get_total_norm(gradients, norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(listed, max_norm, norm, foreach)
    return norm


def clip_grad_value_(
    parameters: Tensors,
    clip_value: float,
    foreach: bool | None = None,  # noqa: ARG001
) -> None:
    """Hold every element of the gradients, in place, between -clip_value and clip_value.

    >>> import lucidlite
    >>> w = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    >>> (w * lucidlite.tensor([6.0, -0.5])).sum().backward()
    >>> lucidlite.nn.utils.clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 1.0000, -0.5000])

    Semantics: torch.nn.utils.clip_grad_value_.
    """
    clip.clip_values(_gradients(parameters), float(clip_value))
