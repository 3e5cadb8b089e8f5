"""ModuleState: a module's values as a flat dictionary of tensors, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.hooks import HookTable, RemovableHandle, add_hook
from lucidlite.nn.convert import ModuleConversion
from lucidlite.nn.parameter import Parameter
from lucidlite.tensor import Tensor
from lucidlite.training_hints import for_no_state, for_state_dict

EXTRA_STATE = "_extra_state"


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class _IncompatibleKeys(_Keys):
    """What ``load_state_dict`` found: ``missing_keys`` and ``unexpected_keys``."""

    __slots__ = ()

    def __repr__(self) -> str:
        if self.missing_keys or self.unexpected_keys:
            return super().__repr__()
        return "<All keys matched successfully>"

    __str__ = __repr__


class ModuleState(ModuleConversion):
    """``state_dict`` and ``load_state_dict``, with the methods and hooks that take part."""

    # The layout of a class's own entries; a class that changes them raises it and reads older
    # ones in its _load_from_state_dict.
    _version: int = 1

    _state_dict_hooks: HookTable
    _state_dict_pre_hooks: HookTable
    _load_state_dict_pre_hooks: HookTable
    _load_state_dict_post_hooks: HookTable

    def get_extra_state(self) -> Any:
        """Override, together with ``set_extra_state``, to store more than tensors."""
        raise error(RuntimeError, "get_extra_state: only a class that overrides it has extra state")

    def set_extra_state(self, state: Any) -> None:
        """Override to take back what ``get_extra_state`` returned."""
        raise error(
            RuntimeError,
            "set_extra_state: only a class that overrides it has extra state, "
            f"got a {type(state).__name__}",
        )

    def _overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(ModuleState, method)

    # -- saving ------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers by dotted name, in order of registration.

        The tensors are detached but share memory with the module; ``keep_vars`` gives the
        parameters themselves. ``destination`` is a mapping to add to.

        >>> import lucidlite.nn as nn
        >>> list(nn.Sequential(nn.Linear(2, 1)).state_dict())
        ['0.weight', '0.bias']
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # each module's _version, for those who read it
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            if hook(self, destination, prefix, metadata) is not None:
                raise error(RuntimeError, "state_dict post-hook must return None")
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Add this module's own entries, not its children's."""
        for name, tensor in self._own_state().items():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if self._overrides("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _own_state(self) -> dict[str, Tensor]:
        own: dict[str, Tensor] = {n: p for n, p in self._parameters.items() if p is not None}
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                own[name] = buffer
        return own

    # -- loading -----------------------------------------------------------------------------

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy the tensors of a ``state_dict`` into the parameters and buffers of these names.

        One RuntimeError lists every tensor that doesn't fit and, with ``strict``, every missing and
        unexpected name; what fits is loaded all the same. ``assign`` takes the tensors over
        instead of copying (an optimizer made before then still holds the old parameters).
        Returns the missing and the unexpected names.

        >>> import lucidlite.nn as nn
        >>> nn.Linear(2, 1).load_state_dict(nn.Linear(2, 1).state_dict())
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise error(
                TypeError,
                f"load_state_dict: expected state_dict to be dict-like, got {type(state_dict)}",
                for_no_state(state_dict),
            )
        metadata = getattr(state_dict, "_metadata", None) or {}
        keys = _IncompatibleKeys([], [])
        problems: list[str] = []
        # A copy: hooks and overrides may edit it.
        self._load_tree(dict(state_dict), "", metadata, assign, keys, problems)
        if strict:
            for word, names in (("Unexpected", keys[1]), ("Missing", keys[0])):
                if names:
                    listed = ", ".join(f'"{name}"' for name in names)
                    problems.insert(0, f"{word} key(s) in state_dict: {listed}. ")
        if problems:
            lines = "\n\t".join(problems)
            raise error(
                RuntimeError,
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}",
                for_state_dict(keys[0], keys[1], state_dict),
            )
        return keys

    def _load_tree(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        metadata: Mapping[str, dict[str, Any]],
        assign: bool,
        keys: _IncompatibleKeys,
        problems: list[str],
    ) -> None:
        local = dict(metadata.get(prefix[:-1], {}))
        if assign:
            local["assign_to_params_buffers"] = True
        self._load_from_state_dict(state_dict, prefix, local, True, *keys, problems)
        for name, child in self._modules.items():
            if child is not None:
                start = f"{prefix}{name}."
                inside = {k: v for k, v in state_dict.items() if k.startswith(start)}
                child._load_tree(inside, start, metadata, assign, keys, problems)
        for hook in self._load_state_dict_post_hooks.values():
            if hook(self, keys) is not None:
                raise error(
                    RuntimeError,
                    "load_state_dict post-hook must return None; change the lists of keys in place",
                )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own entries, not its children's, adding to the three lists."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(
                self, state_dict, prefix, local_metadata, strict,
                missing_keys, unexpected_keys, error_msgs,
            )  # fmt: skip
        own = self._own_state()
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                problem = self._load_tensor(name, target, key, state_dict[key], assign)
                if problem:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(key)
        extra = prefix + EXTRA_STATE
        if self._overrides("set_extra_state"):
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra:
                    first, dot, _ = key[len(prefix) :].partition(".")
                    if first not in (self._modules if dot else own):
                        unexpected_keys.append(key)

    def _load_tensor(self, name: str, target: Tensor, key: str, value: Any, assign: bool) -> str:
        """Load one tensor; returns what went wrong, '' where nothing did."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected a Tensor from checkpoint '
                f"but received {type(value)}"
            )
        if target.ndim == 0 and tuple(value.shape) == (1,):
            value = value[0]
        if value.shape != target.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {tuple(value.shape)} from "
                f"checkpoint, the shape in current model is {tuple(target.shape)}."
            )
        try:
            with no_grad():
                if not assign:
                    target.copy_(value)
                elif isinstance(target, Parameter):
                    if not isinstance(value, Parameter):
                        value = Parameter(value, requires_grad=target.requires_grad)
                    setattr(self, name, value.requires_grad_(target.requires_grad))
                else:
                    setattr(self, name, value)
        except Exception as problem:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are '
                f"{tuple(target.shape)} and whose dimensions in the checkpoint are "
                f"{tuple(value.shape)}, an exception occurred : {problem.args}."
            )
        return ""

    # -- hooks -------------------------------------------------------------------------------

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before this module's entries are collected."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, metadata)`` after; it edits in place."""
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, *arguments of _load_from_state_dict)`` before it loads."""
        return add_hook(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after this module and its children loaded."""
        return add_hook(self._load_state_dict_post_hooks, hook)
