"""Rules about gradients and updates: vanishing, exploding, a rate too large or too small."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

from lucidlite.callsite import user_site
from lucidlite.nn.embedding import Embedding, EmbeddingBag
from lucidlite.watching.graph import Graph
from lucidlite.watching.rule import Rule
from lucidlite.watching.run import FIRST, Run
from lucidlite.watching.step import Step
from lucidlite.watching.values import norm, read


class _Depth(Rule):
    """Gradients relative to weights, of the first quarter of the layers over the last quarter.

    Of 2-dim and larger weights in the order of their use, embeddings and weights with hooks or a
    rate of 0 left out; four at least.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.order: list[int] = []

    def backward(self, graph: Graph) -> None:
        model = self.run.model
        if model is None:
            return
        tables = {
            id(module.weight) for module in model.modules()
            if isinstance(module, Embedding | EmbeddingBag)
        }  # fmt: skip
        self.order = [
            id(p) for _, p in self.run.own(graph)
            if p.array.ndim > 1 and id(p) not in tables and not p._hooks
        ]  # fmt: skip

    def ratio(self, step: Step) -> float | None:
        """None where there is nothing to compare."""
        sizes = step.sizes
        if sizes is None:
            return None
        moving = {id(entry.param) for entry in step.entries if entry.moves}
        pairs = [
            sizes.matrices[key] for key in self.order if key in sizes.matrices and key in moving
        ]
        relative = [gradient / weight for gradient, weight in pairs if weight > 0]
        if len(relative) < 4 or any(math.isnan(value) for value in relative):
            return None
        quarter = max(len(relative) // 4, 1)
        last = median(relative[-quarter:])
        if not 0 < last < math.inf:
            return None
        return median(relative[:quarter]) / last


class Vanishing(_Depth):
    """In ten steps in a row the first layers' gradients were 1e-5 of the last layers', or less.

    And they don't catch up, growing tenfold, as where the last layer's weights were 0 at first.
    """

    name = "vanishing-gradients"
    hint = "ReLU instead of sigmoid or tanh, a norm between layers, or residual connections"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.count, self.lowest = 0, math.inf

    def before_step(self, step: Step) -> None:
        ratio = self.ratio(step)
        if ratio is None or ratio >= 1e-5:
            self.count, self.lowest = 0, math.inf
            return
        self.count, self.lowest = self.count + 1, min(self.lowest, ratio)
        if self.count >= 10 and ratio <= 10 * self.lowest:
            self.say(
                "gradients vanish on their way to the first layers, got "
                f"{ratio:.1e} of the last layers' there, relative to the weights",
                user_site(),
            )


class Exploding(_Depth):
    """In two steps in a row gradients were far larger than weights, and not for the loss's scale.

    Either 100 times the weights' norm, with the first layers' 1e4 times the last layers'; or 10
    times, and 1000 times the median so far. As the step finds them: what is clipped is not meant.
    """

    name = "exploding-gradients"
    hint = "nn.utils.clip_grad_norm_ before the step, a lower learning rate, norm layers"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.norms: list[float] = []
        self.count = 0

    def before_step(self, step: Step) -> None:
        sizes = step.sizes
        if sizes is None or math.isnan(sizes.gradient) or sizes.weight == 0:
            return
        size = sizes.gradient / sizes.weight
        ratio = self.ratio(step)
        usual = median(self.norms) if len(self.norms) >= 5 else math.inf
        deep = size >= 100 and ratio is not None and ratio >= 1e4
        grown = size >= 10 and sizes.gradient >= 1000 * usual
        self.count = self.count + 1 if deep or grown else 0
        if not self.count:
            self.norms.append(sizes.gradient)
        if self.count == 2:
            before = f", usually {usual:.3g}" if grown else f", {ratio:.1e} as much in front"
            self.say(
                f"gradients explode, got a norm of {sizes.gradient:.3g}{before}, "
                f"of the weights {sizes.weight:.3g}",
                user_site(),
            )


class _Updates(Rule):
    """How far a step moves the larger weights: up to eight of them."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.before: list[tuple[Any, Any]] = []

    def before_step(self, step: Step) -> None:
        self.before = []
        held = [
            e.param for e in step.entries
            if e.moves and e.param.grad is not None and e.param.array.ndim > 1
            and e.param.array.size <= 1 << 20
        ]  # fmt: skip
        if len({param.backend for param in held}) == 1:
            every = -(-len(held) // 8)
            self.before = [(param, param.array.copy()) for param in held[::every]]

    def moved(self) -> list[tuple[float, float, int]]:
        """The norm of each update and of its weight, and its rows; the host waits once."""
        before, self.before = self.before, []
        if not before:
            return []
        backend = before[0][0].backend
        scalars = []
        for param, old in before:
            if param.array.shape != old.shape:
                return []
            scalars += [norm(backend, param.array - old), norm(backend, old)]
        found = read(backend, scalars)
        rows = [old.shape[0] for _, old in before]
        moves = zip(found[::2], found[1::2], rows, strict=True)
        return [(change, size, n) for change, size, n in moves if size > 0 and change >= 0]


class LearningRate(_Updates):
    """Updates that dwarf the weights while the loss is worse than at first; or vanish in rounding.

    Large: half the size of the weights (or of usual initial ones) or more in five steps of the last
    ten, or once ten times, with the last five losses on average above the first one by half of it.
    Small: less than 1e-7 in all of the first 20 steps, with gradients of a thousandth of some
    weights at least and a rate that stays the same: no warm-up, and not all is learnt.
    """

    name = "learning-rate"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.losses: list[float] = []
        self.kind: Any = None
        self.large: list[bool] = []
        self.largest = 0.0
        self.small = 0
        self.rates: list[float] | None = None

    def backward(self, graph: Graph) -> None:
        self.kind = self.kind or graph.roots[0]._site
        if graph.roots[0]._site == self.kind:
            loss = graph.loss()
            if loss is not None:
                self.losses.append(loss)

    def before_step(self, step: Step) -> None:
        super().before_step(step)
        rates = step.rates()
        if self.rates is None:
            self.rates = rates
        elif self.rates != rates:
            self.small = -(10**9)
        sizes = step.sizes
        pairs = [] if sizes is None else sizes.matrices.values()
        if not any(gradient > 1e-3 * weight for gradient, weight in pairs):
            self.small = -(10**9)

    def after_step(self, step: Step) -> None:
        moves = self.moved()
        if not moves:
            return
        ratios = [change / size for change, size, _ in moves]
        # Weights that begin at 0, or close to it, grow to the size of others in a few steps.
        usual = median([change / max(size, math.sqrt(rows / 3)) for change, size, rows in moves])
        self.large = [*self.large[-9:], usual >= 0.5]
        self.small = self.small + 1 if max(ratios) < 1e-7 else -(10**9)
        rates = sorted(set(step.rates()))
        shown = ", ".join(f"{rate:g}" for rate in rates)
        if self.small == FIRST:
            self.say(
                "updates are lost in rounding, got at most "
                f"{max(ratios):.1e} of the weights' size with learning rate {shown}",
                user_site(), hint="a learning rate of 1e-3 (Adam) or 1e-2 (SGD) is a usual start",
            )  # fmt: skip
        self.largest = max(self.largest, usual)
        if len(self.losses) < 10:
            return
        worse = sum(self.losses[-5:]) / 5 - self.losses[0]
        if (sum(self.large) >= 5 or self.largest >= 10) and worse > abs(self.losses[0]) / 2:
            self.say(
                "updates are as large as the weights and the loss does not fall, got up to "
                f"{self.largest:.2g} of the weights' size with learning rate {shown}",
                user_site(), hint="divide the learning rate by 10 until the loss falls",
            )  # fmt: skip
