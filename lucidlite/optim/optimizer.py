"""Optimizer: parameter groups, state and checkpoints, as PyTorch has them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from itertools import chain
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.creation import as_tensor
from lucidlite.optim.hooks import (
    OptimizerHooks,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
    with_hooks,
)
from lucidlite.optim.options import refuse_unsupported
from lucidlite.tensor import Tensor
from lucidlite.training_hints import NO_LEAF, NO_PARAMETERS

__all__ = [
    "Optimizer",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "required",
]

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class _Required:
    """Marks a default that every parameter group has to give itself."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer(OptimizerHooks):
    """Base class: holds parameter groups and per-parameter state; subclasses define ``step``.

    params: an iterable of leaf Tensors, of (name, Tensor) pairs, or of dicts with a "params" entry
    and options of their own. ``defaults``: the options a group doesn't give. ``state`` maps a
    parameter to a dict of Tensors, ``param_groups`` is a list of dicts. Raises ValueError for an
    empty list, a non-leaf or a parameter in two groups, TypeError for anything but Tensors.

    A subclass written for PyTorch works as it is: it calls ``super().__init__(params, defaults)``
    and defines ``step(self, closure=None)``.

    >>> import lucidlite
    >>> class SignSGD(lucidlite.optim.Optimizer):
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.data -= group["lr"] * p.grad.sign()
    >>> w = lucidlite.ones(2, requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SignSGD([w], {"lr": 0.5}).step(); w.tolist()
    [0.5, 0.5]

    Semantics: torch.optim.Optimizer.
    """

    # Whether ``step`` leaves its arithmetic to the backend: its numbers can change in a CUDA graph.
    _by_backend = False
    # State that is read every step, so it stays on the host.
    _host_state: frozenset[str] = frozenset({"step"})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls._by_backend = cls.__dict__.get("_by_backend", False)
            cls.step = with_hooks(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._init_hooks()
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise error(
                TypeError,
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"got {type(params).__name__}",
                "a list: [x]" if isinstance(params, Tensor) else "model.parameters()",
            )
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups: list[Any] = list(params)
        if not groups:
            raise error(ValueError, "optimizer got an empty parameter list", NO_PARAMETERS)
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # -- stepping ----------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # noqa: ARG002
        """Update the parameters from their gradients; returns what ``closure`` returns.

        ``closure`` recomputes the loss and its gradients before the update.
        """
        raise error(NotImplementedError, f"{type(self).__name__}: define step(closure=None)")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every parameter's gradient, or fill it with zeros where ``set_to_none`` is False.

        A parameter without a gradient is skipped by ``step``; one with zeros still decays and
        keeps its momentum.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                elif p.grad.grad_fn is None and not p.grad.requires_grad:
                    p.grad.zero_()
                else:
                    # Left by create_graph: the graph may still need these values.
                    p.grad = (p.grad.detach() * 0).detach()

    # -- groups ------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own: a dict with "params" and any option.

        Raises TypeError for sets and non-Tensors, ValueError for non-leaves, for parameters
        another group has, and where only some parameters are named.
        """
        if not isinstance(param_group, dict):
            raise error(TypeError, f"param_group must be a dict, got {type(param_group).__name__}")
        params, names = _split_names(param_group["params"])
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for param in params:
            if not isinstance(param, Tensor):
                raise error(
                    TypeError,
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{type(param).__name__}",
                    "model.parameters()" if hasattr(param, "parameters") else "",
                )
            if not (param.is_leaf or param.retains_grad):
                raise error(
                    ValueError,
                    f"can't optimize a non-leaf Tensor, got shape={tuple(param.shape)}",
                    NO_LEAF,
                )
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise error(
                    ValueError,
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}",
                )
            param_group.setdefault(name, default)
        refuse_unsupported(type(self).__name__, param_group)
        own = {id(p) for p in params}
        if len(own) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "each copy is stepped on its own",
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in group) != ("param_names" in param_group):
                kind = "with" if "param_names" in param_group else "without"
                raise error(
                    ValueError,
                    "all optimizer param groups should be with/without names. "
                    f"cannot add param group {kind} names to the optimizer",
                )
            if not own.isdisjoint(id(p) for p in group["params"]):
                raise error(ValueError, "some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    # -- checkpoints -------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state and the groups, with parameters replaced by their numbers (groups in order).

        Layout, as PyTorch's: {"state": {number: {name: Tensor}}, "param_groups": [{..., "params":
        [numbers]}]}. The Tensors are the live ones: the next step writes to them.
        """
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        start = 0
        for group in self.param_groups:
            params = group["params"]
            for number, param in enumerate(params, start):
                numbers.setdefault(id(param), number)
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in params]
            groups.append(packed)
            start += len(params)
        state = {
            numbers[id(key)] if isinstance(key, Tensor) else key: value
            for key, value in self.state.items()
        }
        packed = {"state": state, "param_groups": groups}
        whole: dict[str, Any] = self._through(self._state_dict_post_hooks, packed)
        return whole

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a ``state_dict()``, by position: groups and sizes must match (ValueError).

        State arrives as copies in its parameter's dtype and on its device ("step" stays as it is);
        anything NumPy can read as an array becomes a Tensor, so PyTorch's state loads too.
        """
        state_dict = self._through(self._load_state_dict_pre_hooks, dict(state_dict))
        groups = self.param_groups
        saved = deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise error(
                ValueError,
                "loaded state dict has a different number of parameter groups, "
                f"got {len(saved)}, expected {len(groups)}",
            )
        sizes = [(len(g["params"]), len(s["params"])) for g, s in zip(groups, saved, strict=True)]
        for number, (own, other) in enumerate(sizes):
            if own != other:
                raise error(
                    ValueError,
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group, got {other} parameters in group {number}, expected {own}",
                )
        by_number = dict(
            zip(
                chain.from_iterable(g["params"] for g in saved),
                chain.from_iterable(g["params"] for g in groups),
                strict=True,
            )
        )
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in by_number:
                state[by_number[key]] = self._adopt(by_number[key], value)
            else:
                state[key] = value
        for group, new in zip(groups, saved, strict=True):
            refuse_unsupported(type(self).__name__, new)
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in list(self._load_state_dict_post_hooks.values()):
            hook(self)

    def _adopt(self, param: Tensor, value: Any, key: Any = None) -> Any:
        """A copy of loaded state as ``param`` needs it."""
        if isinstance(value, dict):
            return {k: self._adopt(param, v, k) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self._adopt(param, v) for v in value])
        if isinstance(value, Tensor):
            value = value.detach().clone()
        elif hasattr(value, "__array__") and not isinstance(value, np.generic):
            value = as_tensor(np.asarray(value).copy())
        else:
            return deepcopy(value)
        if key in self._host_state:
            value = value.to(device="cpu")
            # PyTorch gives all but the step the parameter's dtype; a narrower one loses digits.
            widened = key != "step" and param.dtype.itemsize > value.dtype.itemsize
            return value.to(dtype=param.dtype) if widened else value
        if param.dtype.is_floating_point:
            return value.to(device=param.device, dtype=param.dtype)
        return value.to(device=param.device)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_step_pre_hooks" not in self.__dict__:
            self._init_hooks()
        for group in self.param_groups:
            # Checkpoints from before an option existed.
            for name, default in self.defaults.items():
                group.setdefault(name, default)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for number, group in enumerate(self.param_groups):
            options = [f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params"]
            text += f"\nParameter Group {number}\n{''.join(options)}"
        return text + ")"


def _split_names(params: Any) -> tuple[list[Any], list[str]]:
    if isinstance(params, Tensor):
        return [params], []
    if isinstance(params, set | frozenset):
        raise error(
            TypeError,
            "optimizer parameters need to be organized in ordered collections, but the ordering of "
            "tensors in sets will change between runs. Please use a list instead.",
        )
    items = list(params)
    names = [item[0] for item in items if isinstance(item, tuple)]
    if names and len(names) != len(items):
        raise error(
            ValueError,
            "all optimizer params should be with/without names. Some param names are missing, "
            f"got {len(names)} names for {len(items)} params",
        )
    return [item[1] if isinstance(item, tuple) else item for item in items], names
