"""Optimizer steps: one call updates one parameter and its state, in place. Gradient clipping.

The order of operations is PyTorch's, so trajectories agree to rounding (its CPU kernels fuse a
multiply with an add where NumPy rounds twice). Python floats are rounded to the parameter's dtype
by the ufuncs; float16 parameters are stepped in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lucidlite.backends.kernels import Array

# Elements a pass handles at a time on the CPU: a dozen passes over 64 Ki float32 elements of each
# operand stay in the cache, and the scratch arrays stay small however large the parameter.
BLOCK = 1 << 16

# What a step needs of a parameter: its array, its gradient, then the momentum buffer (None without
# momentum) and whether that is still empty; or the two averages, the largest square (AMSGrad's, or
# None) and the number of the step, of which the first is 1.
SGDItem = tuple[Array, Array, Array | None, bool]
AdamItem = tuple[Array, Array, Array, Array, Array | None, float]


class OptimKernels:
    """SGD and Adam updates. ``param`` and the state arrays are outputs; ``grad`` is only read."""

    xp: Any
    device: Any
    norm: Any

    def sgd_steps(self, items: Sequence[SGDItem], **options: Any) -> None:
        """``sgd_step`` for every (param, grad, momentum_buffer, first) of ``items``, in order."""
        for param, grad, buffer, first in items:
            self.sgd_step(param, grad, buffer, first=first, **options)

    def adam_steps(self, items: Sequence[AdamItem], **options: Any) -> None:
        """``adam_step`` for every (param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step)."""
        for *arrays, step in items:
            self.adam_step(*arrays, step=step, **options)

    def sgd_step(
        self,
        param: Array,
        grad: Array,
        momentum_buffer: Array | None,
        *,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        maximize: bool,
        first: bool,
    ) -> None:
        """One step of SGD. ``first``: the buffer holds nothing yet and takes the gradient whole.

        ``momentum_buffer`` is None exactly where momentum is 0. Semantics: torch.optim.SGD.
        """
        options: dict[str, Any] = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "first": first,
        }  # fmt: skip
        if param.dtype == "float16":
            with Widened(self.xp, param, momentum_buffer) as (wide, wide_buffer):
                self.sgd_step(wide, grad.astype("float32"), wide_buffer, **options)
            return
        xp = self.xp
        for (p, g, buffer), (step, work) in self._blocks(2, param, grad, momentum_buffer):
            if weight_decay:
                xp.multiply(p, weight_decay, out=step)
                (xp.subtract if maximize else xp.add)(step, g, out=step)
                g = step
            elif maximize:
                g = xp.negative(g, out=step)
            if buffer is not None:
                if first:
                    buffer[...] = g
                else:
                    xp.multiply(buffer, momentum, out=buffer)
                    if dampening:
                        xp.add(buffer, xp.multiply(g, 1 - dampening, out=work), out=buffer)
                    else:
                        xp.add(buffer, g, out=buffer)
                if nesterov:
                    xp.multiply(buffer, momentum, out=work)
                    g = xp.add(work, g, out=work)
                else:
                    g = buffer
            xp.subtract(p, xp.multiply(g, lr, out=work), out=p)

    def adam_step(
        self,
        param: Array,
        grad: Array,
        exp_avg: Array,
        exp_avg_sq: Array,
        max_exp_avg_sq: Array | None,
        *,
        step: float,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        decoupled: bool,
        maximize: bool,
    ) -> None:
        """Step number ``step`` (the first is 1) of Adam, or of AdamW where ``decoupled``.

        ``max_exp_avg_sq`` is given for AMSGrad. Semantics: torch.optim.Adam, torch.optim.AdamW.
        """
        options: dict[str, Any] = {
            "step": step, "lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps,
            "weight_decay": weight_decay, "decoupled": decoupled, "maximize": maximize,
        }  # fmt: skip
        if param.dtype == "float16":
            with Widened(self.xp, param, exp_avg, exp_avg_sq, max_exp_avg_sq) as wide:
                self.adam_step(wide[0], grad.astype("float32"), *wide[1:], **options)
            return
        xp = self.xp
        step_size = lr / (1 - beta1**step)
        correction = (1 - beta2**step) ** 0.5
        states = (exp_avg, exp_avg_sq, max_exp_avg_sq)
        for (p, g, mean, square, largest), (new, work) in self._blocks(2, param, grad, *states):
            if weight_decay and decoupled:
                xp.multiply(p, 1 - lr * weight_decay, out=p)
            elif weight_decay:
                xp.multiply(p, weight_decay, out=new)
                (xp.subtract if maximize else xp.add)(new, g, out=new)
                g = new
            if maximize and g is not new:
                g = xp.negative(g, out=new)
            # mean = lerp(mean, g, 1 - beta1), from the end that is nearer, as torch does.
            if beta1 > 0.5:
                xp.subtract(g, mean, out=work)
                xp.add(mean, xp.multiply(work, 1 - beta1, out=work), out=mean)
            else:
                xp.subtract(mean, g, out=work)
                xp.add(g, xp.multiply(work, beta1, out=work), out=mean)
            xp.multiply(g, 1 - beta2, out=work)
            xp.multiply(work, g, out=work)
            xp.multiply(square, beta2, out=square)
            xp.add(square, work, out=square)
            if largest is not None:
                square = xp.maximum(largest, square, out=largest)
            xp.sqrt(square, out=work)
            xp.divide(work, correction, out=work)
            xp.add(work, eps, out=work)
            # g is spent, so its scratch takes the numerator.
            xp.multiply(mean, step_size, out=new)
            xp.subtract(p, xp.divide(new, work, out=new), out=p)

    def total_norm(self, arrays: Sequence[Array], p: float) -> Array:
        """The ``p``-norm of the arrays' ``p``-norms, 0-dim in their common dtype."""
        norms = [self.norm(a, p, tuple(range(a.ndim)), False) for a in arrays]
        return self.norm(self.xp.stack(norms), p, (0,), False)

    def clip_norm(self, arrays: Sequence[Array], most: float, p: float) -> Array:
        """``scale_to_norm`` by the arrays' own ``total_norm``, which is returned."""
        norm = self.total_norm(arrays, p)
        self.scale_to_norm(arrays, most, norm)
        return norm

    def scale_to_norm(self, arrays: Sequence[Array], most: float, norm: Array) -> None:
        """Multiply the arrays, in place, by most / (norm + 1e-6), or by 1 where that is less."""
        xp = self.xp
        factor = xp.minimum(most / (norm + 1e-6), 1.0)
        for a in arrays:
            xp.multiply(a, xp.asarray(factor, dtype=a.dtype), out=a)

    def clip_values(self, arrays: Sequence[Array], most: float) -> None:
        """Hold the arrays' elements, in place, between -most and most; NaN stays."""
        for a in arrays:
            self.xp.clip(a, -most, most, out=a)

    def _blocks(
        self, scratch: int, param: Array, *others: Array | None
    ) -> Iterator[tuple[tuple[Any, ...], list[Array]]]:
        """The operands, and ``scratch`` arrays like ``param``, in pieces of BLOCK elements.

        In one piece on a GPU (each pass is a launch) and where an operand is not contiguous.
        """
        arrays = (param, *others)
        whole = param.size <= BLOCK or self.device.type != "cpu"
        if whole or any(a is not None and not a.flags.c_contiguous for a in arrays):
            yield arrays, [self.xp.empty_like(param) for _ in range(scratch)]
            return
        flat = [None if a is None else a.reshape(-1) for a in arrays]
        spare = [self.xp.empty(BLOCK, dtype=param.dtype) for _ in range(scratch)]
        for start in range(0, param.size, BLOCK):
            stop = min(start + BLOCK, param.size)
            pieces = tuple([None if a is None else a[start:stop] for a in flat])
            yield pieces, [s[: stop - start] for s in spare]


class Widened:
    """float32 copies of float16 outputs, written back when the block ends."""

    def __init__(self, xp: Any, *arrays: Array | None) -> None:
        self._pairs = [(a, None if a is None else xp.asarray(a, dtype="float32")) for a in arrays]

    def __enter__(self) -> list[Any]:
        return [wide for _, wide in self._pairs]

    def __exit__(self, *exc: object) -> None:
        for narrow, wide in self._pairs:
            if narrow is not None:
                narrow[...] = wide
