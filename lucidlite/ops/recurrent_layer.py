"""A recurrent layer along a whole sequence, in one direction, as one operation.

One kernel call runs all steps, one more gives all gradients. Under ``create_graph`` the gradients
are composed of small operations, step by step, which have derivatives of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lucidlite.grad_mode import grad_mode
from lucidlite.ops.activation import relu_grad, sigmoid, tanh
from lucidlite.ops.join import cat, chunk, split, stack, unbind
from lucidlite.ops.matmul import linear, matmul
from lucidlite.ops.precision import precision
from lucidlite.ops.recurrent import CELLS, State, Weights, _first_rows, _replaced, run
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import reshape, t
from lucidlite.tape import fresh, needs_grad, record_many, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

Counts = tuple[int, ...]


def recurrent_layer(
    mode: str, x: Tensor, counts: Sequence[int], state: State, weights: Weights, reverse: bool
) -> tuple[Tensor, State]:
    """All steps of a layer in one direction: outputs, rows under each other, and the last state.

    ``x`` is (L, N, width), or the rows of all steps under each other, ``counts`` of them a step;
    fewer the later it is. ``weights`` are w_ih, w_hh, b_ih, b_hh and w_hr, the last three or None.
    """
    if _one_kind(x, *state, *weights) and _fit(mode, x, state, weights):
        out, *last = _fused(mode, x, tuple(counts), state, weights, reverse)
        return out, tuple(last)
    inputs = _inputs(x, counts, weights)
    _, states, end = run(CELLS[mode][0], inputs, state, _of_state(weights), reverse)
    return cat([part[0] for part in states]), end


def _one_kind(x: Tensor, *others: Tensor | None) -> bool:
    """Whether nothing is to be converted; what can't be together the small operations refuse."""
    kind, backend = x.array.dtype, x.backend
    return (
        not precision.active
        and kind.kind == "f"
        and all([o is None or (o.array.dtype == kind and o.backend is backend) for o in others])
    )


def _fit(mode: str, x: Tensor, state: State, weights: Weights) -> bool:
    """Whether the weights have the shapes a layer makes them in."""
    w_ih, w_hh, b_ih, b_hh, w_hr = [None if w is None else w.array.shape for w in weights]
    size, out = state[-1].array.shape[1], state[0].array.shape[1]
    rows = CELLS[mode][1] * size
    return (
        w_ih == (rows, x.array.shape[-1])
        and w_hh == (rows, out)
        and b_ih in (None, (rows,))
        and b_hh in (None, (rows,))
        and w_hr == ((out, size) if w_hr is not None or out != size else None)
    )


def _inputs(x: Tensor, counts: Sequence[int], weights: Weights) -> Sequence[Tensor]:
    """The input's share in the gates of each step."""
    gates = linear(x, weights[0], weights[2])  # type: ignore[arg-type]
    return split(gates, list(counts)) if gates.array.ndim == 2 else unbind(gates, 0)


def _of_state(weights: Weights) -> Weights:
    return weights[1], *weights[3:]


def _fused(
    mode: str, x: Tensor, counts: Counts, state: State, weights: Weights, reverse: bool
) -> tuple[Tensor, ...]:
    inputs = x, *state, *weights
    arrays = [None if t is None else t.array for t in inputs]
    first, held = tuple(arrays[1 : len(state) + 1]), arrays[len(state) + 1 :]
    keep = any(needs_grad(*inputs))
    found, kept = x.backend.recurrent(mode, arrays[0], first, held, counts, reverse, keep)
    args = (mode, counts, reverse)
    return record_many(found, recurrent_vjp, inputs, args, inputs, kept, name=mode.lower())


def recurrent_vjp(
    node: Node, grads: tuple[Tensor | None, ...], mode: str, counts: Counts, reverse: bool
) -> tuple[Tensor | None, ...]:
    tensors, needs = node.saved_tensors, node.needs_input_grad
    state, weights = tensors[1:-5], tensors[-5:]
    if grad_mode.enabled:
        return _composite(node, grads, mode, counts, reverse)
    backend = tensors[0].backend
    given, x, first, held = (
        tuple([None if t is None else t.array for t in group])
        for group in (grads, tensors[:1], state, weights)
    )
    found = backend.recurrent_backward(
        mode, given, x[0], first, held, node.kernel_state(), counts, reverse, needs
    )
    return tuple([None if array is None else fresh(wrap(array, backend)) for array in found])


# -- the same gradients as differentiable operations -----------------------------------------------


def _composite(
    node: Node, grads: Sequence[Tensor | None], mode: str, counts: Counts, reverse: bool
) -> tuple[Tensor | None, ...]:
    x, *tensors = node.saved_tensors
    state, weights, needs = tuple(tensors[:-5]), tensors[-5:], node.needs_input_grad
    inputs = _inputs(x, counts, weights)
    before, _, _ = run(CELLS[mode][0], inputs, state, _of_state(weights), reverse)
    pairs = zip(grads[1:], state, strict=True)
    flow = tuple([_zeros(part) if end is None else end for end, part in pairs])
    outputs = None if grads[0] is None else split(grads[0], list(counts))
    steps: list[Any] = [None] * len(counts)
    for k in range(len(counts))[:: 1 if reverse else -1]:
        here = [_first_rows(part, counts[k]) for part in flow]
        if outputs is not None:
            here[0] = here[0] + outputs[k]
        steps[k] = _BACK[mode](inputs[k], before[k], _of_state(weights), here)
        flow = _replaced(flow, steps[k][2])
    of_x, of_h = (cat([step[i] for step in steps]) for i in (0, 1))
    h, rows = cat([part[0] for part in before]), reshape(x, (-1, x.array.shape[-1]))
    return (
        reshape(matmul(of_x, weights[0]), x.array.shape) if needs[0] else None,
        *flow,
        matmul(t(of_x), rows) if needs[-5] else None,
        matmul(t(of_h), h) if needs[-4] else None,
        sum(of_x, 0) if needs[-3] else None,
        sum(of_h, 0) if needs[-2] else None,
        sum(stack([step[3] for step in steps]), 0) if needs[-1] else None,
    )


def _zeros(like: Tensor) -> Tensor:
    return wrap(like.backend.xp.zeros_like(like.array), like.backend)


# From a step's inputs to its gates, the state before it, the state's weights and the gradients of
# the state after: those of the gates as the input and as the state makes them, of the state before,
# and of the projection.
Back = Callable[["Tensor", State, Weights, Sequence["Tensor"]], tuple[Any, ...]]


def _rnn_back(
    mode: str, gates: Tensor, state: State, weights: Weights, grads: Sequence[Tensor]
) -> tuple[Any, ...]:
    (h,), (dh,), w_hh = CELLS[mode][0](gates, state, weights), grads, _given(weights[0])
    d = dh * (1 - h * h) if mode == "RNN_TANH" else relu_grad(dh, h)
    return d, d, (matmul(d, w_hh),), None


def _lstm_back(
    gates: Tensor, state: State, weights: Weights, grads: Sequence[Tensor]
) -> tuple[Any, ...]:
    (h, c), (dh, dc), (w_hh, b_hh, w_hr) = state, grads, weights
    w_hh, dw_hr = _given(w_hh), None
    i, f, g, o = chunk(gates + linear(h, w_hh, b_hh), 4, -1)
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    bent = tanh(f * c + i * g)
    if w_hr is not None:
        dh, dw_hr = matmul(dh, w_hr), matmul(t(dh), o * bent)
    dc = dc + dh * o * (1 - bent * bent)
    of_i, of_f = dc * g * i * (1 - i), dc * c * f * (1 - f)
    d = cat([of_i, of_f, dc * i * (1 - g * g), dh * bent * o * (1 - o)], -1)
    return d, d, (matmul(d, w_hh), dc * f), dw_hr


def _gru_back(
    gates: Tensor, state: State, weights: Weights, grads: Sequence[Tensor]
) -> tuple[Any, ...]:
    (h,), (dh,), w_hh = state, grads, _given(weights[0])
    r, z, n = chunk(gates, 3, -1)
    hr, hz, hn = chunk(linear(h, w_hh, weights[1]), 3, -1)
    r, z = sigmoid(r + hr), sigmoid(z + hz)
    n = tanh(n + r * hn)
    of_n, of_z = dh * (1 - z) * (1 - n * n), dh * (h - n) * z * (1 - z)
    of_r = of_n * hn * r * (1 - r)
    of_h = cat([of_r, of_z, of_n * r], -1)
    return cat([of_r, of_z, of_n], -1), of_h, (dh * z + matmul(of_h, w_hh),), None


def _given(weight: Tensor | None) -> Tensor:
    return weight  # type: ignore[return-value]


_BACK: dict[str, Back] = {
    "RNN_TANH": partial(_rnn_back, "RNN_TANH"),
    "RNN_RELU": partial(_rnn_back, "RNN_RELU"),
    "LSTM": _lstm_back,
    "GRU": _gru_back,
}
