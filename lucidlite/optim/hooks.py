"""Hooks of optimizers: functions called around steps, and around saving and loading of state."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from lucidlite.callsite import error
from lucidlite.hooks import HookTable, RemovableHandle, add_hook
from lucidlite.notes import watch


class OptimizerHooks:
    """The tables of hooks and what registers them; ``with_hooks`` calls those around a step."""

    def _init_hooks(self) -> None:
        self._step_pre_hooks: HookTable = OrderedDict()
        self._step_post_hooks: HookTable = OrderedDict()
        self._state_dict_pre_hooks: HookTable = OrderedDict()
        self._state_dict_post_hooks: HookTable = OrderedDict()
        self._load_state_dict_pre_hooks: HookTable = OrderedDict()
        self._load_state_dict_post_hooks: HookTable = OrderedDict()
        # Set by every step; lr_scheduler warns when its own first step came before.
        self._opt_called = False

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return both anew."""
        return add_hook(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return add_hook(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` before each ``state_dict``; first of all with ``prepend``."""
        return add_hook(self._state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after it; it may return another one."""
        return add_hook(self._state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before each load; it may return another one."""
        return add_hook(self._load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after each ``load_state_dict``."""
        return add_hook(self._load_state_dict_post_hooks, hook, prepend)

    def _through(self, hooks: HookTable, state_dict: Any) -> Any:
        """What hooks that may return another state dict make of this one."""
        for hook in list(hooks.values()):
            new = hook(self, state_dict)
            state_dict = state_dict if new is None else new
        return state_dict


def with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with its hooks around it."""

    @functools.wraps(step)
    def hooked(self: OptimizerHooks, *args: Any, **kwargs: Any) -> Any:
        for hook in list(self._step_pre_hooks.values()):
            new = hook(self, args, kwargs)
            if new is not None:
                if not (isinstance(new, tuple) and len(new) == 2):
                    raise error(
                        RuntimeError,
                        "step: a pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"got {new!r}",
                    )
                args, kwargs = new
        self._opt_called = True
        if watch.notes is not None:
            watch.notes.optimizers.append(self)
        result = step(self, *args, **kwargs)
        for hook in list(self._step_post_hooks.values()):
            hook(self, args, kwargs)
        return result

    return hooked
