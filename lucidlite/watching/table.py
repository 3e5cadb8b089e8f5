"""All rules. A new one is a class, and a line here."""

from __future__ import annotations

from lucidlite.watching import activations, data, gradients, loop, losses, modes
from lucidlite.watching.rule import Rule

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        loop.ZeroGrad,
        loop.StepWithoutGradients,
        loop.NoStep,
        loop.Unseen,
        loop.NoGradient,
        loop.GraphsKept,
        modes.EvalForgotten,
        modes.TrainForgotten,
        losses.SoftmaxTwice,
        losses.ReluLast,
        losses.NotLogProbabilities,
        losses.BroadcastLoss,
        losses.NotFinite,
        data.Inputs255,
        data.Unshuffled,
        activations.DeadReLU,
        activations.BatchNormPairs,
        gradients.Vanishing,
        gradients.Exploding,
        gradients.LearningRate,
    )
}
