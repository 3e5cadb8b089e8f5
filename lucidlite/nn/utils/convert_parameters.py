"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from lucidlite.callsite import error
from lucidlite.ops.join import cat
from lucidlite.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters in one vector, through which gradients flow.

    >>> from lucidlite import nn
    >>> nn.utils.parameters_to_vector(nn.Linear(3, 2).parameters()).shape
    (8,)

    Semantics: torch.nn.utils.parameters_to_vector.
    """
    listed = list(parameters)
    _check_devices(listed)
    return cat([p.reshape(-1) for p in listed])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give each parameter, in order, its part of ``vec``, whose memory it then sees.

    Semantics: torch.nn.utils.vector_to_parameters.
    """
    if not isinstance(vec, Tensor):
        raise error(TypeError, f"expected torch.Tensor, but got: {type(vec).__name__}")
    listed = list(parameters)
    _check_devices(listed)
    start = 0
    for p in listed:
        stop = start + p.numel()
        p.data = vec[start:stop].view_as(p).data
        start = stop


def _check_devices(parameters: list[Tensor]) -> None:
    found = {str(p.device) for p in parameters}
    if len(found) > 1:
        raise error(
            TypeError,
            "Found two parameters on different devices, this is currently not supported, "
            f"got {', '.join(sorted(found))}",
        )
