"""Rules about the data that reach the model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucidlite.callsite import user_site
from lucidlite.nn.conv import _Conv
from lucidlite.nn.linear import Linear
from lucidlite.ops.classification import cross_entropy_vjp, nll_loss_vjp
from lucidlite.watching.graph import Graph, saved_array
from lucidlite.watching.rule import Rule
from lucidlite.watching.run import Call, Run
from lucidlite.watching.values import read

_LIBRARY = "lucidlite.nn."
_CERTAIN = 60.0  # minus the logarithm of a chance: e**-60


class Inputs255(Rule):
    """The first Conv or Linear layer gets whole numbers from 0 to more than 127, at most 255.

    Of images: (N, C, H, W) with 1, 3 or 4 channels, or rows of 64 and more whose mean is 8 at
    least. In two forwards of training, of the first five steps. Not for a layer with a forward of
    its own, which may scale them.
    """

    name = "inputs-0-255"
    hint = "divide by 255 (transforms.ToTensor() does), and normalize"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.first = False
        self.count = 0

    def forward(self, call: Call) -> None:  # noqa: ARG002
        self.first = self.run.steps < 5

    def layer(self, module: Any, args: tuple[Any, ...]) -> None:
        if not self.first:
            return
        self.first = False  # whatever comes first: a norm, an embedding
        if not isinstance(module, _Conv | Linear) or not args or not hasattr(args[0], "array"):
            return
        if not type(module).forward.__module__.startswith(_LIBRARY):
            return
        x, backend = args[0].array, args[0].backend
        images = x.ndim == 4 and x.shape[1] in (1, 3, 4)
        rows = x.ndim == 2 and x.shape[1] >= 64
        if not (images or rows) or x.dtype.kind != "f" or not x.size:
            return
        xp = backend.xp
        low, high, mean, whole = read(
            backend, [xp.min(x), xp.max(x), xp.mean(x, dtype=np.float32), xp.all(x == xp.floor(x))]
        )
        found = whole and low >= 0 and 127 < high <= 255 and (images or mean >= 8)
        self.count = self.count + 1 if found else 0
        if self.count == 2:
            self.say(
                "inputs are still pixels from 0 to 255, "
                f"got whole numbers from {low:.0f} to {high:.0f} with mean {mean:.1f}",
                user_site(),
            )


class Unshuffled(Rule):
    """The labels of every batch looked at are in order, five batches at least, and go on so.

    All upwards or all downwards, and half of the batches at least go on where the one before ended;
    the others begin an epoch. (Where each batch begins anew, as with pairs of classes or positives
    first, its order is harmless.) Only where chance would do that less than once in e**60: by the
    orders each batch's labels could have, and for batches of one class by that class's share. If
    all are of one class, none may begin an epoch, and only one of e**9 orders of theirs is this
    one. Batches of 8 labels and more, of more than one class in all.
    """

    name = "unshuffled"
    hint = "DataLoader(..., shuffle=True) for training"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.off = False
        self.batches: list[Any] = []
        self.direction = 0  # -1 downwards, 0 not known yet
        self.epochs = 0

    def backward(self, graph: Graph) -> None:
        if self.off:
            return
        losses = list(graph.of(cross_entropy_vjp, nll_loss_vjp))
        if len(losses) != 1:
            return
        (node,) = losses
        array = saved_array(node, 0 if node.vjp is nll_loss_vjp else 1)
        if array is None or array.size < 8 or array.size != array.shape[0]:
            return
        labels = node.metas[0][2].to_numpy(array).reshape(-1).astype(np.int64)
        if not self._goes_on(labels):
            self.off = True
            self.batches.clear()
            return
        self.batches.append(labels)
        count = len(self.batches)
        if any(np.ptp(batch) for batch in self.batches):
            goes_on = 2 * self.epochs <= count - 1
        else:
            _, counts = np.unique([batch[0] for batch in self.batches], return_counts=True)
            goes_on = not self.epochs and _orders(counts) >= 9
        if count < 5 or not goes_on or self._surprise() < _CERTAIN:
            return
        sizes = {len(set(batch.tolist())) for batch in self.batches}
        self.off = True
        self.say(
            "training batches come sorted by label, got "
            f"{len(self.batches)} of {len(self.batches)} batches in order, each of "
            f"{min(sizes)} to {max(sizes)} classes",
            node.site,
        )

    def _goes_on(self, labels: Any) -> bool:
        """Whether a batch is in order, and behind the one before it or at the beginning again."""
        before = self.batches[-1] if self.batches else labels[:1]
        for change in (labels[-1] - labels[0], labels[0] - before[-1]):
            self.direction = self.direction or int(np.sign(change))
        if (labels[0] - before[-1]) * self.direction < 0:
            self.epochs += 1
            if any((batch[0] - labels[0]) * self.direction < 0 for batch in self.batches):
                return False
        steps = np.diff(labels)
        return bool((steps * self.direction >= 0).all() and (self.direction or not steps.any()))

    def _surprise(self) -> float:
        """Minus the logarithm of the chance that shuffled batches look like these."""
        classes, whole = np.unique(np.concatenate(self.batches), return_counts=True)
        if len(classes) < 2:
            return 0.0
        share = dict(zip(classes, whole / whole.sum(), strict=True))
        total = 0.0
        for batch in self.batches:
            values, counts = np.unique(batch, return_counts=True)
            if len(values) == 1:
                total -= len(batch) * math.log(share[values[0]])
            else:
                total += _orders(counts) - math.log(2.0)
        return total


def _orders(counts: Any) -> float:
    """The logarithm of how many orders so many things of each kind could have."""
    return math.lgamma(sum(counts) + 1) - sum(math.lgamma(n + 1) for n in counts)
