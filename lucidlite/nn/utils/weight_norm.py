"""Weight normalization by a hook: ``weight_g`` and ``weight_v`` instead of ``weight``."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.nn.utils.norms import norm_except_dim, refuse_second, take_away, weight_of
from lucidlite.tensor import Tensor

M = TypeVar("M", bound=Module)


class WeightNorm:
    """The hook that computes the weight before each forward."""

    def __init__(self, name: str, dim: int) -> None:
        self.name = name
        self.dim = dim

    def compute_weight(self, module: Module) -> Tensor:
        g, v = (getattr(module, f"{self.name}_{part}") for part in "gv")
        return weight_of(v, g, self.dim)

    def remove(self, module: Module) -> None:
        weight = self.compute_weight(module).data
        for name in (self.name, f"{self.name}_g", f"{self.name}_v"):
            delattr(module, name)
        setattr(module, self.name, Parameter(weight))

    def __call__(self, module: Module, inputs: Any) -> None:
        del inputs
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Train length and direction of a weight apart: ``weight = g * v / |v|``; returns the module.

    Parameter ``weight`` gives way to ``weight_g`` and ``weight_v``. Norms are taken of the slices
    along ``dim``, of the whole weight where it is None. PyTorch calls this form deprecated, for
    ``nn.utils.parametrizations.weight_norm``.

    >>> import warnings
    >>> from lucidlite import nn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     layer = nn.utils.weight_norm(nn.Linear(3, 2))
    >>> list(layer.state_dict())
    ['bias', 'weight_g', 'weight_v']

    Semantics: torch.nn.utils.weight_norm. Source: Salimans and Kingma, 2016.
    """
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of "
        "`torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    refuse_second(module, WeightNorm, name, "weight_norm")
    hook = WeightNorm(name, -1 if dim is None else dim)
    weight = getattr(module, name)
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(norm_except_dim(weight, hook.dim).data))
    module.register_parameter(f"{name}_v", Parameter(weight.data))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Put the weight back as one parameter; returns the module.

    Semantics: torch.nn.utils.remove_weight_norm.
    """
    take_away(module, WeightNorm, name, "weight_norm")
    return module
