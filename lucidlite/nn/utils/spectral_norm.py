"""Spectral normalization by a hook: ``weight_orig`` over its largest singular value."""

from __future__ import annotations

from typing import Any, TypeVar

from lucidlite.callsite import error
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.nn.utils.norms import (
    as_matrix,
    largest_singular_value,
    power_iteration,
    random_unit,
    refuse_second,
    take_away,
    transposed,
)
from lucidlite.tensor import Tensor

M = TypeVar("M", bound=Module)


class SpectralNorm:
    """The hook that computes the weight before each forward."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        self.name = name
        self.dim = dim
        if n_power_iterations <= 0:
            raise error(
                ValueError,
                "Expected n_power_iterations to be positive, "
                f"but got n_power_iterations={n_power_iterations}",
            )
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            power_iteration(matrix, u, v, self.n_power_iterations, self.eps)
        return weight / largest_singular_value(matrix, u, v)  # type: ignore[no-any-return]

    def remove(self, module: Module) -> None:
        weight = self.compute_weight(module, False).detach()
        for part in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + part)
        module.register_parameter(self.name, Parameter(weight))

    def __call__(self, module: Module, inputs: Any) -> None:
        del inputs
        setattr(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide a weight by its largest singular value, as an estimate has it; returns the module.

    Parameter ``weight`` gives way to ``weight_orig``; each forward in training moves the estimate
    (buffers ``weight_u`` and ``weight_v``) by ``n_power_iterations`` steps. ``dim`` is where the
    weight's outputs are: 0, or 1 for transposed convolutions.

    >>> from lucidlite import nn
    >>> list(nn.utils.spectral_norm(nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']

    Semantics: torch.nn.utils.spectral_norm. Source: Miyato et al., 2018.
    """
    refuse_second(module, SpectralNorm, name, "spectral_norm")
    if dim is None:
        dim = 1 if transposed(module) else 0
    hook = SpectralNorm(name, n_power_iterations, dim, eps)
    weight = module._parameters.get(name)
    if weight is None:
        raise error(
            ValueError, f"`SpectralNorm` cannot be applied as parameter `{name}` is None"
        )
    matrix = as_matrix(weight, dim)
    u, v = (random_unit(weight, n, eps) for n in matrix.shape)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.data)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Put the weight back as one parameter; returns the module.

    Semantics: torch.nn.utils.remove_spectral_norm.
    """
    take_away(module, SpectralNorm, name, "spectral_norm")
    return module
