"""Rule: one kind of mistake, and the moments at which it shows."""

from __future__ import annotations

from typing import Any, ClassVar

from lucidlite.callsite import ModuleStack, Site
from lucidlite.watching.graph import Graph
from lucidlite.watching.run import Call, Run
from lucidlite.watching.step import Step


class Rule:
    """Override the moments that matter; ``say`` warns, once for each place.

    ``forward`` is called before every forward of the model, the others only in steps that are
    looked at. A false alarm is worse than a missed mistake: in doubt a rule says nothing.
    """

    name: ClassVar[str]
    hint: ClassVar[str] = ""

    def __init__(self, run: Run) -> None:
        self.run = run

    def forward(self, call: Call) -> None:
        """The model is about to be called."""

    def layer(self, module: Any, args: tuple[Any, ...]) -> None:
        """So is a module of it that has parameters of its own, in training."""

    def backward(self, graph: Graph) -> None:
        """Backward is about to start from a loss that depends on the model."""

    def before_step(self, step: Step) -> None:
        """An optimizer of the model is about to step."""

    def after_step(self, step: Step) -> None:
        """It has."""

    def say(
        self, text: str, place: Site | None, stack: ModuleStack = None, hint: str | None = None
    ) -> None:
        """Warn of this, at the place, in the modules of ``stack``."""
        self.run.say(self.name, text, place, stack, self.hint if hint is None else hint)


def some(names: list[str], of: int | None = None) -> str:
    """'2 of 6: head.weight, head.bias'."""
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)}{'' if of is None else f' of {of}'}: {listed}"
