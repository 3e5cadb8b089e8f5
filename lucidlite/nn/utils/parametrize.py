"""Parametrizations: a parameter that is computed, at each use, from others that are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.nn.containers import ModuleDict, ModuleList
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.tensor import Tensor

M = TypeVar("M", bound=Module)

_depth = 0  # of the cached() regions we are in
_kept: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once inside. Semantics: torch's parametrize.cached."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _kept.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, and what they start from: ``original``.

    Where ``right_inverse`` gives several tensors they are ``original0``, ``original1`` and so on.
    Made by ``register_parametrization``. Semantics: torch's ParametrizationList.
    """

    def __init__(
        self, modules: Sequence[Module], original: Tensor, unsafe: bool = False
    ) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new: Any = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    new = module.right_inverse(new)
        self.is_tensor = isinstance(new, Tensor)
        if self.is_tensor:
            _check_alike("`right_inverse`", "`unsafe` or not", original, new, shape=False)
            if new is not original:
                original.data = new.data
            _register(self, "original", original)
            self.ntensors = 1
        elif isinstance(new, Sequence):
            for i, part in enumerate(new):
                _register(self, f"original{i}", _like(part, original))
            self.ntensors = len(new)
        else:
            raise error(
                ValueError,
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}.",
            )
        if not unsafe:
            _check_alike("A parametrization", "`unsafe` flag is enabled", original, self())

    def _originals(self) -> list[Tensor]:
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the tensor becomes ``value``."""
        found: Any = value
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise error(
                        RuntimeError,
                        f"parametrization {type(module).__name__} does not implement "
                        "right_inverse.",
                    )
                found = module.right_inverse(found)
            parts = [found] if self.is_tensor else list(found)
            if len(parts) != self.ntensors:
                raise error(
                    ValueError,
                    "'right_inverse' must return a sequence of tensors of length "
                    f"{self.ntensors}. Got a sequence of length {len(parts)}.",
                )
            for original, part in zip(self._originals(), parts, strict=True):
                _check_alike("`right_inverse`", "`unsafe` or not", original, part, shape=False)
                original.data = part.data

    def forward(self) -> Tensor:
        first, *rest = self
        x: Tensor = first(*self._originals())
        for module in rest:
            x = module(x)
        return x


def _like(part: Tensor, original: Tensor) -> Tensor:
    """A part as a Parameter, where the original is one."""
    if isinstance(original, Parameter):
        return Parameter(part, original.requires_grad)
    part.requires_grad_(original.requires_grad)
    return part


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _check_alike(who: str, unless: str, old: Tensor, new: Any, shape: bool = True) -> None:
    if not isinstance(new, Tensor):
        raise error(ValueError, f"{who} must return a tensor. Got {type(new).__name__}.")
    if new.dtype is not old.dtype:
        raise error(
            ValueError,
            f"{who} may not change the dtype of the tensor, unless {unless}, "
            f"got {new.dtype} for {old.dtype}",
        )
    if shape and new.shape != old.shape:
        raise error(
            ValueError,
            f"{who} may not change the shape of the tensor, unless {unless}, "
            f"got {tuple(new.shape)} for {tuple(old.shape)}",
        )


def register_parametrization(
    module: M, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> M:
    """Let a parameter (or buffer) be ``parametrization(original)`` from now on; returns the module.

    The original is ``module.parametrizations.<name>.original``. A parametrization may have
    ``right_inverse``, from a value to the original that gives it. ``unsafe`` lets it change dtype
    and shape.

    >>> from lucidlite import nn
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = nn.Linear(3, 3)
    >>> _ = nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True

    Semantics: torch.nn.utils.parametrize.register_parametrization.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        held: Any = module.parametrizations[tensor_name]
        if not unsafe:
            old = getattr(module, tensor_name)
            _check_alike(
                "A parametrization", "`unsafe` flag is enabled", old, parametrization(old)
            )
        held.append(parametrization)
        held.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        held = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            kind = type(module)
            module.__class__ = type(f"Parametrized{kind.__name__}", (kind,), {})
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _property(tensor_name))
        module.parametrizations[tensor_name] = held
    else:
        raise error(
            ValueError,
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'",
        )
    return module


def _property(name: str) -> property:
    def get(module: Any) -> Any:
        if not _depth:
            return module.parametrizations[name]()
        key = (id(module), name)
        if key not in _kept:
            _kept[key] = module.parametrizations[name]()
        return _kept[key]

    def set_(module: Any, value: Tensor) -> None:
        module.parametrizations[name].right_inverse(value)

    return property(get, set_)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module, or any, has a parametrization."""
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return bool(len(found)) if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: M, tensor_name: str, leave_parametrized: bool = True
) -> M:
    """Put a tensor back as a parameter or buffer: its value of now, or the original's.

    Semantics: torch.nn.utils.parametrize.remove_parametrizations.
    """
    if not is_parametrized(module, tensor_name):
        raise error(
            ValueError, f"Module {module} does not have a parametrization on {tensor_name}"
        )
    held: Any = module.parametrizations[tensor_name]
    value = getattr(module, tensor_name)
    if held.is_tensor:
        original = held.original
        if leave_parametrized:
            original.data = value.data
    elif leave_parametrized:
        original = Parameter(value) if value.requires_grad else value
    else:
        raise error(
            ValueError,
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors.",
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class as it was written."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)
