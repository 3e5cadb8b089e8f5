"""compare: a model in both libraries, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.parity.inputs import Sizes, draw_target, loss_for
from lucidlite.parity.measure import TOLERANCES, Gap
from lucidlite.parity.report import Report
from lucidlite.parity.sides import LOSSES, OPTIMIZERS, Side, check_choice, settings
from lucidlite.parity.source import OURS, THEIRS
from lucidlite.parity.step import Finding, Learner, Step
from lucidlite.parity.trace import tensors
from lucidlite.parity.twins import (
    Twins,
    copy_weights,
    from_pair,
    from_source,
    mismatches,
    without_dropout,
)


def compare(
    model: Any,
    inputs: Any = None,
    *,
    targets: Any = None,
    steps: int = 3,
    batch: int = 4,
    sizes: Sequence[Sizes] = (),
    classes: int = 10,
    optimizer: Any = "sgd",
    lr: float | None = None,
    loss: Any = None,
    dtype: str = "float64",
    tolerance: float | None = None,
    train: bool = True,
    seed: int = 0,
    device: str = "cpu",
    exact: bool = True,
    both_ways: bool = True,
) -> Report:
    """Train a model in lucidlite and in PyTorch on the same numbers, and find where they part.

    model: "path.py:Class", or (ours, theirs), two modules, which stay as they are. inputs and
    targets: an array, a tuple of arrays for several arguments, or a function of the step's number
    that returns one; noise of the model's sizes by default. optimizer and loss: a name (see
    ``lucidlite parity --help``), or ``optimizer(lib, parameters)`` and ``loss(lib, output,
    target)``, where ``lib`` is lucidlite or torch. tolerance: 1e-9 in float64, 1e-4 in float32, of
    the largest value. ``both_ways`` starts from our weights, then from PyTorch's.

    Raises ImportError without PyTorch, ValueError where the model can't be made.

    >>> from lucidlite.parity import compare
    >>> compare("lenet", steps=1).equal  # doctest: +SKIP
    True
    """
    check_choice("dtype", dtype, TOLERANCES)
    check_choice("optimizer", optimizer, OPTIMIZERS)
    if loss is not None:
        check_choice("loss", loss, LOSSES)
    for name, number in (("steps", steps), ("batch", batch)):
        if number < 1:
            raise error(ValueError, f"parity: {name} must be at least 1, got {name}={number}")
    limit = TOLERANCES[dtype] if tolerance is None else tolerance
    if not limit >= 0:  # NaN would find anything equal
        raise error(ValueError, f"parity: tolerance must be 0 or more, got tolerance={tolerance}")
    sides = Side(OURS, device), Side(THEIRS, device)
    with settings(sides, dtype, seed, exact):
        if isinstance(model, str):
            twins = from_source(model, sides, classes, sizes)
        else:
            twins = from_pair(model, sides, sizes)
        report = Report("", limit, steps)
        for number, weights in enumerate((OURS, THEIRS) if both_ways else (OURS,)):
            rng = np.random.default_rng([seed, number])
            data = _Data(twins, inputs, targets, loss, rng, batch, dtype)
            _run(report, twins, sides, weights, data, (optimizer, lr), dtype, train)
            if not report.equal:
                break
    return report


class _Data:
    """Batches in NumPy, drawn or given, and the loss, which may depend on the output."""

    def __init__(
        self,
        twins: Twins,
        inputs: Any,
        targets: Any,
        loss: Any,
        rng: np.random.Generator,
        batch: int,
        dtype: str,
    ) -> None:
        self.given, self.targets, self.loss = inputs, targets, loss
        self._twins, self._rng, self._batch, self._dtype = twins, rng, batch, dtype

    def inputs(self, step: int) -> tuple[Any, ...]:
        if self.given is None:
            return self._twins.inputs.draw(self._rng, self._batch, self._dtype)
        found = self.given(step) if callable(self.given) else self.given
        return tuple(map(self._cast, found if isinstance(found, tuple) else (found,)))

    def target(self, step: int) -> Callable[[Any], Any]:
        """A function of the output's values, which always returns the same."""
        made: list[Any] = []

        def target(output: Any) -> Any:
            if self.loss is None:
                self.loss = loss_for(output)
            if not made and self.targets is None:
                made.append(draw_target(self._rng, self.loss, output))
            elif not made:
                found = self.targets(step) if callable(self.targets) else self.targets
                made.append(self._cast(found))
            return made[0]

        return target

    def loss_of(self, side: Side, output: Any, target: Any) -> Any:
        return side.loss(self.loss, output, target)

    def _cast(self, value: Any) -> Any:
        array = np.asarray(value)
        return array.astype(self._dtype) if array.dtype.kind == "f" else array


def _run(
    report: Report,
    twins: Twins,
    sides: tuple[Side, Side],
    weights: str,
    data: _Data,
    optimizer: tuple[Any, float | None],
    dtype: str,
    train: bool,
) -> None:
    """All steps from the initial weights of one library, added to the report."""
    models = twins.make()
    pairs = [(side, side.place(m, dtype)) for side, m in zip(sides, models, strict=True)]
    for _, each in pairs:
        each.train(train)
    dropped = without_dropout(models) if train else []
    report.title = f"{twins.name} in {dtype}, {'training' if train else 'evaluation'} mode"
    report.findings += mismatches(sides, models, weights)
    if report.differences:
        return
    source, target = pairs if weights == OURS else reversed(pairs)
    for name in copy_weights(source, target):
        reason = "changed on the way to the other library and back"
        report.findings.append(
            Finding(weights, 0, "weights", name, "state_dict", Gap(np.inf, reason=reason))
        )
    ours, theirs = (
        Learner(side, each, side.optimizer(optimizer[0], each, optimizer[1]), data.loss_of, files)
        for (side, each), files in zip(pairs, twins.files, strict=True)
    )
    for number in range(1, report.steps + 1):
        batch = data.inputs(number)
        step = Step(ours, theirs, report.tolerance, weights, number)
        outcome = step.run(batch, data.target(number))
        report.findings += outcome.findings
        report.problems, report.stage, report.step = outcome.problems, outcome.stage, number
        report.title = _title(twins, batch, ours, data, dtype, train)
        report.notes = _notes(dropped, step.outputs)
        if not report.equal:
            first = report.first
            if first is not None and first.stage == "forward":
                report.notes += _random((ours, theirs), batch)
            if dtype == "float64" and any("dtype" in each.message for each in report.problems):
                report.notes.append("if the model works in float32 only, compare in float32")
            if any("forward() missing" in each.message for each in report.problems):
                report.notes.append("a model of several inputs takes --input SIZES once for each")
            return


def _title(
    twins: Twins, batch: tuple[Any, ...], learner: Learner, data: _Data, dtype: str, train: bool
) -> str:
    shapes = ", ".join(str(array.shape) for array in batch)
    loss = "" if data.loss is None else f" {getattr(data.loss, '__name__', data.loss)},"
    rule = "no optimizer"
    if learner.optimizer is not None:
        group = learner.optimizer.param_groups[0]
        rule = f"{type(learner.optimizer).__name__} with lr {group['lr']:g}"
    mode = "training" if train else "evaluation"
    return f"{twins.name} on {shapes}: {dtype}, {mode} mode,{loss} {rule}"


def _notes(dropped: Sequence[str], outputs: int) -> list[str]:
    notes = []
    if dropped:
        shown = ", ".join(dropped[:3]) + (f" and {len(dropped) - 3} more" if dropped[3:] else "")
        notes.append(f"dropout is set to 0 ({shown}): the libraries draw different masks")
    if outputs > 1:
        notes.append(f"the model returns {outputs} tensors: the loss is of the first")
    return notes


def _random(learners: Sequence[Learner], batch: tuple[Any, ...]) -> list[str]:
    """A note where a model doesn't compute the same twice."""
    for learner in learners:
        side = learner.side
        with side.lib.no_grad():
            one, other = (
                [side.array(t) for t in tensors(learner.model(*map(side.tensor, batch)), side)]
                for _ in range(2)
            )
        if any(a.tobytes() != b.tobytes() for a, b in zip(one, other, strict=True)):
            return [
                f"the model draws random numbers (it computes two different outputs of one input "
                f"in {side.name}): if that is functional dropout, compare in evaluation mode"
            ]
    return []
