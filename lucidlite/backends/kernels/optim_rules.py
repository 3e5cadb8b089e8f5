"""The rules of more optimizers: each moves a parameter and its state by one step, in place.

A rule is a function of blocks: the library, the parameter ``p``, the gradient ``g`` (only read;
sign and weight decay are in it already), two scratch arrays, the state in the order of the
optimizer's names, and the step's numbers. The order of operations is PyTorch's, and float16 is
stepped in float32, as in ``OptimKernels``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.optim import Widened

# A parameter, its gradient, the arrays of its state, and the numbers of its step.
RuleItem = tuple[Array, Array, Sequence[Array | None], Mapping[str, float]]


class OptimRuleKernels:
    """A step by any of RULES, and averages of weights."""

    xp: Any
    _blocks: Callable[..., Iterator[tuple[tuple[Any, ...], list[Array]]]]

    def rule_steps(
        self,
        name: str,
        items: Sequence[RuleItem],
        *,
        weight_decay: float = 0.0,
        shrink: float = 1.0,
        maximize: bool = False,
    ) -> None:
        """One step of every item by the rule ``name``. Parameters and states are outputs.

        ``weight_decay`` adds that many parameters to the gradient; ``shrink`` multiplies the
        parameter first (decoupled decay); ``maximize`` turns the gradient round.
        """
        xp, rule = self.xp, RULES[name]
        for param, grad, states, numbers in items:
            if param.dtype == "float16":
                with Widened(xp, param, *states) as (wide, *wider):
                    item = (wide, grad.astype("float32"), wider, numbers)
                    self.rule_steps(
                        name, [item], weight_decay=weight_decay, shrink=shrink, maximize=maximize
                    )
                continue
            turned = bool(weight_decay) or maximize
            for (p, g, *state), (one, two, *own) in self._blocks(
                3 if turned else 2, param, grad, *states
            ):
                if shrink != 1.0:
                    xp.multiply(p, shrink, out=p)
                if weight_decay:
                    work = xp.multiply(p, weight_decay, out=own[0])
                    g = (xp.subtract if maximize else xp.add)(work, g, out=work)
                elif maximize:
                    g = xp.negative(g, out=own[0])
                rule(xp, p, g, one, two, *state, **numbers)

    def lerp_into(self, targets: Sequence[Array], ends: Sequence[Array], weight: float) -> None:
        """Move every target (an output) by ``weight`` of the way to its end; floating point."""
        for target, end in zip(targets, ends, strict=True):
            if target.dtype == "float16":
                with Widened(self.xp, target) as (wide,):
                    self.lerp_into([wide], [end.astype("float32")], weight)
                continue
            for (t, e), (work,) in self._blocks(1, target, end):
                _lerp(self.xp, t, e, weight, work)


def _lerp(xp: Any, start: Array, end: Array, weight: float, work: Array) -> None:
    """start += weight * (end - start), reckoned from the end that is nearer, as PyTorch does."""
    if weight < 0.5:
        xp.subtract(end, start, out=work)
        xp.add(start, xp.multiply(work, weight, out=work), out=start)
    else:
        xp.subtract(end, start, out=work)
        xp.subtract(end, xp.multiply(work, 1 - weight, out=work), out=start)


def _square_mean(xp: Any, square: Array, g: Array, keep: float, work: Array) -> None:
    """square = keep * square + (1 - keep) * g * g."""
    xp.multiply(square, keep, out=square)
    xp.multiply(g, 1 - keep, out=work)
    xp.add(square, xp.multiply(work, g, out=work), out=square)


def _root(xp: Any, square: Array, eps: float, out: Array) -> Array:
    """sqrt(square) + eps in ``out``."""
    xp.sqrt(square, out=out)
    return xp.add(out, eps, out=out)


def _move(xp: Any, p: Array, top: Array, below: Array, rate: float, work: Array) -> None:
    """p -= rate * top / below."""
    xp.multiply(top, rate, out=work)
    xp.subtract(p, xp.divide(work, below, out=work), out=p)


def rmsprop(
    xp: Any, p: Array, g: Array, one: Array, two: Array,
    square_avg: Array, momentum_buffer: Array | None, grad_avg: Array | None,
    *, lr: float, alpha: float, eps: float, momentum: float,
) -> None:  # fmt: skip
    """The gradient over the root of its mean square (less the mean squared, where centered)."""
    _square_mean(xp, square_avg, g, alpha, one)
    square = square_avg
    if grad_avg is not None:
        _lerp(xp, grad_avg, g, 1 - alpha, one)
        square = xp.subtract(square_avg, xp.multiply(grad_avg, grad_avg, out=one), out=one)
    root = _root(xp, square, eps, one)
    if momentum_buffer is None:
        _move(xp, p, g, root, lr, two)
        return
    xp.multiply(momentum_buffer, momentum, out=momentum_buffer)
    xp.add(momentum_buffer, xp.divide(g, root, out=two), out=momentum_buffer)
    xp.subtract(p, xp.multiply(momentum_buffer, lr, out=two), out=p)


def adagrad(
    xp: Any, p: Array, g: Array, one: Array, two: Array, total: Array, *, lr: float, eps: float
) -> None:
    """The gradient over the root of the sum of all its squares."""
    xp.add(total, xp.multiply(g, g, out=one), out=total)
    _move(xp, p, g, _root(xp, total, eps, one), lr, two)


def adadelta(
    xp: Any, p: Array, g: Array, one: Array, two: Array,
    square_avg: Array, acc_delta: Array,
    *, lr: float, rho: float, eps: float,
) -> None:  # fmt: skip
    """The gradient times the root mean square of the steps, over its own."""
    _square_mean(xp, square_avg, g, rho, one)
    xp.sqrt(xp.add(square_avg, eps, out=one), out=one)
    xp.sqrt(xp.add(acc_delta, eps, out=two), out=two)
    delta = xp.multiply(xp.divide(two, one, out=two), g, out=two)
    _square_mean(xp, acc_delta, delta, rho, one)
    xp.subtract(p, xp.multiply(delta, lr, out=delta), out=p)


def adamax(
    xp: Any, p: Array, g: Array, one: Array, two: Array,
    exp_avg: Array, exp_inf: Array,
    *, rate: float, beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    """The mean gradient over the largest one of late."""
    _lerp(xp, exp_avg, g, 1 - beta1, one)
    xp.multiply(exp_inf, beta2, out=exp_inf)
    size = xp.add(xp.absolute(g, out=one), eps, out=one)
    xp.maximum(exp_inf, size, out=exp_inf)
    _move(xp, p, exp_avg, exp_inf, rate, two)


def nadam(
    xp: Any, p: Array, g: Array, one: Array, two: Array,
    exp_avg: Array, exp_avg_sq: Array,
    *, beta1: float, beta2: float, eps: float, correction: float, now: float, ahead: float,
) -> None:  # fmt: skip
    """Adam's step with a look ahead: ``now`` of the gradient and ``ahead`` of its mean."""
    _lerp(xp, exp_avg, g, 1 - beta1, one)
    _square_mean(xp, exp_avg_sq, g, beta2, one)
    root = _root(xp, xp.divide(exp_avg_sq, correction, out=one), eps, one)
    _move(xp, p, g, root, now, two)
    _move(xp, p, exp_avg, root, ahead, two)


def radam(
    xp: Any, p: Array, g: Array, one: Array, two: Array,
    exp_avg: Array, exp_avg_sq: Array,
    *, lr: float, beta1: float, beta2: float, eps: float,
    correction1: float, correction2: float, rectify: float,
) -> None:  # fmt: skip
    """Adam's step times ``rectify``; the mean gradient alone while that is 0 (too few steps)."""
    _lerp(xp, exp_avg, g, 1 - beta1, one)
    _square_mean(xp, exp_avg_sq, g, beta2, one)
    step = xp.multiply(xp.divide(exp_avg, correction1, out=two), lr, out=two)
    if rectify:
        root = _root(xp, exp_avg_sq, eps, one)
        xp.multiply(step, xp.divide(correction2**0.5, root, out=one), out=step)
        xp.multiply(step, rectify, out=step)
    xp.subtract(p, step, out=p)


def asgd(
    xp: Any, p: Array, g: Array, one: Array, _: Array, average: Array,
    *, eta: float, lambd: float, mu: float,
) -> None:  # fmt: skip
    """Plain descent with decay, and the average of the parameters on the way."""
    xp.multiply(p, 1 - lambd * eta, out=p)
    xp.subtract(p, xp.multiply(g, eta, out=one), out=p)
    if mu == 1:
        average[...] = p
    else:
        xp.multiply(xp.subtract(p, average, out=one), mu, out=one)
        xp.add(average, one, out=average)


def rprop(
    xp: Any, p: Array, g: Array, one: Array, two: Array, prev: Array, step_size: Array,
    *, slower: float, faster: float, least: float, most: float,
) -> None:  # fmt: skip
    """Steps of the gradient's sign, longer while it stays, shorter (and none) where it turns."""
    turn = xp.sign(xp.multiply(g, prev, out=one), out=one)
    turned = turn < 0
    xp.multiply(xp.maximum(turn, 0.0, out=two), faster - 1, out=two)
    xp.multiply(xp.minimum(turn, 0.0, out=one), 1 - slower, out=one)
    xp.add(xp.add(two, one, out=two), 1.0, out=two)
    xp.clip(xp.multiply(step_size, two, out=step_size), least, most, out=step_size)
    prev[...] = xp.where(turned, 0.0, g).astype(prev.dtype, copy=False)
    xp.multiply(xp.sign(prev, out=one), step_size, out=one)
    xp.subtract(p, one, out=p)


RULES: dict[str, Callable[..., None]] = {
    rule.__name__: rule for rule in (rmsprop, adagrad, adadelta, adamax, nadam, radam, asgd, rprop)
}
