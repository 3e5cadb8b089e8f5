"""The layers of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucidlite.callsite import error
from lucidlite.nn import functional as F
from lucidlite.nn.attention import MultiheadAttention
from lucidlite.nn.dropout import Dropout
from lucidlite.nn.layer_norm import LayerNorm
from lucidlite.nn.linear import Linear
from lucidlite.nn.module import Module
from lucidlite.ops.multihead import canonical_mask
from lucidlite.tensor import Tensor

Activation = str | Callable[[Tensor], Tensor]


class _Layer(Module):
    """What layers of encoder and decoder share: the feed-forward half and the residual sums."""

    _norms: int

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        names = ("self_attn", "multihead_attn")[: self._norms - 1]
        for name in names:
            attention = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, **where
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **where)
        self.norm_first = norm_first
        for i in range(1, self._norms + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, **where))
        for i in range(1, self._norms + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _function(activation) if isinstance(activation, str) else activation

    def _ff_block(self, x: Tensor) -> Tensor:
        x = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return getattr(self, f"dropout{self._norms}")(x)  # type: ignore[no-any-return]

    def _sa_block(
        self,
        x: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        out = _attend(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal)
        return self.dropout1(out)  # type: ignore[no-any-return]

    def _add(self, x: Tensor, norm: Module, block: Callable[[Tensor], Tensor]) -> Tensor:
        """``x`` and a block of it, normalized before the block or after the sum."""
        if self.norm_first:
            return x + block(norm(x))
        return norm(x + block(x))  # type: ignore[no-any-return]


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, then a feed-forward net, each added to its input.

    Called with src (L, N, d_model), (N, L, d_model) with ``batch_first``, or (L, d_model), and
    masks as of ``nn.MultiheadAttention``. ``norm_first`` normalizes before each half instead of
    after it; ``activation`` is 'relu', 'gelu' or a function.

    >>> from lucidlite import nn, ones
    >>> nn.TransformerEncoderLayer(8, 2, 16)(ones(5, 2, 8)).shape
    (5, 2, 8)

    Semantics: torch.nn.TransformerEncoderLayer. Source: Vaswani et al., 2017.
    """

    _norms = 2

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        padding = canonical_mask(
            src_key_padding_mask, "src_key_padding_mask", src, src_mask, "src_mask"
        )
        mask = canonical_mask(src_mask, "src_mask", src)
        x = self._add(
            src, self.norm1, lambda x: self._sa_block(x, mask, padding, is_causal=is_causal)
        )
        return self._add(x, self.norm2, self._ff_block)


class TransformerDecoderLayer(_Layer):
    """An encoder layer with attention to ``memory``, the encoder's output, between its halves.

    >>> from lucidlite import nn, ones
    >>> nn.TransformerDecoderLayer(8, 2, 16)(ones(5, 2, 8), ones(3, 2, 8)).shape
    (5, 2, 8)

    Semantics: torch.nn.TransformerDecoderLayer. Source: Vaswani et al., 2017.
    """

    _norms = 3

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        own = tgt_mask, tgt_key_padding_mask, tgt_is_causal
        other = memory_mask, memory_key_padding_mask, memory_is_causal
        x = self._add(tgt, self.norm1, lambda x: self._sa_block(x, *own))
        x = self._add(x, self.norm2, lambda x: self._mha_block(x, memory, *other))
        return self._add(x, self.norm3, self._ff_block)

    def _mha_block(
        self,
        x: Tensor,
        mem: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        out = _attend(self.multihead_attn, x, mem, attn_mask, key_padding_mask, is_causal)
        return self.dropout2(out)  # type: ignore[no-any-return]


def _attend(
    attention: Module,
    x: Tensor,
    memory: Tensor,
    mask: Tensor | None,
    padding: Tensor | None,
    is_causal: bool,
) -> Tensor:
    out, _ = attention(
        x,
        memory,
        memory,
        attn_mask=mask,
        key_padding_mask=padding,
        need_weights=False,
        is_causal=is_causal,
    )
    return out  # type: ignore[no-any-return]


def _function(activation: str) -> Callable[[Tensor], Tensor]:
    if activation not in ("relu", "gelu"):
        raise error(RuntimeError, f"activation should be relu/gelu, not {activation}")
    return F.relu if activation == "relu" else F.gelu
