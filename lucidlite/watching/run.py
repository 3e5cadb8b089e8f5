"""What a watch knows of its model's run so far, and how it speaks up."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lucidlite.callsite import ModuleStack, Site, placed
from lucidlite.nn.module import Module
from lucidlite.tape import Node
from lucidlite.tensor import Tensor
from lucidlite.watching.graph import Graph, modules

FIRST = 20  # steps that are looked at one by one


class TrainingWarning(UserWarning):
    """Something that trains without an error, and not as it should."""


class Finding(NamedTuple):
    """``rule`` is its name, ``message`` the whole text, ``place`` the line it is about."""

    rule: str
    message: str
    place: Site | None


class Call(NamedTuple):
    """A forward of the whole model: its mode, whether gradients are recorded, its tensors."""

    training: bool
    grad: bool
    inputs: tuple[Tensor, ...]


class Run:
    """The counts that rules share. ``looking`` is whether this step is looked at in full."""

    def __init__(
        self, model: Module, given: Sequence[Any], every: int, log: Callable[[Any], Any] | None
    ) -> None:
        self._model = weakref.ref(model)
        self.given = weakref.WeakSet(given)
        self.optimizers: weakref.WeakSet[Any] = weakref.WeakSet(given)
        self._others: weakref.WeakSet[Any] = weakref.WeakSet()
        self._every, self._log = every, log
        self.found: list[Finding] = []
        self._unsaid: list[Finding] = []
        self.steps = 0  # of optimizers that have parameters of the model
        self.foreign_steps = 0  # of others
        self.activity = 0  # steps and walks, whosever
        self.looking = True
        self.walks = 0  # since the last step
        self._names: dict[int, str] | None = None

    @property
    def model(self) -> Module | None:
        return self._model()

    # -- whose is it -------------------------------------------------------------------------

    def parameters(self) -> list[tuple[str, Tensor]]:
        """The model's parameters that are trained, by name."""
        model = self.model
        if model is None:
            return []
        return [(name, p) for name, p in model.named_parameters() if p.requires_grad]

    def names(self) -> dict[int, str]:
        """The parameters' names by id, as of this step."""
        if self._names is None:
            self._names = {id(param): name for name, param in self.parameters()}
        return self._names

    def owns(self, optimizer: Any) -> bool:
        """Whether an optimizer has parameters of the model."""
        if optimizer not in self.optimizers:
            if not self.looking and optimizer in self._others:
                return False
            names = self.names()
            held = (p for group in optimizer.param_groups for p in group["params"])
            if not any(id(param) in names for param in held):
                self._others.add(optimizer)
                return False
            self.optimizers.add(optimizer)
        return True

    def own(self, graph: Graph) -> list[tuple[str, Tensor]]:
        """The model's parameters that a loss depends on, in the order of their use."""
        names = self.names()
        return [(names[id(leaf)], leaf) for leaf in graph.leaves if id(leaf) in names]

    def inside(self, node: Node) -> bool:
        """Whether an operation was recorded in a call of the model."""
        model = self.model
        return any(module is model for module in modules(node.modules))

    # -- how far ----------------------------------------------------------------------------

    def begin_walk(self) -> bool:
        """Count a walk of the engine; returns whether to look at it.

        Where no optimizer steps, and with many walks a step, only some of them.
        """
        self.activity += 1
        if not self.looking:
            return False
        self.walks += 1
        self._names = None
        return self.walks <= 64 or not self.walks % self._every

    def end_step(self) -> None:
        """Count a step of the model's, and decide about the next."""
        self.steps += 1
        self.walks = 0
        self.looking = self.steps < FIRST or not self.steps % self._every
        self._names = None

    # -- speaking up ---------------------------------------------------------------------------

    def say(
        self, rule: str, text: str, place: Site | None, stack: ModuleStack = None, hint: str = ""
    ) -> None:
        """Note a finding, unless there is one of this rule and place."""
        spot = None if place is None else (place.filename, place.line)
        for known in self.found:
            at = known.place
            if known.rule == rule and (at and (at.filename, at.line)) == spot:
                return
        message = placed(f"watch: {text}", place, stack, hint)
        self.found.append(Finding(rule, message, place))
        self._unsaid.append(self.found[-1])

    def speak(self) -> None:
        """Hand on the warnings of what was found since."""
        while self._unsaid:
            finding = self._unsaid.pop(0)
            warning, place = TrainingWarning(finding.message), finding.place
            if self._log is not None:
                self._log(warning)
                continue
            name, line = ("lucidlite", 1) if place is None else (place.filename, place.line)
            warnings.warn_explicit(warning, TrainingWarning, name, line)
