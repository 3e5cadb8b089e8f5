"""Weight and spectral normalization as parametrizations."""

from __future__ import annotations

from typing import Any, TypeVar

from lucidlite.callsite import error
from lucidlite.nn.module import Module
from lucidlite.nn.utils.norms import (
    as_matrix,
    largest_singular_value,
    norm_except_dim,
    power_iteration,
    random_unit,
    transposed,
    unit,
    weight_of,
)
from lucidlite.nn.utils.parametrize import register_parametrization
from lucidlite.tensor import Tensor

M = TypeVar("M", bound=Module)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_of(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Train length and direction of a weight apart: ``weight = g * v / |v|``; returns the module.

    ``g`` and ``v`` are ``parametrizations.weight.original0`` and ``original1``; a state_dict with
    ``weight_g`` and ``weight_v`` loads too. Norms are taken of the slices along ``dim``, of the
    whole weight where it is None.

    >>> from lucidlite import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> layer.parametrizations.weight.original0.shape
    (2, 1)

    Semantics: torch.nn.utils.parametrizations.weight_norm. Source: Salimans and Kingma, 2016.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(_: Any, state_dict: Any, prefix: str, *rest: Any) -> None:
        del rest
        old = [f"{prefix}{name}_{part}" for part in "gv"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                new = f"{prefix}parametrizations.{name}.original{i}"
                state_dict[new] = state_dict.pop(key)

    module.register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        dims = weight.dim()
        if not -dims <= dim < dims:
            raise error(
                IndexError,
                "Dimension out of range (expected to be in range of "
                f"[-{dims}, {dims - 1}] but got {dim})",
            )
        if n_power_iterations <= 0:
            raise error(
                ValueError,
                "Expected n_power_iterations to be positive, "
                f"but got n_power_iterations={n_power_iterations}",
            )
        self.dim = dim % dims
        self.eps = eps
        if dims > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight, self.dim)
            self.register_buffer("_u", random_unit(weight, matrix.size(0), eps))
            self.register_buffer("_v", random_unit(weight, matrix.size(1), eps))
            self._step(matrix, 15)

    def _step(self, matrix: Tensor, steps: int) -> None:
        power_iteration(matrix.t(), self._v, self._u, steps, self.eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return unit(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._step(matrix, self.n_power_iterations)
        return weight / largest_singular_value(matrix, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide a weight by its largest singular value, as an estimate has it; returns the module.

    Each use in training moves the estimate by ``n_power_iterations`` steps. ``dim`` is where the
    weight's outputs are: 0, or 1 for transposed convolutions.

    >>> from lucidlite import nn
    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2))
    >>> layer.parametrizations.weight.original.shape
    (2, 3)

    Semantics: torch.nn.utils.parametrizations.spectral_norm. Source: Miyato et al., 2018.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise error(
            ValueError, f"Module '{module}' has no parameter or buffer with name '{name}'"
        )
    if dim is None:
        dim = 1 if transposed(module) else 0
    norm = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, norm)
