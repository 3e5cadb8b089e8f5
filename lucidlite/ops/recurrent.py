"""Recurrent steps and their run along a sequence: RNN, LSTM, GRU.

A layer's products with its whole input are one product; what is left to a step is the product
with the state before it and the gates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lucidlite.callsite import error
from lucidlite.ops.activation import relu, sigmoid, tanh
from lucidlite.ops.join import cat, chunk
from lucidlite.ops.matmul import linear

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

State = tuple["Tensor", ...]
Weights = Sequence["Tensor | None"]
# From a step's inputs to its gates, the state before it and the state's weights: the state after.
Step = Callable[["Tensor", State, Weights], State]


def rnn_tanh_step(gates: Tensor, state: State, weights: Weights) -> State:
    """``h = tanh(gates + w_hh @ h)``."""
    return (tanh(gates + _recurrent(state, weights)),)


def rnn_relu_step(gates: Tensor, state: State, weights: Weights) -> State:
    """``h = relu(gates + w_hh @ h)``."""
    return (relu(gates + _recurrent(state, weights)),)


def lstm_step(gates: Tensor, state: State, weights: Weights) -> State:
    """``c = f * c + i * g; h = o * tanh(c)``, projected where there is a weight for it.

    Source: Hochreiter and Schmidhuber, 1997; Gers et al., 2000 (f); Sak et al., 2014 (projection).
    """
    i, f, g, o = chunk(gates + _recurrent(state, weights), 4, -1)
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if weights[2] is None else linear(h, weights[2])), c


def gru_step(gates: Tensor, state: State, weights: Weights) -> State:
    """``h = n + z * (h - n)``, n from the part of the state that r lets through.

    Source: Cho et al., 2014.
    """
    (h,) = state
    r, z, n = chunk(gates, 3, -1)
    hr, hz, hn = chunk(_recurrent(state, weights), 3, -1)
    n = tanh(n + sigmoid(r + hr) * hn)
    return (n + sigmoid(z + hz) * (h - n),)


def _recurrent(state: State, weights: Weights) -> Tensor:
    weight, bias = weights[:2]
    return linear(state[0], weight, bias)  # type: ignore[arg-type]


# By PyTorch's names: the step, how many gates there are, how many parts the state has.
CELLS: dict[str, tuple[Step, int, int]] = {
    "RNN_TANH": (rnn_tanh_step, 1, 1),
    "RNN_RELU": (rnn_relu_step, 1, 1),
    "LSTM": (lstm_step, 4, 2),
    "GRU": (gru_step, 3, 1),
}


def run(
    step: Step, inputs: Sequence[Tensor], state: State, weights: Weights, reverse: bool = False
) -> tuple[list[State], list[State], State]:
    """All steps of a layer in one direction: the states before each, those after, and the last.

    Inputs may have fewer rows the later they come (sequences that have ended, as in a
    PackedSequence); the others' state stays what it is.
    """
    before, after = [state] * len(inputs), [state] * len(inputs)
    for k in range(len(inputs))[:: -1 if reverse else 1]:
        rows = inputs[k].array.shape[0]
        before[k] = tuple([_first_rows(part, rows) for part in state])
        after[k] = step(inputs[k], before[k], weights)
        state = _replaced(state, after[k])
    return before, after, state


def _first_rows(part: Tensor, rows: int) -> Tensor:
    """The first rows, without an operation where they are all."""
    return part if part.array.shape[0] == rows else part[:rows]


def _replaced(state: State, first: State) -> State:
    """The state with other first rows."""
    rows = first[0].array.shape[0]
    if rows == state[0].array.shape[0]:
        return first
    pairs = zip(state, first, strict=True)
    return tuple([cat([new, part[rows:]]) for part, new in pairs])


def cell(
    mode: str, input: Tensor, state: State, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None,
    b_hh: Tensor | None,
) -> State:  # fmt: skip
    """One step of a cell, for (N, input_size) or (input_size) and a state of the same dims."""
    step, gates, _ = CELLS[mode]
    width = w_hh.array.shape[1]
    if w_hh.array.shape[0] != gates * width:
        raise error(
            RuntimeError,
            f"{mode.lower()}_cell: weight_hh must be ({gates} * hidden_size, hidden_size), "
            f"got {tuple(w_hh.array.shape)}",
        )
    return step(linear(input, w_ih, b_ih), state, (w_hh, b_hh, None))
