"""A recurrent layer along a whole sequence, in one direction: RNN, LSTM and GRU.

Rows of all steps lie under each other, (R, width), ``counts`` of them a step; the later a step, the
fewer rows it may have (sequences that have ended). The products with the whole input are one
product; a step has one more, with the state before it, and the gates' arithmetic in place. What a
gradient's step can do for all steps at once is done before the walk back or after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.sequences import Held, Steps, order_of, state_before

Arrays = tuple[Array, ...]
Maybe = Sequence[Array | None]


class RecurrentKernels:
    """Whole sequences; weights are (w_ih, w_hh, b_ih, b_hh, w_hr), the last three or None.

    float16 is computed in float32, which what is kept for the gradient stays in.
    """

    xp: Any

    if TYPE_CHECKING:

        def matmul(self, a: Array, b: Array) -> Array: ...
        def linear(self, x: Array, weight: Array, bias: Array | None) -> Array: ...
        def relu(self, x: Array) -> Array: ...
        def relu_grad(self, g: Array, y: Array, out: Array | None = None) -> Array: ...
        def linear_backward(
            self, g: Array, x: Array | None, weight: Array | None, needs: tuple[bool, ...]
        ) -> tuple[Array | None, Array | None, Array | None]: ...

    def recurrent(
        self,
        mode: str,
        x: Array,
        state: Arrays,
        weights: Maybe,
        counts: tuple[int, ...],
        reverse: bool,
        keep: bool,
    ) -> tuple[Arrays, Arrays | None]:
        """((outputs of all steps, each part of the last state), what the gradient needs)."""
        kind = x.dtype
        x, *state = self._in_single(x, *state)  # type: ignore[assignment]
        run = {"LSTM": self._lstm, "GRU": self._gru}.get(mode, self._rnn)
        steps = order_of(counts, reverse)
        y, last, kept = run(mode, x, tuple(state), self._in_single(*weights), steps)
        if keep and y is kept[-1]:
            y = self.xp.array(y)  # the caller may write to it
        found = tuple([a.astype(kind, copy=False) for a in (y, *last)])
        return found, kept if keep else None

    def recurrent_backward(
        self,
        mode: str,
        grads: Maybe,
        x: Array,
        state: Arrays,
        weights: Maybe,
        kept: Arrays,
        counts: tuple[int, ...],
        reverse: bool,
        needs: tuple[bool, ...],
    ) -> tuple[Array | None, ...]:
        """The gradients that are needed: of x, each part of the state, and the five weights.

        ``grads`` are those of the outputs and of each part of the last state, None for zeros.
        """
        kind, parts = x.dtype, len(state)
        x, *first = self._in_single(x, *state)
        w_ih, w_hh, _, _, w_hr = self._in_single(*weights)
        dy, *ends = self._in_single(*grads)
        steps = order_of(counts, reverse)[::-1]
        ends = [
            self.xp.zeros_like(start) if end is None else self.xp.array(end, order="C")
            for end, start in zip(ends, first, strict=True)
        ]
        back = {"LSTM": self._lstm_back, "GRU": self._gru_back}.get(mode, self._rnn_back)
        dx_gates, dh_gates, h, dw_hr = back(mode, dy, ends, first, w_hh, w_hr, kept, steps)
        rows = x.reshape(-1, x.shape[-1])
        for_x = needs[0], *needs[parts + 1 : parts + 4 : 2]
        dx, dw_ih, db_ih = self.linear_backward(dx_gates, rows, w_ih, for_x)
        for_h = False, *needs[parts + 2 : parts + 5 : 2]
        dw_hh, db_hh = self.linear_backward(dh_gates, h, None, for_h)[1:]
        dx = None if dx is None else dx.reshape(x.shape)
        found = (dx, *ends, dw_ih, dw_hh, db_ih, db_hh, dw_hr)
        return tuple(
            a.astype(kind, copy=False) if a is not None and need else None
            for a, need in zip(found, needs, strict=True)
        )

    # -- h = tanh(gates) or relu(gates) ----------------------------------------------------------

    def _rnn(
        self, mode: str, x: Array, first: Arrays, weights: list[Any], steps: Steps
    ) -> tuple[Array, Arrays, Arrays]:
        xp = self.xp
        w_ih, w_hh, b_ih, b_hh = weights[:4]
        y = self.linear(x.reshape(-1, x.shape[-1]), w_ih, _sum(b_ih, b_hh))
        held, turned = Held(xp, first[0]), w_hh.T
        space = self._product_space(first[0], len(w_hh))
        for span, n in steps:
            gates = y[span]
            xp.add(gates, self._step_product(held.rows(n), turned, space), out=gates)
            if mode == "RNN_RELU":
                gates[...] = self.relu(gates)
            else:
                xp.tanh(gates, out=gates)
            held.now = gates
        return y, (held.end(),), (y,)

    def _rnn_back(
        self, mode: str, dy: Any, ends: Any, first: Any, w_hh: Array, _: Any, kept: Arrays,
        steps: Steps,
    ) -> Any:  # fmt: skip
        xp, (y,), (dh,) = self.xp, kept, ends
        slope = xp.multiply(y, y)
        xp.subtract(1, slope, out=slope)
        for span, n in steps:
            now, gates = dh[:n], slope[span]
            if dy is not None:
                xp.add(now, dy[span], out=now)
            if mode == "RNN_RELU":
                gates[...] = self.relu_grad(now, y[span])
            else:
                xp.multiply(gates, now, out=gates)
            self._product_into(gates, w_hh, now)
        return slope, slope, state_before(xp, y, first[0], steps), None

    # -- LSTM ------------------------------------------------------------------------------------

    def _lstm(
        self, _: str, x: Array, first: Arrays, weights: list[Any], steps: Steps
    ) -> tuple[Array, Arrays, Arrays]:
        """Kept: the gates after their functions, c and tanh(c) of all steps.

        sigmoid(x) is 0.5 * tanh(0.5 * x) + 0.5, so that one tanh does for all the gates; their
        halves are taken of the weights.
        """
        xp, (w_ih, w_hh, b_ih, b_hh, w_hr) = self.xp, weights
        size = first[1].shape[1]
        half = xp.full(4 * size, 0.5, x.dtype)
        half[2 * size : 3 * size] = 1
        column, bias = half[:, None], _sum(b_ih, b_hh)
        bias = None if bias is None else bias * half
        gates = self.linear(x.reshape(-1, x.shape[-1]), w_ih * column, bias)
        turned = (w_hh * column).T
        h, c = Held(xp, first[0]), Held(xp, first[1])
        cells, bent = (xp.empty((len(gates), size), x.dtype) for _ in range(2))
        y = xp.empty((len(gates), size if w_hr is None else len(w_hr)), x.dtype)
        space, other = self._product_space(first[0], 4 * size), xp.empty_like(first[1])
        scale = xp.empty((len(first[0]), 4 * size), x.dtype)
        scale[...] = half
        shift = 1 - scale
        for span, n in steps:
            now, cell, flat = gates[span], cells[span], bent[span]
            xp.add(now, self._step_product(h.rows(n), turned, space), out=now)
            xp.tanh(now, out=now)
            xp.add(xp.multiply(now, scale[:n], out=now), shift[:n], out=now)
            i, f, g, o = _cut(now, size)
            xp.multiply(f, c.rows(n), out=cell)
            xp.add(cell, xp.multiply(i, g, out=other[:n]), out=cell)
            xp.tanh(cell, out=flat)
            if w_hr is None:
                xp.multiply(o, flat, out=y[span])
            else:
                self._product_into(xp.multiply(o, flat, out=other[:n]), w_hr.T, y[span])
            h.now, c.now = y[span], cell
        return y, (h.end(), c.end()), (gates, cells, bent)

    def _lstm_back(
        self, _: str, dy: Any, ends: Any, first: Any, w_hh: Array, w_hr: Any, kept: Arrays,
        steps: Steps,
    ) -> Any:  # fmt: skip
        """The gates' gradients are dc (of o: dh) times what is known beforehand."""
        xp, (gates, cells, bent), (dh, dc) = self.xp, kept, ends
        size = cells.shape[1]
        i, f, g, o = _cut(gates, size)
        slopes = xp.multiply(gates, gates)
        parts = _cut(slopes, size)
        for part, gate in zip(parts, (i, f, None, o), strict=True):
            xp.subtract(1 if gate is None else gate, part, out=part)
        before = state_before(xp, cells, first[1], steps)
        for part, factor in zip(parts, (g, before, i, bent), strict=True):
            xp.multiply(part, factor, out=part)
        full = xp.multiply(o, bent)
        through = xp.multiply(full, bent, out=before)  # of h to c: o * (1 - tanh(c) ** 2)
        xp.subtract(o, through, out=through)
        seen = None if w_hr is None else xp.empty((len(gates), len(w_hr)), gates.dtype)
        three = slopes.reshape(-1, 4, size)
        for span, n in steps:
            now, cell = dh[:n], dc[:n]
            if dy is not None:
                xp.add(now, dy[span], out=now)
            back = now
            if seen is not None:
                seen[span] = now
                back = self.matmul(now, w_hr)
            flow = through[span]
            xp.add(cell, xp.multiply(flow, back, out=flow), out=cell)
            step = three[span]
            xp.multiply(step[:, :3], cell[:, None], out=step[:, :3])
            xp.multiply(step[:, 3], back, out=step[:, 3])
            xp.multiply(cell, f[span], out=cell)
            self._product_into(slopes[span], w_hh, now)
        if seen is None:
            return slopes, slopes, state_before(xp, full, first[0], steps), None
        h = state_before(xp, self.matmul(full, w_hr.T), first[0], steps)
        return slopes, slopes, h, self.matmul(seen.T, full)

    # -- GRU -------------------------------------------------------------------------------------

    def _gru(
        self, _: str, x: Array, first: Arrays, weights: list[Any], steps: Steps
    ) -> tuple[Array, Arrays, Arrays]:
        """Kept: r, z and n of all steps, what r lets through of, and h."""
        xp, (w_ih, w_hh, b_ih, b_hh) = self.xp, weights[:4]
        size = w_hh.shape[1]
        half = xp.full(3 * size, 0.5, x.dtype)
        half[2 * size :] = 1
        column, inner = half[:, None], None
        if b_hh is not None:
            inner, b_hh = b_hh[2 * size :], xp.array(b_hh)
            b_hh[2 * size :] = 0
        bias = _sum(b_ih, b_hh)
        bias = None if bias is None else bias * half
        gates = self.linear(x.reshape(-1, x.shape[-1]), w_ih * column, bias)
        turned, held = (w_hh * column).T, Held(xp, first[0])
        y, kept = (xp.empty((len(gates), size), x.dtype) for _ in range(2))
        space = self._product_space(first[0], 3 * size)
        for span, n in steps:
            now, h, let, out = gates[span], held.rows(n), kept[span], y[span]
            found = self._step_product(h, turned, space)
            rz, new = now[:, : 2 * size], now[:, 2 * size :]
            xp.add(rz, found[:, : 2 * size], out=rz)
            xp.tanh(rz, out=rz)
            xp.multiply(rz, 0.5, out=rz)
            xp.add(rz, 0.5, out=rz)
            if inner is None:
                let[...] = found[:, 2 * size :]
            else:
                xp.add(found[:, 2 * size :], inner, out=let)
            xp.add(new, xp.multiply(rz[:, :size], let, out=out), out=new)
            xp.tanh(new, out=new)
            xp.subtract(h, new, out=out)
            xp.multiply(rz[:, size:], out, out=out)
            xp.add(out, new, out=out)
            held.now = out
        return y, (held.end(),), (gates, kept, y)

    def _gru_back(
        self, _: str, dy: Any, ends: Any, first: Any, w_hh: Array, __: Any, kept: Arrays,
        steps: Steps,
    ) -> Any:  # fmt: skip
        """All the gates' gradients are dh times what is known beforehand."""
        xp, (gates, let, y), (dh,) = self.xp, kept, ends
        size = y.shape[1]
        r, z, n = _cut(gates, size)
        before = state_before(xp, y, first[0], steps)
        slopes = xp.empty_like(gates)
        of_r, of_z, of_let = _cut(slopes, size)
        of_n = xp.multiply(n, n)  # (1 - z) * (1 - n ** 2)
        xp.subtract(1, of_n, out=of_n)
        xp.multiply(of_n, xp.subtract(1, z, out=of_r), out=of_n)
        xp.multiply(of_r, z, out=of_r)
        xp.multiply(xp.subtract(before, n, out=of_z), of_r, out=of_z)
        xp.multiply(of_n, r, out=of_let)
        xp.multiply(xp.subtract(1, r, out=of_r), of_let, out=of_r)
        xp.multiply(of_r, let, out=of_r)
        three, space = slopes.reshape(-1, 3, size), self._product_space(dh, size)
        for span, rows in steps:
            now, step, new = dh[:rows], three[span], of_n[span]
            if dy is not None:
                xp.add(now, dy[span], out=now)
            xp.multiply(step, now[:, None], out=step)
            xp.multiply(new, now, out=new)
            xp.multiply(now, z[span], out=now)
            xp.add(now, self._step_product(slopes[span], w_hh, space), out=now)
        of_x = xp.array(slopes)
        of_x[:, 2 * size :] = of_n
        return of_x, slopes, before, None

    # -- what they share -------------------------------------------------------------------------

    def _step_product(self, a: Array, b: Array, space: Array | None) -> Array:  # noqa: ARG002
        """``a @ b``, which may be put into the first rows of ``space``."""
        return self.matmul(a, b)

    def _product_into(self, a: Array, b: Array, out: Array) -> None:
        """``a @ b`` into ``out``, which isn't one of them."""
        out[...] = self.matmul(a, b)

    def _product_space(self, like: Array, width: int) -> Array | None:  # noqa: ARG002
        """Room for a step's product, where ``_step_product`` uses it."""
        return None

    def _in_single(self, *arrays: Array | None) -> list[Any]:
        half = self.xp.float16
        return [
            a.astype(self.xp.float32) if a is not None and a.dtype == half else a for a in arrays
        ]


def _sum(a: Array | None, b: Array | None) -> Any:
    return a if b is None else b if a is None else a + b


def _cut(gates: Array, size: int) -> list[Array]:
    return [gates[:, at : at + size] for at in range(0, gates.shape[1], size)]
