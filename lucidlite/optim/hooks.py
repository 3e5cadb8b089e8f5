"""Hooks of optimizers: functions called around steps, and around saving and loading of state."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from lucidlite.callsite import error
from lucidlite.hooks import HookTable, RemovableHandle, add_hook
from lucidlite.notes import watch
from lucidlite.training_hints import MOVED

# Around every step of every optimizer.
_global_pre_hooks: HookTable = OrderedDict()
_global_post_hooks: HookTable = OrderedDict()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``register_step_pre_hook`` on all optimizers, made already or not; before their own hooks.

    Semantics: torch.optim.optimizer.register_optimizer_step_pre_hook.
    """
    return add_hook(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``register_step_post_hook`` on all optimizers, made already or not; after their own hooks.

    Semantics: torch.optim.optimizer.register_optimizer_step_post_hook.
    """
    return add_hook(_global_post_hooks, hook)


def acting_hooks(optimizer: OptimizerHooks) -> bool:
    """Whether a step of this optimizer has hooks around it, apart from those that only look."""
    every = [*_global_pre_hooks.values(), *_global_post_hooks.values()]
    own = optimizer._step_pre_hooks or optimizer._step_post_hooks
    return bool(own) or not all(getattr(hook, "only_looks", False) for hook in every)


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
        for hook in [*_global_pre_hooks.values(), *self._step_pre_hooks.values()]:
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
        try:
            result = step(self, *args, **kwargs)
        except (AttributeError, TypeError, ValueError):  # as kernels put it
            refused = _elsewhere(self)
            if refused is None:
                raise
            raise refused from None
        for hook in [*self._step_post_hooks.values(), *_global_post_hooks.values()]:
            hook(self, args, kwargs)
        return result

    return hooked


def _elsewhere(optimizer: Any) -> RuntimeError | None:
    """What to say where the state stayed on the device that its parameter has left."""
    for parameter, state in optimizer.state.items():
        for name, held in state.items():
            backend = getattr(held, "backend", None)
            if name in optimizer._host_state or backend in (None, parameter.backend):
                continue
            return error(
                RuntimeError,
                "step: expected all tensors to be on the same device, got a parameter on "
                f"{parameter.device} and its {name} on {held.device}",
                MOVED,
            )
    return None
