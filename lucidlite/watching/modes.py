"""Rules about training and evaluation mode."""

from __future__ import annotations

import weakref
from typing import Any

from lucidlite.callsite import user_site
from lucidlite.nn.attention import MultiheadAttention
from lucidlite.nn.dropout import _Dropout
from lucidlite.nn.norm import _BatchNorm, _InstanceNorm
from lucidlite.nn.recurrent import RNNBase
from lucidlite.tensor import Tensor
from lucidlite.watching.rule import Rule
from lucidlite.watching.run import Call, Run


def acting(model: Any, training: bool) -> list[Any]:
    """The layers in this mode that do something else in the other."""
    return [
        module for module in model.modules() if module.training is training and _has_mode(module)
    ]


def _has_mode(module: Any) -> bool:
    if isinstance(module, _BatchNorm):
        return not isinstance(module, _InstanceNorm) and module.running_mean is not None
    if isinstance(module, _Dropout):
        return bool(module.p)
    return isinstance(module, RNNBase | MultiheadAttention) and bool(module.dropout)


def _kinds(layers: list[Any]) -> str:
    return ", ".join(sorted({type(layer).__name__ for layer in layers}))


class EvalForgotten(Rule):
    """Forwards without gradients in training mode, after training began, as validation has them.

    Three in a row on different inputs with no backward or step between them, or three times the
    same input, each after steps of the model's optimizers and nobody else's. Not where an input
    comes twice in a row (Monte Carlo dropout), where statistics are gathered anew (reset, or
    momentum None), or in every step (guessed labels).
    """

    name = "eval-forgotten"
    hint = "call model.eval() before validation, and model.train() after it"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.activity, self.steps, self.foreign = -1, -1, -1  # as of the last such forward
        self.last: Any = None  # its input
        self.waiting = -1  # the activity at a forward whose backward is to come
        self.in_a_row = self.again = 0

    def forward(self, call: Call) -> None:
        run = self.run
        if call.grad:
            self.in_a_row, self.waiting = 0, run.activity
        elif not call.training:
            self.in_a_row = self.again = 0
        elif call.inputs:
            self._count(call.inputs[0])

    def _count(self, given: Tensor) -> None:
        run = self.run
        same = self.last is not None and self.last() is given
        later = self.activity != run.activity
        if later:
            self.in_a_row = 0 if run.steps - self.steps > 1 else -(10**9)
        if self.waiting == run.activity or (same and not later):
            self.in_a_row = self.again = 0
        else:
            alone = self.foreign == run.foreign_steps and self.steps < run.steps
            self.again = self.again + 1 if same and alone else 1
            self.in_a_row += 1
        self.activity, self.steps, self.foreign = run.activity, run.steps, run.foreign_steps
        self.last = weakref.ref(given)
        if max(self.in_a_row, self.again) >= 3:
            self._check(max(self.in_a_row, self.again))

    def _check(self, count: int) -> None:
        layers = acting(self.run.model, True) if self.run.steps else []
        norms = [layer for layer in layers if isinstance(layer, _BatchNorm)]
        if layers and not any(_gathers(norm, count) for norm in norms):
            self.say(
                "the model is evaluated in training mode, got "
                f"{count} forwards without gradients after training, "
                f"with {_kinds(layers)} in training mode",
                user_site(),
            )


def _gathers(norm: _BatchNorm, count: int) -> bool:
    """Whether its statistics are made anew, of the last ``count`` forwards."""
    seen = norm.num_batches_tracked
    return norm.momentum is None or (seen is not None and int(seen.item()) < count)


class TrainForgotten(Rule):
    """Steps in training mode, then an evaluation in evaluation mode, then two steps still in it."""

    name = "train-forgotten"
    hint = "call model.train() at the start of every epoch"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.trained = self.evaluated = False
        self.steps, self.count = -1, 0

    def forward(self, call: Call) -> None:
        steps = self.run.steps
        if call.grad and call.training:
            self.trained, self.evaluated, self.steps, self.count = True, False, -1, 0
        elif not call.grad and not call.training:
            self.evaluated = self.evaluated or (self.trained and steps > 0)
        elif call.grad and self.evaluated:
            if self.steps >= 0 and steps > self.steps:
                self.count += 1
            self.steps = steps
            if self.count >= 2:
                layers = acting(self.run.model, False)
                if layers:
                    self.say(
                        "training goes on in evaluation mode, "
                        f"got {self.count} steps since an evaluation, "
                        f"with {_kinds(layers)} in evaluation mode",
                        user_site(),
                    )


def tensors_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, ...]:
    """The tensors among a call's arguments."""
    return tuple(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
