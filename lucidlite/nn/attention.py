"""Attention in several heads."""

from __future__ import annotations

from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import empty
from lucidlite.nn import functional as F
from lucidlite.nn import init
from lucidlite.nn.linear import Linear
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.ops.multihead import canonical_mask
from lucidlite.tensor import Tensor


class NonDynamicallyQuantizableLinear(Linear):
    """Linear, under the name that PyTorch's attention prints for its output layer."""


class MultiheadAttention(Module):
    """Attention of ``num_heads`` heads, each of ``embed_dim / num_heads`` dims.

    Called with query (L, N, E), key (S, N, kdim) and value (S, N, vdim), (N, L, E) and so on with
    ``batch_first``, or all without N; returns (output, attention weights or None). Masks are True
    where attention doesn't go, or numbers that are added: ``attn_mask`` (L, S) or
    (N * num_heads, L, S), ``key_padding_mask`` (N, S). ``is_causal`` says that attn_mask, which
    must be given, is the causal one.

    >>> from lucidlite import nn, ones
    >>> x = ones(5, 2, 8)
    >>> out, weights = nn.MultiheadAttention(8, 2)(x, x, x)
    >>> out.shape, weights.shape
    ((5, 2, 8), (2, 5, 5))

    Semantics: torch.nn.MultiheadAttention.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise error(
                ValueError,
                "embed_dim and num_heads must be greater than 0, "
                f"got embed_dim={embed_dim} and num_heads={num_heads} instead",
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise error(
                AssertionError,
                f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}",
            )

        def parameter(*shape: int) -> Parameter:
            return Parameter(empty(*shape, dtype=dtype, device=device))

        same = self._qkv_same_embed_dim
        separate = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        for name, width in separate.items():
            weight = None if same else parameter(embed_dim, width)
            self.register_parameter(f"{name}_proj_weight", weight)
        packed = parameter(3 * embed_dim, embed_dim) if same else None
        self.register_parameter("in_proj_weight", packed)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias=bias, device=device, dtype=dtype
        )
        self.bias_k = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (
            self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        ):  # fmt: skip
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        key_padding_mask = canonical_mask(
            key_padding_mask, "key_padding_mask", query, attn_mask, "attn_mask"
        )
        attn_mask = canonical_mask(attn_mask, "attn_mask", query)
        turned = self.batch_first and query.dim() == 3
        if turned:
            # One tensor stays one: its three projections are then one product.
            seen = {id(t): t for t in (query, key, value)}
            turns = {name: t.transpose(1, 0) for name, t in seen.items()}
            query, key, value = turns[id(query)], turns[id(key)], turns[id(value)]
        out, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return out.transpose(1, 0) if turned else out, weights
