"""ModuleTree: what a module is made of, and the walks over it.

A module holds its parameters, buffers and child modules in three tables, in order of registration.
Each file adds one duty: ModuleTree (here), ModuleConversion (convert.py), ModuleState (state.py),
ModuleHooks (hooks.py), and Module (module.py), which users subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.nn.parameter import Parameter
from lucidlite.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

    from lucidlite.nn.module import Module

T = TypeVar("T")


class ModuleTree:
    """Parameters, buffers and children of a module: finding them and walking over them."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    # -- walks -------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Every module of the tree with its dotted name, this one first under ``prefix``.

        ``memo`` collects the modules already seen; with ``remove_duplicate`` a module that is
        reachable by two names comes once.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, cast("Module", self)
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Every module of the tree, this one first."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children with their names, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        for _, module in self.named_children():
            yield module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names, in order of registration; shared ones once.

        >>> import lucidlite.nn as nn
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
        >>> [name for name, parameter in model.named_parameters()]
        ['0.weight', '0.bias', '1.weight']
        """
        owners = self._owners(prefix, recurse, remove_duplicate)
        return _members(((p, m._parameters) for p, m in owners), remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, as an optimizer takes them."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers (running statistics and the like) with their dotted names."""
        owners = self._owners(prefix, recurse, remove_duplicate)
        return _members(((p, m._buffers) for p, m in owners), remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _owners(
        self, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterable[tuple[str, Module]]:
        if not recurse:
            return [(prefix, cast("Module", self))]
        return self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)

    # -- by name -----------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted name, this one for ''; AttributeError where there is none."""
        module = self
        for name in target.split(".") if target else ():
            child = _attribute(module, name)
            if not isinstance(child, ModuleTree):
                raise error(AttributeError, f"`{name}` is not an nn.Module")
            module = child
        return cast("Module", module)

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted name; with ``strict`` only where one is already."""
        if not target:
            raise error(ValueError, "Cannot set the submodule without a target name!")
        if not isinstance(module, ModuleTree):
            raise error(ValueError, f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        taken = strict or hasattr(parent, name)
        if taken and not isinstance(_attribute(parent, name), ModuleTree):
            raise error(AttributeError, f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted name; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        parameter = _attribute(self.get_submodule(path), name)
        if not isinstance(parameter, Parameter):
            raise error(AttributeError, f"`{name}` is not an nn.Parameter")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted name; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        buffer = _attribute(module, name)
        if name not in module._buffers:
            raise error(AttributeError, f"`{name}` is not a buffer")
        return cast("Tensor", buffer)

    # -- mode and gradients ------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call ``fn`` on every module, children first; returns the module."""
        for module in self.children():
            module.apply(fn)
        fn(cast("Module", self))
        return self

    def train(self, mode: bool = True) -> Self:
        """Put the tree in training mode (or, with False, in evaluation mode); returns it."""
        if not isinstance(mode, bool):
            raise error(ValueError, f"train: training mode is expected to be boolean, got {mode=}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` of every parameter; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every parameter's gradient, or fill it with zeros in place."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                if parameter.grad.requires_grad:
                    parameter.grad = parameter.grad.detach()
                with no_grad():
                    parameter.grad.zero_()


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _members(
    tables: Iterable[tuple[str, dict[str, T | None]]], remove_duplicate: bool
) -> Iterator[tuple[str, T]]:
    seen: set[int] = set()
    for prefix, table in tables:
        for name, member in table.items():
            if member is None or id(member) in seen:
                continue
            if remove_duplicate:
                seen.add(id(member))
            yield _join(prefix, name), member


def _attribute(module: ModuleTree, name: str) -> Any:
    if not hasattr(module, name):
        raise error(AttributeError, f"{type(module).__name__} has no attribute `{name}`")
    return getattr(module, name)
