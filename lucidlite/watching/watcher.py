"""watch: a training run looked at for mistakes that raise no error."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.engine_checks import register_start_hook
from lucidlite.grad_mode import grad_mode, no_grad
from lucidlite.hooks import RemovableHandle
from lucidlite.nn.module import Module
from lucidlite.notes import watch as noted
from lucidlite.optim import Optimizer
from lucidlite.optim.hooks import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from lucidlite.watching.graph import Graph
from lucidlite.watching.modes import tensors_of
from lucidlite.watching.rule import Rule
from lucidlite.watching.run import Call, Finding, Run, TrainingWarning
from lucidlite.watching.step import Step
from lucidlite.watching.table import RULES

__all__ = ["RULES", "Finding", "TrainingWarning", "Watch", "watch"]

_MOMENTS = ("forward", "layer", "backward", "before_step", "after_step")


def watch(
    model: Module,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    *,
    rules: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    every: int = 50,
    log: Callable[[TrainingWarning], Any] | None = None,
) -> Watch:
    """Warn, once for each rule and place, of training that goes wrong without an error.

    ``RULES`` has the rules by name; ``rules`` chooses some, ``skip`` leaves some out (ValueError
    for an unknown name). Optimizers are noticed by themselves when they step; giving them lets
    some rules speak sooner. A warning is a TrainingWarning at the user's line; ``log`` gets it
    instead, ``log=print`` say.

    The first 20 steps are looked at in full, then every ``every``-th; between these a step costs a
    few calls of Python. In a step that is looked at, the host waits for a GPU up to six times.
    Numbers, generators and the model stay as they are. Steps in a CUDA graph aren't seen.

    >>> import lucidlite
    >>> model = lucidlite.nn.Linear(4, 2)
    >>> optimizer = lucidlite.optim.SGD(model.parameters(), lr=0.1)
    >>> with lucidlite.watch(model, log=lambda warning: None) as watch:
    ...     for _ in range(3):
    ...         model(lucidlite.ones(1, 4)).sum().backward()
    ...         optimizer.step()
    >>> [finding.rule for finding in watch.found]
    ['zero-grad']
    """
    if not isinstance(model, Module):
        raise error(TypeError, f"watch: model must be a Module, got {type(model).__name__}")
    given = [] if optimizer is None else _listed(optimizer)
    chosen = list(RULES if rules is None else rules)
    unknown = [name for name in (*chosen, *skip) if name not in RULES]
    if unknown or isinstance(rules, str) or isinstance(skip, str):
        raise error(
            ValueError,
            f"watch: rules and skip must list names of {', '.join(RULES)}, "
            f"got {', '.join(unknown) or 'a str'}",
        )
    if every < 1:
        raise error(ValueError, f"watch: every must be 1 at least, got every={every}")
    run = Run(model, given, every, log)
    skipped = set(skip)
    return Watch(run, model, [RULES[name](run) for name in chosen if name not in skipped])


def _listed(optimizer: Any) -> list[Any]:
    listed = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
    for each in listed:
        if not isinstance(each, Optimizer):
            raise error(
                TypeError, f"watch: optimizer must be an Optimizer, got {type(each).__name__}"
            )
    return listed


class _Hook:
    """A hook of a module that isn't copied with it: a copy does nothing."""

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.function = function

    def __call__(self, *args: Any) -> None:
        if self.function is not None:
            self.function(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hook, ()


class Watch:
    """What ``watch`` returns: ``found`` lists the findings so far, ``remove()`` ends it.

    So does leaving ``with``. It also ends with the model; the handle need not be kept.
    """

    def __init__(self, run: Run, model: Module, rules: Sequence[Rule]) -> None:
        self._run = run
        self._rules = {
            moment: [rule for rule in rules if _overrides(rule, moment)] for moment in _MOMENTS
        }
        self._layers: list[RemovableHandle] = []
        self._step: Step | None = None
        before, after = _Hook(self._before_forward), _Hook(self._after_forward)
        begin = _Weakly(self._walk)
        stepping, stepped = _Weakly(self._before_step), _Weakly(self._after_step)
        self._handles = [
            model.register_forward_pre_hook(before, with_kwargs=True),
            model.register_forward_hook(after, always_call=True),
            register_start_hook(begin),
            register_optimizer_step_pre_hook(stepping),
            register_optimizer_step_post_hook(stepped),
        ]
        for handle in self._handles[2:]:
            weakref.finalize(self, handle.remove)

    @property
    def found(self) -> list[Finding]:
        """Findings: ``rule``, ``message`` and ``place`` (with ``filename`` and ``line``)."""
        return self._run.found

    def remove(self) -> None:
        """Stop watching, and leave nothing behind."""
        for handle in (*self._handles, *self._layers):
            handle.remove()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    # -- what happens ------------------------------------------------------------------------

    def _before_forward(self, module: Any, args: Any, kwargs: Any) -> None:
        run = self._run
        if noted.notes is not None or not self._mine(module) or self._layers:
            return
        call = Call(module.training, grad_mode.enabled, tensors_of(args, kwargs))
        self._tell("forward", call)
        if run.looking and call.training and call.grad and self._rules["layer"]:
            before = _Hook(self._before_layer)
            self._layers = [
                each.register_forward_pre_hook(before)
                for each in module.modules()
                if any(param is not None for param in each._parameters.values())
            ]

    def _after_forward(self, module: Any, args: Any, output: Any) -> None:  # noqa: ARG002
        while self._layers and self._mine(module):
            self._layers.pop().remove()

    def _mine(self, module: Any) -> bool:
        return module is self._run.model

    def _before_layer(self, module: Any, args: Any) -> None:
        if grad_mode.enabled:
            self._tell("layer", module, args)

    def _walk(self, op: str, tensors: Sequence[Any]) -> None:
        run = self._run
        if noted.notes is not None or not run.begin_walk() or op == "grad":
            return
        graph = Graph(tensors)
        if run.own(graph):
            self._tell("backward", graph)

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        run = self._run
        run.activity += 1
        if _replayed(optimizer):
            return
        if not run.owns(optimizer):
            run.foreign_steps += 1
        elif run.looking:
            self._step = Step(run, optimizer, args, kwargs)
            self._tell("before_step", self._step)

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        run = self._run
        if _replayed(optimizer) or not run.owns(optimizer):
            return
        if self._step is not None and self._step.optimizer is optimizer:
            self._tell("after_step", self._step)
        self._step = None
        run.end_step()

    def _tell(self, moment: str, *event: Any) -> None:
        with no_grad(), np.errstate(all="ignore"):
            for rule in list(self._rules[moment]):
                try:
                    getattr(rule, moment)(*event)
                except Exception as problem:  # a training must not end with its watch's mistake
                    for listed in self._rules.values():
                        if rule in listed:
                            listed.remove(rule)
                    what = f"{type(problem).__name__}: {problem}"
                    self._run.say(rule.name, f"this rule failed and is off, got {what}", None)
        self._run.speak()


def _overrides(rule: Rule, moment: str) -> bool:
    return getattr(type(rule), moment) is not getattr(Rule, moment)


def _replayed(optimizer: Any) -> bool:
    """Whether a step only notes or hands on numbers, for a CUDA graph that does the work."""
    if noted.notes is not None:
        return True
    groups = optimizer.param_groups
    first = next((param for group in groups for param in group["params"]), None)
    return first is not None and getattr(first.backend, "following", None) is not None


class _Weakly:
    """A method as a hook of a table that must not keep its object alive."""

    only_looks = True  # so it needn't be called for each launch of a CUDA graph

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method: Any = weakref.WeakMethod(method)

    def __call__(self, *args: Any) -> None:
        found = self._method()
        if found is not None:
            found(*args)
