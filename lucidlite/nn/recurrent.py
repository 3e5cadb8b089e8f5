"""Recurrent layers: RNN, LSTM and GRU."""

from __future__ import annotations

import math
import warnings
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import empty, zeros
from lucidlite.nn import functional as F
from lucidlite.nn import init
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.nn.utils.rnn import PackedSequence
from lucidlite.ops import recurrent
from lucidlite.ops.join import cat, stack
from lucidlite.ops.precision import precision
from lucidlite.ops.recurrent_layer import recurrent_layer
from lucidlite.tensor import Tensor

State = tuple[Tensor, ...]


class RNNBase(Module):
    """What RNN, LSTM and GRU share. Semantics: torch.nn.RNNBase.

    Each layer and direction has ``weight_ih_l0`` (gates * hidden_size, input_size),
    ``weight_hh_l0`` (gates * hidden_size, hidden_size), ``bias_ih_l0`` and ``bias_hh_l0``, with
    ``_reverse`` in the other direction, uniform in ``+-1 / sqrt(hidden_size)`` at first. It runs
    its whole sequence as one operation; under autocast the steps are composed of small ones.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_settings(dropout)
        rows = recurrent.CELLS[mode][1] * hidden_size
        directions, size = 2 if bidirectional else 1, proj_size or hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            width = input_size if layer == 0 else size * directions
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, width), "weight_hh": (rows, size)
            }  # fmt: skip
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for suffix in ("", "_reverse")[:directions]:
                names = []
                for kind, shape in shapes.items():
                    names.append(f"{kind}_l{layer}{suffix}")
                    weight = Parameter(empty(*shape, device=device, dtype=dtype))
                    self.register_parameter(names[-1], weight)
                self._all_weights.append(names)
        self.reset_parameters()

    def _check_settings(self, dropout: Any) -> None:
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise error(
                ValueError,
                "dropout should be a number in range [0, 1] representing the probability of an "
                f"element being zeroed, got dropout={dropout}",
            )
        if dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={self.num_layers}",
                stacklevel=4,
            )
        for name, kind in (
            ("bias", bool), ("batch_first", bool), ("input_size", int), ("hidden_size", int)
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise error(
                    TypeError,
                    f"{name} should be of type {kind.__name__}, got: {type(value).__name__}",
                )
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise error(
                    ValueError, f"{name} must be greater than zero, got {getattr(self, name)}"
                )
        if not 0 <= self.proj_size < self.hidden_size:
            raise error(
                ValueError,
                "proj_size has to be zero (no projections) or positive and smaller than "
                f"hidden_size, got proj_size={self.proj_size}, hidden_size={self.hidden_size}",
            )

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: the weights need no common memory here."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [weight for weights in self.all_weights for weight in weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        plain = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False,
                 "dropout": 0, "bidirectional": False}  # fmt: skip
        for name, usual in plain.items():
            value = getattr(self, name)
            if value != usual:
                text += f", {name}={value}"
        return text

    # -- the run -----------------------------------------------------------------------------

    def _run(self, input: Any, state: State | None) -> tuple[Any, State]:
        """Outputs and last states of all layers, for a tensor or a PackedSequence."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, state)
        name = self.mode.partition("_")[0]
        if input.dim() not in (2, 3):
            raise error(
                ValueError, f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        dims, alone = input.dim(), input.dim() == 2
        if state is not None and any(part.dim() != dims for part in state):
            kind = "unbatched 2-D" if alone else "batched 3-D"
            found = ", ".join(f"{part.dim()}-D" for part in state)
            raise error(
                RuntimeError,
                f"{name}: For {kind} input, hx should also be {dims}-D but got {found} tensors",
            )
        if alone:
            input = input.unsqueeze(0 if self.batch_first else 1)
            state = None if state is None else tuple(part.unsqueeze(1) for part in state)
        batch, steps = input.shape[:2] if self.batch_first else (input.size(1), input.size(0))
        state = self._checked(input, 3, state, batch)
        if not steps:
            rule = "Expected sequence length to be larger than 0 in RNN"
            raise error(RuntimeError, f"{name}: {rule}, got input of {steps} steps")
        x = input.transpose(0, 1) if self.batch_first else input
        outputs, state = self._layers(x, [batch] * steps, state)
        out = outputs.reshape(steps, batch, outputs.size(-1))
        out = out.transpose(0, 1) if self.batch_first else out
        if alone:
            out = out.squeeze(0 if self.batch_first else 1)
            state = tuple(part.squeeze(1) for part in state)
        return out, state

    def _run_packed(self, input: PackedSequence, state: State | None) -> tuple[Any, State]:
        data, batch_sizes, order, back = input
        counts = batch_sizes.tolist()
        if state is not None and order is not None:
            state = tuple(part.index_select(1, order) for part in state)
        state = self._checked(data, 2, state, counts[0])
        out, state = self._layers(data, counts, state)
        if back is not None:
            state = tuple(part.index_select(1, back) for part in state)
        return PackedSequence(out, batch_sizes, order, back), state

    def _checked(self, input: Tensor, dims: int, state: State | None, batch: int) -> State:
        """The state before the first step: as given, or zeros."""
        kind = getattr(self, self._all_weights[0][0]).dtype
        if input.dtype is not kind and not precision.active:
            raise error(
                ValueError,
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({kind}). Convert "
                f"input: input.to({kind}), or convert model: model.to({input.dtype})",
            )
        if input.dim() != dims:
            raise error(RuntimeError, f"input must have {dims} dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise error(
                RuntimeError,
                "input.size(-1) must be equal to input_size. "
                f"Expected {self.input_size}, got {input.size(-1)}",
                f"input_size would have to be {input.size(-1)}, the size of the last dim",
            )
        parts = recurrent.CELLS[self.mode][2]
        rows = self.num_layers * (2 if self.bidirectional else 1)
        widths = (self.proj_size or self.hidden_size, self.hidden_size)[:parts]
        if state is None:
            return tuple(
                zeros(rows, batch, width, dtype=input.dtype, device=input.device)
                for width in widths
            )
        for i, (part, width) in enumerate(zip(state, widths, strict=True)):
            if tuple(part.shape) != (rows, batch, width):
                which = f"hidden[{i}]" if parts > 1 else "hidden"
                raise error(
                    RuntimeError,
                    f"Expected {which} size {(rows, batch, width)}, got {list(part.shape)}",
                )
        return state

    def _layers(self, x: Tensor, counts: list[int], state: State) -> tuple[Tensor, State]:
        """All layers over a batch of steps, which have ``counts`` rows each, under each other."""
        directions = 2 if self.bidirectional else 1
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            sides = []
            for side in range(directions):
                number = layer * directions + side
                first = tuple(part[number] for part in state)
                weights = self._weights(number)
                out, end = recurrent_layer(self.mode, x, counts, first, weights, side == 1)
                sides.append(out)
                last.append(end)
            x = sides[0] if directions == 1 else cat(sides, -1)
        return x, tuple(stack(parts) for parts in zip(*last, strict=True))

    def _weights(self, number: int) -> list[Any]:
        named = {name.partition("_l")[0]: getattr(self, name) for name in self._all_weights[number]}
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return [named.get(kind) for kind in kinds]


class RNN(RNNBase):
    """Layers of ``h = tanh(w_ih @ x + b_ih + w_hh @ h + b_hh)``, or relu, along a sequence.

    Called with input (L, N, input_size), (N, L, input_size) with ``batch_first``, (L, input_size)
    or a PackedSequence, and the states before it (layers * directions, N, hidden_size), zeros
    unless given; returns (outputs of the last layer, last states). ``dropout`` acts between layers.

    >>> from lucidlite import nn, ones
    >>> out, h = nn.RNN(3, 4, bidirectional=True)(ones(5, 2, 3))
    >>> out.shape, h.shape
    ((5, 2, 8), (2, 2, 4))

    Semantics: torch.nn.RNN.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        _refuse_projection(kwargs)
        if nonlinearity not in ("tanh", "relu"):
            raise error(
                ValueError,
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.",
            )
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


class LSTM(RNNBase):
    """Layers of long short-term memory along a sequence; see RNN for input and output.

    The states, given and returned, are (h, c). With ``proj_size`` h is projected to that size.

    >>> from lucidlite import nn, ones
    >>> out, (h, c) = nn.LSTM(3, 4, num_layers=2, batch_first=True)(ones(2, 5, 3))
    >>> out.shape, h.shape, c.shape
    ((2, 5, 4), (2, 2, 4), (2, 2, 4))

    Semantics: torch.nn.LSTM. Source: Hochreiter and Schmidhuber, 1997.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        out, (h, c) = self._run(input, hx)
        return out, (h, c)


class GRU(RNNBase):
    """Layers of gated recurrent units along a sequence; see RNN for input and output.

    >>> from lucidlite import nn, ones
    >>> out, h = nn.GRU(3, 4)(ones(5, 2, 3))
    >>> out.shape, h.shape
    ((5, 2, 4), (1, 2, 4))

    Semantics: torch.nn.GRU. Source: Cho et al., 2014.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


def _refuse_projection(kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise error(
            ValueError, "proj_size argument is only supported for LSTM, not RNN or GRU"
        )
