"""Recurrent cells: one step at a time."""

from __future__ import annotations

import math
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import empty, zeros
from lucidlite.nn import init
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.ops import recurrent
from lucidlite.tensor import Tensor


class RNNCellBase(Module):
    """What the cells share: their weights and the look at input and state."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        for kind, width in (("ih", input_size), ("hh", hidden_size)):
            weight = Parameter(empty(rows, width, device=device, dtype=dtype))
            self.register_parameter(f"weight_{kind}", weight)
        for kind in ("ih", "hh"):
            held = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(f"bias_{kind}", held)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform in ``+-1 / sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        kind = getattr(self, "nonlinearity", "tanh")
        return text if kind == "tanh" else f"{text}, nonlinearity={kind}"

    def _run(self, mode: str, input: Tensor, state: tuple[Tensor, ...] | None) -> Any:
        """One step; zeros for a state that isn't given."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise error(
                ValueError,
                f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead",
            )
        if input.size(-1) != self.input_size:
            raise error(
                RuntimeError,
                f"{name}: input has inconsistent input_size, got {input.size(-1)}, "
                f"expected {self.input_size}",
            )
        lead = tuple(input.shape[:-1])
        if state is None:
            one = zeros(*lead, self.hidden_size, dtype=input.dtype, device=input.device)
            state = (one,) * recurrent.CELLS[mode][2]
        for part in state:
            if part.dim() not in (1, 2):
                raise error(
                    ValueError,
                    f"{name}: Expected hidden to be 1D or 2D, got {part.dim()}D instead",
                )
            if tuple(part.shape) != (*lead, self.hidden_size):
                raise error(
                    RuntimeError,
                    f"{name}: hidden must have shape {(*lead, self.hidden_size)} for input of "
                    f"shape {tuple(input.shape)}, got {tuple(part.shape)}",
                )
        weights = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
        return recurrent.cell(mode, input, state, *weights)


class RNNCell(RNNCellBase):
    """One step of an ``nn.RNN``: ``h = tanh(w_ih @ x + b_ih + w_hh @ h + b_hh)``, or relu.

    Called with input (N, input_size) or (input_size) and a state, zeros unless given.

    >>> from lucidlite import nn, ones
    >>> nn.RNNCell(3, 4)(ones(2, 3)).shape
    (2, 4)

    Semantics: torch.nn.RNNCell.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise error(RuntimeError, f"Unknown nonlinearity: {self.nonlinearity}")
        mode = f"RNN_{self.nonlinearity.upper()}"
        return self._run(mode, input, None if hx is None else (hx,))[0]  # type: ignore[no-any-return]


class LSTMCell(RNNCellBase):
    """One step of an ``nn.LSTM``: from input and (h, c) to (h, c).

    >>> from lucidlite import nn, ones
    >>> h, c = nn.LSTMCell(3, 4)(ones(2, 3))
    >>> h.shape
    (2, 4)

    Semantics: torch.nn.LSTMCell.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        return self._run("LSTM", input, hx)  # type: ignore[no-any-return]


class GRUCell(RNNCellBase):
    """One step of an ``nn.GRU``.

    >>> from lucidlite import nn, ones
    >>> nn.GRUCell(3, 4)(ones(2, 3)).shape
    (2, 4)

    Semantics: torch.nn.GRUCell.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._run("GRU", input, None if hx is None else (hx,))[0]  # type: ignore[no-any-return]
