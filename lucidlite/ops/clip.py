"""Clipping of many tensors at once, in place and outside any graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.ops.join import stack
from lucidlite.ops.statistics import norm
from lucidlite.ops.transfer import to_device
from lucidlite.tape import wrap

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor


def _by_backend(tensors: Sequence[Tensor]) -> dict[Any, list[Tensor]]:
    groups: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.backend, []).append(tensor)
    return groups


def _write(tensors: Sequence[Tensor], kernel: Callable[[list[Any]], Any]) -> Any:
    """What a kernel that writes to the tensors returns."""
    try:
        return kernel([t.array for t in tensors])
    finally:  # one that is interrupted may have written too
        for tensor in tensors:
            tensor.bump_version()


def total_norm(tensors: Sequence[Tensor], p: float) -> Tensor:
    """The ``p``-norm of the tensors' ``p``-norms, on the device of the first."""
    _check_norm(tensors, p)
    groups = _by_backend(tensors)
    if len(groups) == 1:
        ((backend, _),) = groups.items()
        return wrap(backend.total_norm([t.array for t in tensors], p), backend)
    with no_grad():
        first = tensors[0].device
        return norm(stack([to_device(norm(t, p), first) for t in tensors]), p)


def clip_norm(tensors: Sequence[Tensor], most: float, p: float) -> Tensor:
    """``scale_to_norm`` by the ``total_norm``, which is returned."""
    _check_norm(tensors, p)
    groups = _by_backend(tensors)
    if len(groups) == 1:
        ((backend, _),) = groups.items()
        return wrap(_write(tensors, lambda arrays: backend.clip_norm(arrays, most, p)), backend)
    whole = total_norm(tensors, p)
    scale_to_norm(tensors, most, whole)
    return whole


def _check_norm(tensors: Sequence[Tensor], p: float) -> None:
    """Refuse an empty tensor for a norm that has no value of one."""
    if p < 0 or p == math.inf:
        for tensor in tensors:
            if not tensor.array.size:
                raise error(
                    RuntimeError,
                    f"total_norm: cannot compute the {p} norm of an empty tensor, "
                    f"got shape={tuple(tensor.array.shape)}",
                )


def scale_to_norm(tensors: Sequence[Tensor], most: float, whole: Tensor) -> None:
    """Multiply the tensors by most / (whole + 1e-6), or by 1 where that is less."""
    with no_grad():
        for backend, group in _by_backend(tensors).items():
            size = to_device(whole, backend.device).array
            _write(group, partial(_scale, backend, most, size))


def clip_values(tensors: Sequence[Tensor], most: float) -> None:
    """Hold the tensors' elements between -most and most."""
    for backend, group in _by_backend(tensors).items():
        _write(group, partial(_hold, backend, most))


def _scale(backend: Any, most: float, size: Any, arrays: list[Any]) -> None:
    backend.scale_to_norm(arrays, most, size)


def _hold(backend: Any, most: float, arrays: list[Any]) -> None:
    backend.clip_values(arrays, most)
