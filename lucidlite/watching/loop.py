"""Rules of the training loop: zeroing, stepping, and which parameters take part."""

from __future__ import annotations

import functools
import weakref
from typing import Any

from lucidlite.callsite import user_site
from lucidlite.nn.parameter import Parameter
from lucidlite.watching.graph import Graph
from lucidlite.watching.rule import Rule, some
from lucidlite.watching.run import FIRST, Call, Run
from lucidlite.watching.step import Step
from lucidlite.watching.values import norm, read, version


class Streaks:
    """For each optimizer, how many of its steps in a row were of a kind."""

    def __init__(self) -> None:
        self._counts: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def add(self, optimizer: Any, so: bool) -> int:
        """The count after one more step."""
        count = self._counts[optimizer] = self._counts.get(optimizer, 0) + 1 if so else 0
        return count


class ZeroGrad(Rule):
    """In two steps of an optimizer in a row, backward added to gradients of the step before.

    Nobody wrote to them since that step, and they aren't zero: so neither gradients accumulated
    over several backwards, nor a discriminator's from the generator's loss, zeroed before use.
    """

    name = "zero-grad"
    hint = "call optimizer.zero_grad() before each backward()"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        # By parameter: its gradient when it was last stepped with, the version to expect of it,
        # and whether backward has added to it since.
        self.left: dict[int, tuple[Any, int, bool]] = {}
        self.streak = Streaks()

    def backward(self, graph: Graph) -> None:
        for _, param in self.run.own(graph):
            held = self.left.pop(id(param), None)
            if held is not None:
                reference, expected, _ = held
                grad = param.grad
                if grad is not None and reference() is grad and version(grad) == expected:
                    self.left[id(param)] = reference, expected + 1, True

    def after_step(self, step: Step) -> None:
        stale = False
        for _, param, _ in step.entries:
            grad = param.grad
            reference, expected, added = self.left.pop(id(param), (None, 0, False))
            if grad is None:
                continue
            if added and reference() is grad and version(grad) >= expected:
                stale = stale or read(grad.backend, [norm(grad.backend, grad.array)])[0] != 0
            self.left[id(param)] = weakref.ref(grad), version(grad), False
        streak = self.streak.add(step.optimizer, stale)
        if streak == 2:
            self.say(
                "gradients are never zeroed: backward adds to those of earlier steps, "
                f"got {streak} steps in a row with old gradients in them",
                user_site(),
            )


class StepWithoutGradients(Rule):
    """Three steps in a row found no gradient though forward ran: none at all, or all exactly 0.

    Zeros count where somebody wrote to them after a backward that brought something else.
    """

    name = "step-without-gradients"
    hint = "the order is optimizer.zero_grad(), loss.backward(), optimizer.step()"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.forwards = False
        self.backwards = False
        self.loss: float | None = None
        self.versions: dict[int, int] = {}  # to expect of the gradients after backward
        self.suspects: weakref.WeakSet[Any] = weakref.WeakSet()  # optimizers to be sure about
        self.brought: dict[int, list[Any]] = {}  # by parameter: the norms of what backward brings
        self.streak = Streaks()

    def forward(self, call: Call) -> None:
        self.forwards = self.forwards or (call.training and call.grad)

    def backward(self, graph: Graph) -> None:
        self.backwards, self.loss = True, graph.loss()
        self.versions = {
            id(param): 0 if param.grad is None else version(param.grad) + 1
            for _, param in self.run.own(graph)
        }
        if self.suspects:
            own = self.run.names()
            for node in graph.accumulators:
                if id(node.variable) in own:
                    norms = self.brought.setdefault(id(node.variable), [])
                    node.register_prehook(functools.partial(_measure, norms))

    def before_step(self, step: Step) -> None:
        if step.closure or not step.entries:
            return
        if all(entry.param.grad is None for entry in step.entries):
            lost = self.forwards or self.backwards
        else:
            written = self.backwards and any(
                grad is not None and version(grad) > self.versions.get(id(param), version(grad))
                for param, grad in ((e.param, e.param.grad) for e in step.entries)
            )
            sizes = step.sizes if written and self.loss else None
            lost = sizes is not None and sizes.gradient == 0.0
            if lost and step.optimizer in self.suspects:
                lost = any(self._was_given(entry.param) for entry in step.entries)
        streak = self.streak.add(step.optimizer, lost)
        if streak == 2:
            self.suspects.add(step.optimizer)
        else:
            self.suspects.discard(step.optimizer)
        if streak == 3:
            cause = "zeroed after backward()" if self.backwards else "backward() was not called"
            self.say(
                f"optimizer.step() finds no gradients, got {streak} such steps in a row: {cause}",
                user_site(),
            )

    def after_step(self, step: Step) -> None:  # noqa: ARG002
        self.forwards = self.backwards = False
        self.brought.clear()

    def _was_given(self, param: Any) -> bool:
        """Whether backward brought it something else than zeros."""
        return any(read(param.backend, self.brought.get(id(param), ())))


def _measure(norms: list[Any], grads: tuple[Any, ...]) -> None:
    norms.append(norm(grads[0].backend, grads[0].array))


class _Weights:
    """Whether weights are still what they were when first asked about."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any, int]] = {}

    def still(self, param: Any) -> bool:
        now = id(param.array), version(param)
        then = self._known.setdefault(id(param), (weakref.ref(param), *now))
        return then[0]() is param and then[1:] == now


class NoStep(Rule):
    """Backward ran 50 times in training, gradients zeroed in between, and no weight changed.

    10 times where the optimizer was given. Weights changed by hand count, in place or replaced. Not
    where the input wants a gradient, as an attack or a picture that is optimized.
    """

    name = "no-step"
    hint = "call optimizer.step() after backward(), of an optimizer made of this model's parameters"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.count = 0
        self.weights = _Weights()
        self.versions: dict[int, int] = {}  # of each gradient as backward began

    def backward(self, graph: Graph) -> None:
        run = self.run
        model = run.model
        own = run.own(graph)
        if run.steps or model is None or not model.training:
            return
        if not all(isinstance(leaf, Parameter) for leaf in graph.leaves):
            return
        if not all([self.weights.still(param) for _, param in own]):
            self.count = -(10**9)
        fresh = False
        for _, param in own:
            now = -1 if param.grad is None else version(param.grad)
            # Adding a gradient counts as one write.
            fresh = fresh or now < 0 or now > self.versions.get(id(param), now) + 1
            self.versions[id(param)] = now
        self.count += fresh
        if self.count >= (10 if run.given else 50):
            steps = f", {run.foreign_steps} steps of other optimizers" if run.foreign_steps else ""
            self.say(
                "no optimizer steps with this model's parameters, "
                f"got {self.count} backwards with fresh gradients{steps}, and unchanged weights",
                user_site(),
            )


class Unseen(Rule):
    """Parameters that got gradients three times, never changed, and belong to no optimizer seen.

    Seen are those that stepped and those given. After 20 steps of the model's optimizers; after 3
    where they were given.
    """

    name = "unseen-parameters"
    hint = (
        "give the optimizer model.parameters(), and make it after the last layer is added or "
        "replaced; requires_grad_(False) freezes a layer on purpose"
    )

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.reached: dict[int, int] = {}
        self.weights = _Weights()

    def backward(self, graph: Graph) -> None:
        for _, param in self.run.own(graph):
            if self.weights.still(param):
                self.reached[id(param)] = self.reached.get(id(param), 0) + 1

    def after_step(self, step: Step) -> None:  # noqa: ARG002
        run = self.run
        if run.steps + 1 < (3 if run.given else FIRST):
            return
        held = {
            id(param)
            for optimizer in run.optimizers
            for group in optimizer.param_groups
            for param in group["params"]
        }
        every = run.parameters()
        missing = [
            name for name, param in every
            if id(param) not in held and param.grad is not None
            and self.reached.get(id(param), 0) >= 3 and self.weights.still(param)
        ]  # fmt: skip
        if missing:
            self.say(
                "parameters get gradients but no optimizer has them, got "
                + some(missing, len(every)),
                user_site(),
            )


class NoGradient(Rule):
    """A parameter of an optimizer that no loss of 20 steps depended on, though its module ran.

    With gradients recorded, and other parameters of the same optimizer did get theirs. A module
    that is never called is left alone: it may have its turn later.
    """

    name = "no-gradient"
    hint = (
        "something cuts it from the loss: detach(), .data, numpy(), item(), or a result that is "
        "not used; requires_grad_(False) freezes it on purpose"
    )

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.reached: set[int] = set()
        self.called: dict[int, int] = {}
        self.steps = Streaks()

    def layer(self, module: Any, args: tuple[Any, ...]) -> None:  # noqa: ARG002
        for param in module.parameters(recurse=False):
            self.called[id(param)] = self.called.get(id(param), 0) + 1

    def backward(self, graph: Graph) -> None:
        self.reached.update(id(param) for _, param in self.run.own(graph))

    def after_step(self, step: Step) -> None:
        count = self.steps.add(step.optimizer, True)
        if count != FIRST:
            return
        without = [
            entry.name for entry in step.entries
            if id(entry.param) not in self.reached and self.called.get(id(entry.param), 0) >= FIRST
        ]  # fmt: skip
        if without and len(without) < len(step.entries):
            self.say(
                f"parameters never get a gradient, got {some(without, len(step.entries))} "
                f"without one in {count} steps",
                user_site(),
            )


class GraphsKept(Rule):
    """The graphs of past steps are alive after 200 more: of every step looked at."""

    name = "graphs-kept"
    hint = "something holds past losses, as total += loss does: use loss.item() or loss.detach()"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.losses: list[tuple[int, Any]] = []

    def backward(self, graph: Graph) -> None:
        now = self.run.steps
        self.losses = [entry for entry in self.losses if entry[1]() is not None]
        if len(self.losses) >= 8 and now - self.losses[0][0] >= 200:
            self.say(
                "past losses keep their graphs alive, and memory grows with every step, "
                f"got {len(self.losses)} of the losses looked at since step {self.losses[0][0]}",
                graph.roots[0].site,
            )
        if len(graph.roots) == 1:
            self.losses.append((now, weakref.ref(graph.roots[0])))
