"""Module: the base class of layers and models."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from lucidlite.callsite import error, pop_module, push_module
from lucidlite.nn.brief import brief
from lucidlite.nn.hooks import ModuleHooks
from lucidlite.nn.html import module_html
from lucidlite.nn.parameter import Buffer, Parameter
from lucidlite.nn.tree import ModuleTree
from lucidlite.tensor import Tensor
from lucidlite.training_hints import NO_FORWARD, NO_SUPER, ONLY_HOLDS, for_no_module

TABLES = ("_parameters", "_buffers", "_modules")


def _forward_unimplemented(self: Module, *input: Any) -> None:
    raise error(
        NotImplementedError,
        f'Module [{type(self).__name__}] is missing the required "forward" function, '
        f"got {len(input)} inputs",
        ONLY_HOLDS if hasattr(self, "__len__") else NO_FORWARD,
    )


class Module(ModuleHooks):
    """The base class of layers and models: subclass it, assign parts, define ``forward``.

    Parameters, Buffers and Modules assigned as attributes are registered under the attribute's
    name; ``super().__init__()`` must come before. Calling the module runs ``forward`` and hooks.

    >>> import lucidlite
    >>> from lucidlite import nn
    >>> class Half(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = nn.Parameter(lucidlite.tensor(0.5))
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> float(Half()(lucidlite.tensor(3.0))), list(Half().state_dict())
    (1.5, ['scale'])

    Semantics: torch.nn.Module.
    """

    # A value, not a method: subclasses then choose their own signature freely.
    forward: Callable[..., Any] = _forward_unimplemented

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _non_persistent_buffers_set=set(),
            _forward_pre_hooks=OrderedDict(),
            _forward_pre_hooks_with_kwargs=OrderedDict(),
            _forward_hooks=OrderedDict(),
            _forward_hooks_with_kwargs=OrderedDict(),
            _forward_hooks_always_called=OrderedDict(),
            _backward_pre_hooks=OrderedDict(),
            _backward_hooks=OrderedDict(),
            _state_dict_hooks=OrderedDict(),
            _state_dict_pre_hooks=OrderedDict(),
            _load_state_dict_pre_hooks=OrderedDict(),
            _load_state_dict_post_hooks=OrderedDict(),
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = push_module(self)
        try:
            if (
                self._forward_hooks
                or self._forward_pre_hooks
                or self._backward_hooks
                or self._backward_pre_hooks
            ):
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        finally:
            pop_module(token)

    # -- registration ------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; None reserves the name (a layer without bias)."""
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise error(
                TypeError,
                f"cannot assign '{_type_name(param)}' object to parameter '{name}' "
                "(nn.Parameter or None required)",
            )
        if param is not None and param.grad_fn is not None:
            raise error(
                ValueError,
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                f"created explicitly. To express '{name}' as a function of another Tensor, compute "
                "the value in the forward() method.",
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter, such as a running mean.

        A buffer moves with the module; only a ``persistent`` one is in its state_dict.
        """
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise error(
                TypeError,
                f"cannot assign '{_type_name(tensor)}' object to buffer '{name}' "
                "(Tensor or None required)",
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child under ``name``, as assigning an attribute does."""
        if module is not None and not isinstance(module, Module):
            rule = f"{_type_name(module)} is not a Module subclass"
            raise error(TypeError, rule, for_no_module(module))
        self._check_name("module", name, "_modules")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as ``add_module``."""
        self.add_module(name, module)

    def _check_name(self, kind: str, name: str, table: str) -> None:
        if table not in self.__dict__:
            rule = f"cannot assign {kind} before Module.__init__() call"
            raise error(AttributeError, rule, NO_SUPER)
        if not isinstance(name, str):
            raise error(TypeError, f"{kind} name should be a string. Got {_type_name(name)}")
        if "." in name:
            raise error(KeyError, f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise error(KeyError, f'{kind} name can\'t be empty string ""')
        if name not in self.__dict__[table] and hasattr(self, name):
            raise error(KeyError, f"attribute '{name}' already exists")

    # -- attributes --------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        tables = self.__dict__
        if "_parameters" in tables:
            if name in tables["_parameters"]:
                return tables["_parameters"][name]
            if name in tables["_buffers"]:
                return tables["_buffers"][name]
            if name in tables["_modules"]:
                return tables["_modules"][name]
        if hasattr(type(self), name):
            # A property failed with an AttributeError of its own: let that one be seen.
            return object.__getattribute__(self, name)
        # Plain, without the user's line: hasattr() and copy ask often and discard the answer.
        hint = "" if "_parameters" in tables else " (super().__init__() has not been called)"
        text = f"'{type(self).__name__}' object has no attribute '{name}'{hint}"
        raise AttributeError(text, name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        if "_parameters" not in tables:
            kinds = ((Parameter, "parameters"), (ModuleTree, "module"), (Buffer, "buffer"))
            for kind, word in kinds:
                if isinstance(value, kind):
                    rule = f"cannot assign {word} before Module.__init__() call"
                    raise error(AttributeError, rule, NO_SUPER)
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._vacate(name, "_parameters")
            self.register_parameter(name, value)
        elif name in self._parameters:
            if value is not None:
                raise self._mismatch(value, "parameter", name, "nn.Parameter or None")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._vacate(name, "_modules")
            self._modules[name] = value
        elif name in self._modules:
            if value is not None:
                raise self._mismatch(value, "child module", name, "nn.Module or None")
            self._modules[name] = value
        elif isinstance(value, Buffer) or name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise self._mismatch(value, "buffer", name, "nn.Buffer, Tensor or None")
            persistent = name not in self._non_persistent_buffers_set
            if isinstance(value, Buffer):
                persistent = value.persistent
            self.register_buffer(name, value, persistent)
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if not any(name in self.__dict__.get(table, ()) for table in TABLES):
            object.__delattr__(self, name)
            return
        for table in TABLES:
            self.__dict__[table].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __dir__(self) -> list[str]:
        names: set[str] = {*dir(type(self)), *self.__dict__}
        for table in TABLES:
            names.update(self.__dict__.get(table, ()))
        return sorted(name for name in names if not name[:1].isdigit())

    def _vacate(self, name: str, table: str) -> None:
        """Let go of ``name`` everywhere but in ``table``."""
        self.__dict__.pop(name, None)
        for other in TABLES:
            if other != table:
                self.__dict__[other].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def _mismatch(self, value: Any, kind: str, name: str, expected: str) -> TypeError:
        text = f"cannot assign '{_type_name(value)}' as {kind} '{name}' ({expected} expected)"
        return error(TypeError, text)

    # -- printing ----------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def _brief(self) -> str:
        """What an error calls this module: 'Linear(256 -> 10)'."""
        return brief(self)

    def extra_repr(self) -> str:
        """Override to print a layer's settings; several lines are printed one below the other."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        settings = extra.split("\n") if extra else []
        children = (f"({name}): {module!r}" for name, module in self._modules.items())
        return layout(self._get_name(), settings, children)

    def _repr_html_(self) -> str:
        return module_html(self)


def layout(name: str, settings: list[str], children: Iterable[str]) -> str:
    """A module's printed form: settings and children indented, or one line without children."""
    lines = [*settings, *(indent(child) for child in children)]
    if not lines:
        return f"{name}()"
    if len(lines) == len(settings) == 1:
        return f"{name}({lines[0]})"
    return "\n  ".join([f"{name}(", *lines]) + "\n)"


def indent(text: str) -> str:
    """``text`` with all lines but the first two columns to the right; blank lines stay empty."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(f"  {line}" if line.strip() else "" for line in rest)])


def _type_name(value: Any) -> str:
    """The name of a value's class, or of a class, with its module unless built in."""
    kind = value if isinstance(value, type) else type(value)
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return home + kind.__qualname__
