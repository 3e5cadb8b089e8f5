"""Attention in several heads, from projections in to projection out."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from lucidlite.callsite import error
from lucidlite.ops.activation import softmax
from lucidlite.ops.attention import scaled_dot_product_attention
from lucidlite.ops.choose import where
from lucidlite.ops.join import cat, chunk, zeros_like_shape
from lucidlite.ops.matmul import bmm, linear
from lucidlite.ops.norm import dropout
from lucidlite.ops.reduce import mean
from lucidlite.ops.shape import expand, permute, reshape, squeeze, transpose, unsqueeze
from lucidlite.tape import wrap

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

OP = "multi_head_attention_forward"


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What ``nn.MultiheadAttention`` computes, given its weights: (output, attention weights).

    Shapes: query (L, N, E) or (L, E), key and value (S, N, ...) or (S, ...), ``attn_mask`` (L, S)
    or (N * heads, L, S), ``key_padding_mask`` (N, S) or (S); True in a mask is where attention
    doesn't go, numbers are added. ``is_causal`` says that attn_mask is the causal one.

    Semantics: torch.nn.functional.multi_head_attention_forward.
    """
    batched = _check_dims(query, key, value, key_padding_mask, attn_mask, num_heads)
    key_padding_mask = canonical_mask(
        key_padding_mask, "key_padding_mask", query, attn_mask, "attn_mask"
    )
    if is_causal and attn_mask is None:
        raise error(
            RuntimeError,
            f"{OP}: Need attn_mask if specifying the is_causal hint; make one with "
            "Transformer.generate_square_subsequent_mask",
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = canonical_mask(attn_mask, "attn_mask", query)
        is_causal = False
    if not batched:
        query, key, value = (unsqueeze(t, 1) for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else unsqueeze(key_padding_mask, 0)
    length, batch, width = query.array.shape
    inputs = query, key, value
    head_dim = _check_sizes(*inputs, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        parts = (q_proj_weight, k_proj_weight, v_proj_weight)
        if any(w is None for w in parts):
            raise error(
                AssertionError,
                f"{OP}: use_separate_proj_weight is True but one of q_proj_weight, k_proj_weight "
                "and v_proj_weight is None",
            )
        weights: tuple[Tensor | None, ...] = parts
    elif in_proj_weight is None:
        raise error(
            AssertionError, f"{OP}: use_separate_proj_weight is False but in_proj_weight is None"
        )
    else:
        weights = (in_proj_weight,)
    q, k, v = _project(query, key, value, weights, in_proj_bias)
    attn_mask = _checked_mask(attn_mask, length, key.array.shape[0], batch * num_heads)
    if (bias_k is None) != (bias_v is None):
        raise error(AssertionError, f"{OP}: bias_k and bias_v must be given together")
    more = 0
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise error(AssertionError, f"{OP}: bias cannot be added to static key or value")
        k = cat([k, expand(bias_k, (1, batch, width))])
        v = cat([v, expand(bias_v, (1, batch, width))])
        more += 1
    heads = batch * num_heads
    q = _split(q, heads, head_dim)
    k = _split(k, heads, head_dim) if static_k is None else _static("k", static_k, heads, head_dim)
    v = _split(v, heads, head_dim) if static_v is None else _static("v", static_v, heads, head_dim)
    if add_zero_attn:
        zero = zeros_like_shape(k, (heads, 1, head_dim))
        k, v = cat([k, zero], 1), cat([v, zero], 1)
        more += 1
    if more and attn_mask is not None:
        attn_mask = _longer(attn_mask, more)
    if more and key_padding_mask is not None:
        key_padding_mask = _longer(key_padding_mask, more)
    seen = k.array.shape[1]
    if key_padding_mask is not None:
        attn_mask = _with_padding(attn_mask, key_padding_mask, batch, num_heads, seen)
    p = dropout_p if training else 0.0
    if need_weights:
        fit = bmm(q * math.sqrt(1.0 / head_dim), transpose(k, 1, 2))
        found = softmax(fit if attn_mask is None else fit + attn_mask, -1)
        found = dropout(found, p)
        out = reshape(transpose(bmm(found, v), 0, 1), (length * batch, width))
    else:
        q, k, v = (
            reshape(t, (batch, num_heads, t.array.shape[1], head_dim)) for t in (q, k, v)
        )
        if attn_mask is not None and attn_mask.array.shape[0] > 1:
            rows = attn_mask.array.shape[1]
            attn_mask = reshape(attn_mask, (batch, num_heads, rows, seen))
        out = scaled_dot_product_attention(q, k, v, attn_mask, p, is_causal)
        out = reshape(permute(out, (2, 0, 1, 3)), (length * batch, width))
    out = linear(out, out_proj_weight, out_proj_bias)
    out = reshape(out, (length, batch, out.array.shape[1]))
    out = out if batched else squeeze(out, 1)
    if not need_weights:
        return out, None
    found = reshape(found, (batch, num_heads, length, seen))
    if average_attn_weights:
        found = mean(found, 1)
    return out, found if batched else squeeze(found, 0)


def canonical_mask(
    mask: Tensor | None,
    name: str,
    like: Tensor,
    other: Tensor | None = None,
    other_name: str = "",
) -> Tensor | None:
    """A mask as numbers to add, in ``like``'s dtype: -inf where a bool one is True."""
    if mask is None:
        return None
    if mask.array.dtype.kind not in "bf":
        raise error(
            AssertionError,
            f"{OP}: only bool and floating types of {name} are supported, got {mask.dtype}",
        )
    if other is not None and other.dtype is not mask.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both "
            "instead.",
            stacklevel=3,
        )
    if mask.array.dtype.kind == "f":
        return mask
    zero = wrap(mask.backend.constant(0, like.array.dtype), mask.backend)
    return where(mask, float("-inf"), zero)


def _check_dims(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    padding: Tensor | None,
    mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether there is a batch dim, after a look at the number of dims of everything."""
    dims = query.array.ndim
    if dims not in (2, 3):
        raise error(
            AssertionError,
            f"{OP}: query should be unbatched 2D or batched 3D tensor "
            f"but received {dims}-D query tensor",
        )
    batched = bool(dims == 3)
    kind = "batched (3-D)" if batched else "unbatched (2-D)"
    if key.array.ndim != dims or value.array.ndim != dims:
        raise error(
            AssertionError,
            f"{OP}: For {kind} `query`, expected `key` and `value` to be {dims}-D but found "
            f"{key.array.ndim}-D and {value.array.ndim}-D tensors respectively",
        )
    if padding is not None and padding.array.ndim != dims - 1:
        raise error(
            AssertionError,
            f"{OP}: For {kind} `query`, expected `key_padding_mask` to be `None` or {dims - 1}-D "
            f"but found {padding.array.ndim}-D tensor instead",
        )
    if mask is None:
        return batched
    if mask.array.ndim not in (2, 3):
        raise error(
            AssertionError,
            f"{OP}: For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found "
            f"{mask.array.ndim}-D tensor instead",
        )
    wanted = (num_heads, query.array.shape[0], key.array.shape[0])
    if not batched and mask.array.ndim == 3 and mask.array.shape != wanted:
        raise error(
            AssertionError,
            f"{OP}: Expected `attn_mask` shape to be {wanted} but got {tuple(mask.array.shape)}",
        )
    return batched


def _check_sizes(
    query: Tensor, key: Tensor, value: Tensor, wanted: int, num_heads: int, separate: bool
) -> int:
    width = query.array.shape[-1]
    if width != wanted:
        raise error(
            AssertionError, f"{OP}: was expecting embedding dimension of {wanted}, but got {width}"
        )
    if width % num_heads:
        raise error(
            AssertionError, f"{OP}: embed_dim {width} not divisible by num_heads {num_heads}"
        )
    k, v = tuple(key.array.shape), tuple(value.array.shape)
    if separate and k[:2] != v[:2]:
        raise error(
            AssertionError,
            f"{OP}: key's sequence and batch dims {k[:2]} do not match value's {v[:2]}",
        )
    if not separate and k != v:
        raise error(AssertionError, f"{OP}: key shape {k} does not match value shape {v}")
    return int(width // num_heads)


def _project(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: tuple[Tensor | None, ...],
    bias: Tensor | None,
) -> tuple[Tensor, ...]:
    """Queries, keys and values: by one weight whose rows are those of three, or by three."""
    inputs = (query, key, value)
    if len(weights) == 1 and query is key and key is value:
        return chunk(linear(query, weights[0], bias), 3, -1)  # type: ignore[arg-type]
    if len(weights) == 1:
        weights = chunk(weights[0], 3)  # type: ignore[arg-type]
    biases = (None, None, None) if bias is None else chunk(bias, 3)
    return tuple(
        linear(x, w, b)  # type: ignore[arg-type]
        for x, w, b in zip(inputs, weights, biases, strict=True)
    )


def _checked_mask(mask: Tensor | None, length: int, seen: int, heads: int) -> Tensor | None:
    """The mask with a dim for the heads, of which there may be one for all."""
    if mask is None:
        return None
    dims = mask.array.ndim
    wanted = (length, seen) if dims == 2 else (heads, length, seen)
    if mask.array.shape != wanted:
        raise error(
            RuntimeError,
            f"{OP}: The shape of the {dims}D attn_mask is {tuple(mask.array.shape)}, "
            f"but should be {wanted}.",
        )
    return unsqueeze(mask, 0) if dims == 2 else mask


def _split(input: Tensor, heads: int, head_dim: int) -> Tensor:
    """(L, N, E) as (N * heads, L, E / heads)."""
    return transpose(reshape(input, (input.array.shape[0], heads, head_dim)), 0, 1)


def _static(name: str, given: Tensor, heads: int, head_dim: int) -> Tensor:
    shape = tuple(given.array.shape)
    if len(shape) != 3 or (shape[0], shape[2]) != (heads, head_dim):
        raise error(
            AssertionError,
            f"{OP}: expecting static_{name} of shape ({heads}, S, {head_dim}), but got {shape}",
        )
    return given


def _longer(mask: Tensor, more: int) -> Tensor:
    """A mask that lets more keys be seen by all."""
    return cat([mask, zeros_like_shape(mask, (*mask.array.shape[:-1], more))], -1)


def _with_padding(
    mask: Tensor | None, padding: Tensor, batch: int, num_heads: int, seen: int
) -> Tensor:
    if padding.array.shape != (batch, seen):
        raise error(
            AssertionError,
            f"{OP}: Expected key_padding_mask of shape {(batch, seen)}, "
            f"but got {padding.array.shape}",
        )
    padding = expand(reshape(padding, (batch, 1, 1, seen)), (batch, num_heads, 1, seen))
    padding = reshape(padding, (batch * num_heads, 1, seen))
    return padding if mask is None else mask + padding
