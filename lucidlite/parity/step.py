"""One training step in both libraries, compared piece by piece.

Ours runs first and is recorded. PyTorch then runs in step with it: wherever a value of its own is
within the tolerance of ours but not the same to the bit, it goes on with ours. So every layer,
every gradient and every step of the optimizer is computed from equal numbers in both: rounding
cannot add up to a difference, nor turn a ReLU on in one and off in the other, and the first
difference is where it arises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from lucidlite.parity.measure import Gap, gap, largest
from lucidlite.parity.places import Place, Places
from lucidlite.parity.sides import Arrays, Problem, Side
from lucidlite.parity.source import OURS, THEIRS
from lucidlite.parity.trace import Point, Record, Trace, tensors

Loss = Callable[[Side, Any, Any], Any]
STAGES = ("weights", "forward", "buffers", "loss", "backward", "gradients", "optimizer")


class Finding(NamedTuple):
    """One comparison.

    weights: whose initial weights both have, "lucidlite" or "torch". step: from 1 (0: before the
    first). stage: one of ``STAGES``. where: the layer, as "features.3: BatchNorm2d". what: which of
    its values.
    """

    weights: str
    step: int
    stage: str
    where: str
    what: str
    gap: Gap

    def __str__(self) -> str:
        what = "" if self.what == "output" else f", {self.what}"
        when = f"step {self.step}, {self.stage}" if self.step else "before the first step"
        return f"{when}, {self.where}{what}: {self.gap}"


class Outcome(NamedTuple):
    """What a step found: ``problems`` are what the libraries raised in ``stage``."""

    findings: list[Finding]
    stage: str = ""
    problems: tuple[Problem, ...] = ()


class Learner:
    """A model of one library with its optimizer; ``files`` are those its code stands in."""

    def __init__(
        self, side: Side, model: Any, optimizer: Any, loss: Loss, files: Collection[str]
    ) -> None:
        self.side, self.model, self.optimizer, self.files = side, model, optimizer, files
        self._loss, self.stage = loss, "forward"

    def forward(self, inputs: tuple[Any, ...]) -> Any:
        """The output that the loss is of: the first tensor of all."""
        self.stage = "forward"
        if self.optimizer is not None:
            self.optimizer.zero_grad()
        output = self.model(*map(self.side.tensor, inputs))
        found = next(tensors(output, self.side), None)
        if found is None:
            raise TypeError(f"forward returned no tensor, but a {type(output).__name__}")
        return found

    def backward(self, output: Any, target: Any) -> Any:
        """The loss and its gradients; returns the loss's value."""
        self.stage = "loss"
        loss = self._loss(self.side, output, self.side.tensor(target))
        value = self.side.array(loss)
        self.stage = "backward"
        if loss.requires_grad:
            loss.backward()
        return value

    def update(self) -> None:
        self.stage = "optimizer"
        if self.optimizer is not None:
            self.optimizer.step()

    def weights(self) -> Arrays:
        return {name: self.side.array(p) for name, p in self.model.named_parameters()}


class Step:
    """The comparison of one step, which ``run`` makes."""

    def __init__(
        self, ours: Learner, theirs: Learner, tolerance: float, weights: str, number: int
    ) -> None:
        self._ours, self._theirs, self._tolerance = ours, theirs, tolerance
        self._name = weights, number
        # Findings with their place in time: gradients of parameters are compared late.
        self._found: list[tuple[float, Finding]] = []
        self._reached: dict[str, int] = {}
        self._record = Record()
        self._seen: set[Point] = set()
        self._seen_gradients: set[Point] = set()
        self._lonely: set[tuple[str, int]] = set()
        self._loss: Any = None  # none as long as ours has not come to its end

    def run(self, inputs: tuple[Any, ...], target: Callable[[Any], Any]) -> Outcome:
        """Forward, loss, backward and update; ``target(values)`` is what the loss aims at."""
        learners = self._ours, self._theirs
        raised: list[Exception | None] = [None, None]
        for i, work in enumerate((self._run_ours, self._run_theirs)):
            try:
                work(inputs, target)
            except Exception as problem:
                raised[i] = problem
        findings = [finding for _, finding in sorted(self._found, key=lambda pair: pair[0])]
        problems = [
            (learner.stage, learner.side.problem(problem, learner.files))
            for learner, problem in zip(learners, raised, strict=True)
            if problem is not None
        ]
        if not problems:
            return Outcome(findings)
        stage = min((stage for stage, _ in problems), key=STAGES.index)
        return Outcome(findings, stage, tuple(problem for _, problem in problems))

    def _run_ours(self, inputs: tuple[Any, ...], target: Callable[[Any], Any]) -> None:
        ours, side, record = self._ours, self._ours.side, self._record
        self._before = ours.weights(), side.buffers(ours.model)
        with Trace(side, ours.model, record.see, record.see_gradient) as trace:
            self._trace = trace
            output = ours.forward(inputs)
            self._buffers = side.buffers(ours.model)
            self._target = target(side.array(output))
            loss = ours.backward(output, self._target)
        self._gradients = side.gradients(ours.model)
        known = [*record.gradients.values(), *self._gradients.values()]
        self._top = largest(*(array for array in known if array is not None))
        ours.update()
        self._after = ours.weights()
        self._loss = loss

    def _run_theirs(self, inputs: tuple[Any, ...], target: Callable[[Any], Any]) -> None:
        theirs, side = self._theirs, self._theirs.side
        self._places = Places(self._trace)
        with Trace(side, theirs.model, self._see, self._see_gradient) as trace:
            output = theirs.forward(inputs)
            if self._loss is None:  # ours raised: whether this does too is all there is to know
                theirs.backward(output, target(side.array(output)))
                theirs.update()
                return
            self._check_calls()
            self._check_buffers()
            loss = theirs.backward(output, self._target)
            self._compare("loss", Place("the loss", "output"), self._loss, loss)
            self._check_passed(trace)
        self._check_gradients()
        theirs.update()
        self._check_weights()

    @property
    def outputs(self) -> int:
        """How many tensors our model returns."""
        return sum((p.kind, p.module) == ("output", "") for p in self._record.values)

    # -- forward and backward, as they happen ------------------------------------------------

    def _see(self, point: Point, array: Any) -> Any:
        self._seen.add(point)
        mine = self._record.values.get(point)
        if mine is not None:
            return self._compare("forward", self._places.made(point), mine, array)
        if self._loss is not None:
            self._lonely_call(point, THEIRS)
        return None

    def _see_gradient(self, point: Point, array: Any) -> Any:
        # Where one library passes a tensor on and the other makes a new one of it, there are
        # more points on one side: the first is on both.
        if self._loss is None or self._trace.first.get(point) != point:
            return None
        if point.kind == "output":
            self._reached[point.module] = len(self._found)
        self._seen_gradients.add(point)
        mine = self._record.gradients.get(point)
        return self._compare("backward", self._places.passed(point), mine, array, self._top)

    def _check_calls(self) -> None:
        for point in self._record.values:
            if point not in self._seen:
                self._lonely_call(point, OURS)

    def _lonely_call(self, point: Point, caller: str) -> None:
        """Note a call that only one library makes, but for the parts of a library's own layer."""
        call = point.module, point.call
        if call not in self._lonely and not self._places.is_detail(point.module):
            self._lonely.add(call)
            place = Place(self._places.label(point.module), "its call")
            self._note("forward", place, Gap(np.inf, reason=f"only {caller} makes it"))

    def _check_passed(self, trace: Trace) -> None:
        for point, array in self._record.gradients.items():
            if trace.first.get(point) == point and point not in self._seen_gradients:
                self._compare("backward", self._places.passed(point), array, None)

    # -- what a step leaves ------------------------------------------------------------------

    def _check_buffers(self) -> None:
        theirs = self._theirs.side.buffers(self._theirs.model)
        for name, mine in self._buffers.items():
            before = self._before[1].get(name)
            where, last = self._places.owner(name)
            place = Place(where, f"buffer {last}")
            self._compare("buffers", place, mine, theirs.get(name), largest(mine), before)

    def _check_gradients(self) -> None:
        theirs = dict(self._theirs.model.named_parameters())
        for name, array in self._theirs.side.gradients(self._theirs.model).items():
            where, last = self._places.owner(name)
            module = name.rpartition(".")[0]
            known = module in self._reached and self._places.is_leaf(module)
            rank = self._reached[module] + 0.5 if known else np.inf
            place = Place(where, f"gradient of {last}")
            mine = self._gradients[name]
            used = self._compare("gradients", place, mine, array, self._top, rank=rank)
            if used is not None:
                self._theirs.side.write(theirs[name].grad, used)

    def _check_weights(self) -> None:
        side, model = self._theirs.side, self._theirs.model
        place = f"after {type(self._theirs.optimizer).__name__}.step()"
        for name, parameter in model.named_parameters():
            before, mine = self._before[0][name], self._after[name]
            array = side.array(parameter)
            used = self._compare(
                "optimizer", Place(name, place), mine, array, largest(before), before, np.inf
            )
            if used is not None:
                side.write(parameter, used)
        buffers = dict(model.named_buffers())
        for name, mine in self._ours.side.buffers(self._ours.model).items():
            if name in buffers and mine.shape == tuple(buffers[name].shape):
                side.write(buffers[name], mine)

    def _compare(
        self,
        stage: str,
        place: Place,
        ours: Any,
        theirs: Any,
        among: float = 0.0,
        before: Any = None,
        rank: float | None = None,
    ) -> Any:
        """Note how far two values are apart; returns ours where theirs is to become it."""
        if ours is None and theirs is None:
            return None
        if ours is None or theirs is None:
            found = Gap(np.inf, reason=f"only {OURS if theirs is None else THEIRS} has one")
        else:
            found = gap(ours, theirs, among, before)
        self._note(stage, place, found, rank)
        return ours if found.absolute and found.error <= self._tolerance else None

    def _note(self, stage: str, place: Place, found: Gap, rank: float | None = None) -> None:
        finding = Finding(*self._name, stage, *place, found)
        self._found.append((len(self._found) if rank is None else rank, finding))
