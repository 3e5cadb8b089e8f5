"""An optimizer's step as rules see it, with sizes of gradients and weights measured once."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from lucidlite.ops.clip import total_norm
from lucidlite.tensor import Tensor
from lucidlite.watching.run import Run
from lucidlite.watching.values import norm, read


class Entry(NamedTuple):
    """A parameter of the model in an optimizer; ``moves`` says that its rate isn't 0."""

    name: str
    param: Tensor
    moves: bool


class Sizes(NamedTuple):
    """2-norms: of all gradients, of all weights, and of both for each matrix by its id."""

    gradient: float
    weight: float
    matrices: dict[int, tuple[float, float]]


class Step:
    """One call of ``optimizer.step``; what is measured is measured before it happens."""

    def __init__(self, run: Run, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.optimizer = optimizer
        self.closure = bool(args and args[0] is not None) or kwargs.get("closure") is not None
        names = run.names()
        self.entries = [
            Entry(names[id(param)], param, float(group.get("lr", 1.0)) != 0.0)
            for group in optimizer.param_groups
            for param in group["params"]
            if id(param) in names
        ]

    def rates(self) -> list[float]:
        """The learning rate of each group."""
        return [float(group.get("lr", 1.0)) for group in self.optimizer.param_groups]

    def largest(self) -> float:
        """The largest gradient of all; the host waits."""
        grads = [e.param.grad for e in self.entries if e.param.grad is not None]
        return float(total_norm([grad for grad in grads if grad.array.size], math.inf).item())

    @functools.cached_property
    def sizes(self) -> Sizes | None:
        """None without gradients, or where they are on several devices; the host waits once."""
        held = [(e.param, e.param.grad) for e in self.entries if e.param.grad is not None]
        held = [(param, grad) for param, grad in held if grad.array.size]
        backends = {param.backend for param, _ in held}
        if len(backends) != 1:
            return None
        (backend,) = backends
        matrices = [(param, grad) for param, grad in held if param.array.ndim > 1]
        scalars = [total_norm([grad for _, grad in held], 2.0).array]
        scalars.append(total_norm([param.detach() for param, _ in held], 2.0).array)
        for param, grad in matrices:
            scalars += [norm(backend, grad.array), norm(backend, param.array)]
        found = read(backend, scalars)
        pairs = zip(found[2::2], found[3::2], strict=True)
        return Sizes(
            found[0], found[1], {id(p): pair for (p, _), pair in zip(matrices, pairs, strict=True)}
        )
