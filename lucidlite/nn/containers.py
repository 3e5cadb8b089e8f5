"""Modules that hold modules: Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from lucidlite.callsite import error
from lucidlite.nn.module import Module, layout

if TYPE_CHECKING:
    from typing_extensions import Self

C = TypeVar("C", bound="_Indexed")


class _Indexed(Module):
    """What Sequential and ModuleList share: children in order, found by position."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return cast("Iterator[Module]", iter(self._modules.values()))

    def _part(self, names: list[str]) -> Any:
        raise NotImplementedError

    @overload
    def __getitem__(self, idx: int) -> Module: ...
    @overload
    def __getitem__(self: C, idx: slice) -> C: ...
    def __getitem__(self, idx: Any) -> Any:
        names = self._names(idx)
        return self._part(names) if isinstance(idx, slice) else self._modules[names[0]]

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, self._names(operator.index(idx))[0], module)

    def __delitem__(self, idx: int | slice) -> None:
        for name in self._names(idx):
            del self._modules[name]
        self._number(list(self))

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end, in order; returns the container."""
        if not isinstance(modules, Iterable):
            raise error(
                TypeError,
                f"{self._get_name()}.extend should be called with an iterable, "
                f"but got {type(modules).__name__}",
            )
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before position ``index``; returns the container."""
        if not isinstance(module, Module):
            raise error(TypeError, f"insert: expected a Module, got {type(module).__name__}")
        if not -len(self) <= index <= len(self):
            raise error(IndexError, f"Index out of range: {index}")
        modules = list(self)
        modules.insert(index, module)
        self._number(modules)
        return self

    @overload
    def pop(self, key: int) -> Module: ...
    @overload
    def pop(self: C, key: slice) -> C: ...
    def pop(self, key: Any) -> Any:
        """Take out a module, or the modules of a slice, and return it."""
        taken = self[key]
        del self[key]
        return taken

    def _names(self, idx: int | slice) -> list[str]:
        names = list(self._modules)
        if isinstance(idx, slice):
            return names[idx]
        idx = operator.index(idx)
        if not -len(names) <= idx < len(names):
            raise error(IndexError, f"index {idx} is out of range")
        return [names[idx]]

    def _number(self, modules: list[Module]) -> None:
        self._modules = {str(i): module for i, module in enumerate(modules)}


class Sequential(_Indexed):
    """Modules called one after the other, each on what the one before returned.

    Takes modules, named '0', '1', ..., or one OrderedDict of named modules. Indexing, slicing,
    ``append``, ``insert``, ``+`` and ``*`` work as on a list (``*`` repeats the same modules).

    >>> import lucidlite
    >>> from lucidlite import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> model(lucidlite.ones(3, 4)).shape, len(model[:2])
    ((3, 2), 2)

    Semantics: torch.nn.Sequential.
    """

    @overload
    def __init__(self, *args: Module) -> None: ...
    @overload
    def __init__(self, arg: OrderedDict[str, Module], /) -> None: ...
    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def _part(self, names: list[str]) -> Sequential:
        return self.__class__(OrderedDict((name, getattr(self, name)) for name in names))

    def __add__(self, other: Sequential) -> Sequential:
        self._check_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        self._check_sequential(other)
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        self._check_factor(times)
        return Sequential(*list(self) * times)

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        self._check_factor(times)
        return self.extend(list(self) * (times - 1))

    def _check_sequential(self, other: object) -> None:
        if not isinstance(other, Sequential):
            raise error(
                ValueError,
                "add operator supports only objects of Sequential class, "
                f"but {type(other)} is given",
            )

    def _check_factor(self, times: object) -> None:
        if not isinstance(times, int):
            raise error(
                TypeError, f"unsupported operand type(s) for *: {type(self)} and {type(times)}"
            )
        if times <= 0:
            raise error(ValueError, f"Non-positive multiplication factor {times} for {type(self)}")


class ModuleList(_Indexed):
    """A list of modules whose parameters belong to the model; it can't be called.

    >>> from lucidlite import nn
    >>> nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )

    Semantics: torch.nn.ModuleList.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _part(self, names: list[str]) -> ModuleList:
        return self.__class__(cast("Module", self._modules[name]) for name in names)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __repr__(self) -> str:
        runs: list[tuple[int, int, str]] = []  # first and last position, and what both print
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        lines = (
            f"({first}): {text}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in runs
        )
        return layout(self._get_name(), [], lines)


class ModuleDict(Module):
    """A dictionary of modules whose parameters belong to the model; it can't be called.

    Takes a mapping or an iterable of (name, module) pairs and keeps the order of insertion.

    >>> from lucidlite import nn
    >>> choices = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh()})
    >>> list(choices), choices["relu"]
    (['relu', 'tanh'], ReLU())

    Semantics: torch.nn.ModuleDict.
    """

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return cast("Module", self._modules[key])

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Take out the module under ``key`` and return it."""
        module = self[key]
        del self[key]
        return module

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return cast("ValuesView[Module]", self._modules.values())

    def items(self) -> ItemsView[str, Module]:
        """The (name, module) pairs."""
        return cast("ItemsView[str, Module]", self._modules.items())

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add the modules of a mapping or of (name, module) pairs, replacing equal names."""
        if not isinstance(modules, Iterable):
            raise error(
                TypeError,
                "ModuleDict.update should be called with an iterable of key/value pairs, "
                f"but got {type(modules).__name__}",
            )
        if isinstance(modules, (Mapping, ModuleDict)):
            modules = modules.items()
        for position, pair in enumerate(modules):
            if not isinstance(pair, Iterable):
                raise error(
                    TypeError,
                    f"ModuleDict update sequence element #{position} should be Iterable; "
                    f"is {type(pair).__name__}",
                )
            pair = tuple(pair)
            if len(pair) != 2:
                raise error(
                    ValueError,
                    f"ModuleDict update sequence element #{position} has length {len(pair)}; "
                    "2 is required",
                )
            self[pair[0]] = pair[1]
