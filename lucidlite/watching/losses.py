"""Rules about what goes into a loss, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lucidlite.callsite import user_site
from lucidlite.ops.activation import log_softmax_vjp, relu_vjp, sigmoid_vjp, softmax_vjp
from lucidlite.ops.binary_loss import LOGITS
from lucidlite.ops.classification import cross_entropy_vjp, nll_loss_vjp
from lucidlite.ops.elementwise import sub_vjp
from lucidlite.ops.pair_losses import pair_loss_vjp
from lucidlite.tape import Node
from lucidlite.watching.graph import Graph, source
from lucidlite.watching.rule import Rule
from lucidlite.watching.run import Run
from lucidlite.watching.step import Step

_SQUASHING: dict[Any, str] = {softmax_vjp: "softmax", sigmoid_vjp: "sigmoid"}


def takes_scores(graph: Graph) -> Iterator[tuple[str, Node]]:
    """The losses of a graph that apply softmax or sigmoid themselves, with their names."""
    for node in graph.of(cross_entropy_vjp, log_softmax_vjp):
        yield "cross_entropy" if node.vjp is cross_entropy_vjp else "log_softmax", node
    for node in graph.of(pair_loss_vjp):
        if node.args[0] is LOGITS:
            yield "binary_cross_entropy_with_logits", node


class SoftmaxTwice(Rule):
    """Probabilities go straight into a loss that wants raw scores, or log-probabilities.

    Softmax or sigmoid into cross_entropy, log_softmax or binary_cross_entropy_with_logits; softmax
    into nll_loss. Log_softmax into cross_entropy changes no number and is left alone.
    """

    name = "softmax-twice"

    def backward(self, graph: Graph) -> None:
        for loss, node in takes_scores(graph):
            first = source(node)
            if first is not None and first.vjp in _SQUASHING:
                squash = _SQUASHING[first.vjp]
                hint = f"leave the {squash} out of training: {loss} applies its own"
                self._tell(node, first, loss, squash, "raw scores", hint)
        for node in graph.of(nll_loss_vjp):
            first = source(node)
            if first is not None and first.vjp is softmax_vjp:
                hint = "use log_softmax, or cross_entropy on the raw scores"
                self._tell(node, first, "nll_loss", "softmax", "log-probabilities", hint)

    def _tell(
        self, node: Node, first: Node, loss: str, squash: str, wanted: str, hint: str
    ) -> None:
        made = f" made at {first.site}" if first.site is not None else ""
        self.say(
            f"{loss} takes {wanted}, got the output of {squash}{made}",
            node.site, hint=hint,
        )  # fmt: skip


class ReluLast(Rule):
    """ReLU's output goes straight into a loss of scores: none of them can be negative.

    Not where pooling lies between, as in SqueezeNet.
    """

    name = "relu-last"
    hint = "end the model with the last Linear or Conv layer, without an activation"

    def backward(self, graph: Graph) -> None:
        for loss, node in takes_scores(graph):
            first = source(node)
            if first is not None and first.vjp is relu_vjp and self.run.inside(first):
                made = f" made at {first.site}" if first.site is not None else ""
                self.say(
                    f"{loss} takes scores of either sign, got the output of relu{made}", node.site
                )


class NotLogProbabilities(Rule):
    """The loss is an nll_loss, and negative: so some 'log-probability' is positive."""

    name = "nll-scores"
    hint = "use cross_entropy, or log_softmax before nll_loss"

    def backward(self, graph: Graph) -> None:
        root = graph.roots[0]
        if root.vjp is nll_loss_vjp:
            loss = graph.loss()
            if loss is not None and -math.inf < loss < -1e-3:
                self.say(
                    f"nll_loss takes log-probabilities, none above 0, got a loss of {loss:.4g}",
                    root.site,
                )


class BroadcastLoss(Rule):
    """Outside the model a column (N, 1) minus a vector (N,) of no gradient made (N, N); twice.

    Not a column made there, as ``x[:, None]``, nor where two tensors with gradients are compared in
    the same way, as in distances of distributions.
    """

    name = "broadcast-loss"
    hint = "bring both to one shape first: target.view(-1, 1) or output.squeeze(1)"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.count: dict[Any, int] = {}

    def backward(self, graph: Graph) -> None:
        pairs = [(node, [e for e in node.edges if e is not None]) for node in graph.of(sub_vjp)
                 if _is_square(node.metas[0][0]) and not self.run.inside(node)]  # fmt: skip
        if any(len(edges) > 1 for _, edges in pairs):
            return
        for node, ((above, nr),) in pairs:
            shape, given = node.metas[0][0], above.metas[nr][0]
            column = given == (shape[0], 1) and (above.vjp is None or self.run.inside(above))
            if column or given == (shape[0],):
                spot = node._site
                self.count[spot] = self.count.get(spot, 0) + 1
                if self.count[spot] == 2:
                    self.say(
                        "a loss compares every prediction with every target: "
                        f"got {given} against a tensor that makes {shape} of it",
                        node.site,
                    )


def _is_square(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[0] == shape[1] > 1


class NotFinite(Rule):
    """Backward starts from NaN or infinity, or a step is taken with such a gradient.

    Not for a float16 loss: a scaler lets one overflow and skips the step.
    """

    name = "not-finite"
    hint = (
        "lucidlite.autograd.detect_anomaly() names the operation; a lower learning rate, "
        "clip_grad_norm_ or an eps in log, sqrt and division usually helps"
    )

    def backward(self, graph: Graph) -> None:
        if graph.tensors[0].array.dtype == np.float16:
            return
        loss = graph.loss()
        if loss is not None and not math.isfinite(loss):
            self.say(f"the loss must be finite, got {loss} in step {self.run.steps}", user_site())

    def before_step(self, step: Step) -> None:
        size = 0.0 if step.sizes is None else step.sizes.gradient
        if math.isinf(size):  # the norm may be too large for float32
            size = step.largest()
        if not math.isfinite(size):
            self.say(
                f"a step must have finite gradients, got {size} in step {self.run.steps}",
                user_site(),
            )
