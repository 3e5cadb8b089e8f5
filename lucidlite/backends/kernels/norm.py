"""Batch normalization (Ioffe and Szegedy, 2015), over every axis but the channels'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.backends.kernels import Array

Stats = tuple[Array, Array]


class NormKernels:
    """Kernels on (N, C, ...) arrays with one mean and spread a channel."""

    xp: Any
    # Whether these kernels take float16 as it is, and compute in float32.
    norms_float16 = False

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...
        def mean(self, array: Array, axis: tuple[int, ...], keepdims: bool) -> Array: ...

    def batch_norm_train(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        running: tuple[Array | None, Array | None],
        momentum: float,
        eps: float,
    ) -> tuple[Array, Array, Array]:
        """``x`` normalized by its own statistics, with their mean and ``1 / sqrt(var + eps)``.

        ``running`` (a mean and a variance, written to) move by ``momentum`` towards them.
        """
        mean, var = self.channel_stats(x)
        count = x.size // max(x.shape[1], 1)
        for held, now in zip(running, (mean, var * (count / max(count - 1, 1))), strict=True):
            if held is not None and count:
                self.blend(held, now, momentum)
        invstd = self.inverse_std(var, eps)
        return self.batch_norm(x, mean, invstd, weight, bias), mean, invstd

    def channel_stats(self, x: Array) -> Stats:
        """Mean and biased variance a channel, two passes."""
        axes = _others(x)
        mean = self.mean(x, axes, False)
        off = self.map("subtract", x, _row(mean, x))
        return mean, self.mean(self.map("multiply", off, off, out=off), axes, False)

    def inverse_std(self, var: Array, eps: float) -> Array:
        """``1 / sqrt(var + eps)``."""
        return self.map("reciprocal", self.map("sqrt", var + var.dtype.type(eps)))

    def blend(self, running: Array, now: Array, momentum: float) -> None:
        """Move ``running`` (written to) by ``momentum`` towards ``now``."""
        running *= 1.0 - momentum
        running += (now * momentum).astype(running.dtype, copy=False)

    def batch_norm(
        self, x: Array, mean: Array, invstd: Array, weight: Array | None, bias: Array | None
    ) -> Array:
        """``(x - mean) * invstd * weight + bias``, as one scale and one shift a channel."""
        scale = invstd if weight is None else invstd * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        out = self.map("multiply", x, _row(scale, x))
        return self.map("add", out, _row(shift, x), out=out)

    def batch_norm_backward(
        self, g: Array, x: Array, mean: Array, invstd: Array, weight: Array | None, training: bool
    ) -> tuple[Array, Array, Array]:
        """Gradients for x, weight and bias.

        In training the statistics depend on x: what moves them is taken out of the gradient.
        """
        axes = _others(x)
        xhat = self.map("subtract", x, _row(mean, x))
        xhat = self.map("multiply", xhat, _row(invstd, x), out=xhat)
        product = self.map("multiply", g, xhat)
        dw, db = product.sum(axis=axes), g.sum(axis=axes)
        scale = invstd if weight is None else invstd * weight
        if not training:
            return self.map("multiply", g, _row(scale, x)), dw, db
        count = x.size // max(x.shape[1], 1)
        dx = self.map("multiply", xhat, _row(dw / -count, x), out=xhat)
        dx = self.map("add", dx, g, out=dx)
        dx = self.map("subtract", dx, _row(db / count, x), out=dx)
        return self.map("multiply", dx, _row(scale, x), out=dx), dw, db


def _others(x: Array) -> tuple[int, ...]:
    return tuple(d for d in range(x.ndim) if d != 1)


def _row(values: Array, x: Array) -> Array:
    """One value a channel, to broadcast over ``x``."""
    return values.reshape((1, -1) + (1,) * (x.ndim - 2))
