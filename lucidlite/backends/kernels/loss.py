"""Softmax and the losses that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.backends.kernels import Array, in_float32


class LossKernels:
    """Kernels along one axis of scores."""

    xp: Any

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...
        def call(self, name: str, *args: Any, **kwargs: Any) -> Array: ...
        def reduce(self, name: str, array: Array, axis: Any, keepdims: bool) -> Array: ...

    @in_float32
    def softmax(self, x: Array, axis: int) -> Array:
        """``exp(x) / sum(exp(x))`` along an axis."""
        e = self.map("exp", self._shifted(x, axis))
        if not x.ndim:
            return self.map("divide", e, e)
        return self.map("divide", e, e.sum(axis=axis, keepdims=True), out=e)

    @in_float32
    def log_softmax(self, x: Array, axis: int) -> Array:
        """``log(softmax(x))`` along an axis."""
        shifted = self._shifted(x, axis)
        e = self.map("exp", shifted)
        total = e if not x.ndim else e.sum(axis=axis, keepdims=True)
        return self.map("subtract", shifted, self.map("log", total))

    @in_float32
    def softmax_grad(self, g: Array, y: Array, axis: int, logarithm: bool) -> Array:
        """The gradient for the scores, from the softmax ``y`` along an axis or its logarithm."""
        product = g if logarithm else self.map("multiply", g, y)
        factor = self.map("exp", y) if logarithm else y
        total = self.reduce("sum", product, (axis,) if g.ndim else (), True)
        return self.map("subtract", product, self.map("multiply", factor, total))

    @in_float32
    def logsumexp(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        """``log(sum(exp(x)))`` over axes; -inf for nothing."""
        xp = self.xp
        if all(x.shape[axis] for axis in axes):
            top = xp.max(x, axis=axes, keepdims=True)
            top = xp.where(xp.isfinite(top), top, x.dtype.type(0))
        else:
            top = xp.zeros((), x.dtype)
        total = self.map("exp", self.map("subtract", x, top)).sum(axis=axes, keepdims=True)
        out = self.map("add", self.map("log", xp.asarray(total)), top)
        return out if keepdims else xp.asarray(out.squeeze(axes))

    def _shifted(self, x: Array, axis: int) -> Array:
        """``x`` minus its largest value along the axis, so that exp can't overflow."""
        if not x.size:
            return x
        top = x if not x.ndim else x.max(axis=axis, keepdims=True)
        return self.map("subtract", x, top)

    @in_float32
    def cross_entropy(
        self, x: Array, target: Array, ignore_index: int | None, mean: bool, keep: bool
    ) -> tuple[Array, Array | None]:
        """The (mean) negative log-likelihood of int ``target`` (N) under scores ``x`` (N, C).

        Returns the 0-dim loss and, if ``keep``, what ``cross_entropy_backward`` wants (here the
        gradient for ``x``). Rows whose target is ``ignore_index`` count for nothing; None says that
        there are none.
        """
        xp = self.xp
        logp = self.log_softmax(x, 1)
        rows = xp.arange(x.shape[0])
        kept = target == target if ignore_index is None else target != ignore_index
        at = xp.where(kept, target, 0)
        count = kept.sum().astype(x.dtype) if mean else xp.asarray(1, x.dtype)
        picked = xp.where(kept, logp[rows, at], 0)
        loss = self.map("divide", xp.asarray(-picked.sum()), xp.asarray(count))
        if not keep:
            return loss, None
        grad = self.map("exp", logp)
        grad[rows, at] -= 1
        # Where no row counts the loss is NaN, and as in PyTorch the gradient 0: not 0 / 0 there.
        share = self.map("divide", xp.asarray(1, x.dtype), xp.asarray(count))
        scale = xp.where(kept, share, x.dtype.type(0))
        return loss, self.map("multiply", grad, scale[:, None], out=grad)

    def cross_entropy_backward(
        self, g: Array, state: Any, x: Array, target: Array, ignore_index: int | None
    ) -> Array:
        """The gradient for ``x``, times the 0-dim ``g``."""
        del x, target, ignore_index  # all is in the state here
        return self.map("multiply", state, g)
