"""Transformers: encoders and decoders of several layers."""

from __future__ import annotations

import copy
from typing import Any

from lucidlite.callsite import error
from lucidlite.creation import full
from lucidlite.nn import functional as F
from lucidlite.nn import init
from lucidlite.nn.containers import ModuleList
from lucidlite.nn.layer_norm import LayerNorm
from lucidlite.nn.module import Module
from lucidlite.nn.transformer_layers import (
    Activation,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from lucidlite.ops.diagonals import triu
from lucidlite.ops.multihead import canonical_mask
from lucidlite.tensor import Tensor


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer one after the other, then ``norm`` if given.

    Without ``is_causal`` the mask is looked at, to see whether it is the causal one. There are no
    nested tensors: ``enable_nested_tensor`` and ``mask_check`` change nothing, and what stands at
    padded places is computed like the rest (PyTorch puts zeros there in evaluation).

    >>> from lucidlite import nn, ones
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16)
    >>> nn.TransformerEncoder(layer, 2)(ones(5, 2, 8)).shape
    (5, 2, 8)

    Semantics: torch.nn.TransformerEncoder.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        padding = canonical_mask(src_key_padding_mask, "src_key_padding_mask", src, mask, "mask")
        mask = canonical_mask(mask, "mask", src)
        causal = _is_causal(mask, is_causal, _length(src, self.layers[0]))
        out = src
        for layer in self.layers:
            out = layer(out, src_mask=mask, is_causal=causal, src_key_padding_mask=padding)
        return out if self.norm is None else self.norm(out)


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer one after the other, then ``norm`` if given.

    Semantics: torch.nn.TransformerDecoder.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        out = tgt
        causal = _is_causal(tgt_mask, tgt_is_causal, _length(tgt, self.layers[0]))
        for layer in self.layers:
            out = layer(
                out,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return out if self.norm is None else self.norm(out)


class Transformer(Module):
    """An encoder and a decoder, from (src, tgt) to the decoder's output.

    >>> from lucidlite import nn, ones
    >>> model = nn.Transformer(8, 2, 1, 1, 16)
    >>> model(ones(5, 2, 8), ones(3, 2, 8)).shape
    (3, 2, 8)

    Semantics: torch.nn.Transformer. Source: Vaswani et al., 2017.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        settings = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        rest = (batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **where)

        if custom_encoder is None:
            encoder_layer = TransformerEncoderLayer(*settings, *rest, **where)
            custom_encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm())
        if custom_decoder is None:
            decoder_layer = TransformerDecoderLayer(*settings, *rest, **where)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm())
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        dim = 0 if self.batch_first else 1
        if src.dim() == 3 and src.size(dim) != tgt.size(dim):
            raise error(
                RuntimeError,
                "the batch number of src and tgt must be equal, "
                f"got src={tuple(src.shape)}, tgt={tuple(tgt.shape)}",
            )
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise error(
                RuntimeError,
                "the feature number of src and tgt must be equal to d_model, "
                f"got src={tuple(src.shape)}, tgt={tuple(tgt.shape)}, d_model={self.d_model}",
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(  # type: ignore[no-any-return]
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
            tgt_is_causal,
            memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """(sz, sz): -inf above the diagonal, where a query would see later keys, else 0."""
        return triu(full((sz, sz), float("-inf"), dtype=dtype, device=device), 1)

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.dim() > 1:
                init.xavier_uniform_(p)


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


def _length(x: Tensor, layer: Any) -> int:
    dim = 1 if x.dim() == 3 and layer.self_attn.batch_first else 0
    return int(x.size(dim))


def _is_causal(mask: Tensor | None, said: bool | None, length: int) -> bool:
    """Whether a mask is the causal one: as said, or else by a look at it."""
    if said is not None or mask is None:
        return said is True
    if tuple(mask.shape) != (length, length):
        return False
    make = Transformer.generate_square_subsequent_mask
    return bool((mask == make(length, mask.device, mask.dtype)).all())
