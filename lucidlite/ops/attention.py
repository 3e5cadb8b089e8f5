"""Attention: values weighted by how well their keys fit each query."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lucidlite.callsite import error
from lucidlite.ops.activation import softmax
from lucidlite.ops.choose import masked_fill, where
from lucidlite.ops.common import check_broadcast, check_device, check_tensor, to_dtype
from lucidlite.ops.compare import eq
from lucidlite.ops.matmul import matmul
from lucidlite.ops.norm import dropout
from lucidlite.ops.precision import as_cast, precision
from lucidlite.ops.reduce import all
from lucidlite.ops.shape import expand, matrix_transpose, reshape, unsqueeze
from lucidlite.tape import wrap

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

OP = "scaled_dot_product_attention"
_WIDE = np.dtype(np.float32)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value``, scale 1 / sqrt(E) unless given.

    Shapes: query (..., L, E), key (..., S, E), value (..., S, Ev), ``attn_mask`` broadcasting to
    (..., L, S): True where attention goes, or numbers that are added. ``is_causal`` lets query i
    see keys up to i. A query that sees nothing gets 0. ``dropout_p`` is for training: it always
    acts. With ``enable_gqa`` key and value may have fewer heads (dim -3), each for several queries.

    >>> import lucidlite
    >>> x = lucidlite.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> lucidlite.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
    tensor([[1.0000, 0.0000],
            [0.3302, 0.6698]])

    Semantics: torch.nn.functional.scaled_dot_product_attention. Source: Vaswani et al., 2017.
    """
    if precision.active:
        query, key, value, attn_mask = precision.cast(OP, query, key, value, attn_mask)
    _check(query, key, value, attn_mask, dropout_p, is_causal)
    kind = query.array.dtype
    if kind.itemsize == 2:  # in float32, rounded once
        query, key, value = (to_dtype(t, _WIDE) for t in (query, key, value))
    if enable_gqa:
        key, value = _for_each_head(query, key), _for_each_head(query, value)
    if scale is None:
        scale = 1.0 / math.sqrt(query.array.shape[-1]) if query.array.shape[-1] else 1.0
    with as_cast():
        weights = _weights(query * scale, key, attn_mask, is_causal)
        return to_dtype(matmul(dropout(weights, dropout_p), value), kind)


def _check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
) -> None:
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        check_tensor(OP, name, tensor)
    check_device(OP, query, key, value, attn_mask)
    three = query, key, value
    if len({t.array.dtype for t in three}) > 1 or query.array.dtype.kind != "f":
        found = ", ".join(str(t.dtype) for t in three)
        raise error(
            RuntimeError,
            f"{OP}: expected query, key, and value to have the same floating point dtype, "
            f"got {found}",
        )
    if min(t.array.ndim for t in three) < 2:
        found = ", ".join(str(tuple(t.array.shape)) for t in three)
        raise error(
            RuntimeError,
            f"{OP}: expected query, key, and value to all be at least 2 dimensional, got {found}",
        )
    if not 0.0 <= dropout_p <= 1.0:
        raise error(
            RuntimeError,
            f"{OP}: dropout probability has to be between 0 and 1, but got {dropout_p}",
        )
    if attn_mask is None:
        return
    check_tensor(OP, "attn_mask", attn_mask)
    if is_causal:
        raise error(
            RuntimeError, f"{OP}: Explicit attn_mask should not be set when is_causal=True"
        )
    mask = attn_mask.array.dtype
    if mask.kind != "b" and mask not in (query.array.dtype, _WIDE):
        raise error(
            RuntimeError,
            f"{OP}: expected attn_mask dtype to be bool or float or to match query dtype, "
            f"got attn_mask={attn_mask.dtype}, query={query.dtype}",
        )


def _for_each_head(query: Tensor, input: Tensor) -> Tensor:
    """Keys or values with as many heads as there are queries: each several times over."""
    shapes = query.array.shape, input.array.shape
    if min(map(len, shapes)) < 3:
        raise error(
            IndexError,
            f"{OP}: enable_gqa needs heads in dim -3, got shapes {shapes[0]} and {shapes[1]}",
        )
    heads, fewer = shapes[0][-3], shapes[1][-3]
    if heads == fewer:
        return input
    if not fewer or heads % fewer:
        raise error(
            RuntimeError,
            f"{OP}: number of heads in key and value must divide the number of heads in query, "
            f"got {fewer} and {heads}",
        )
    *lead, _, size, width = shapes[1]
    many = expand(unsqueeze(input, -3), (*lead, fewer, heads // fewer, size, width))
    return reshape(many, (*lead, heads, size, width))


def _weights(query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """What each key counts for each query (already scaled): (..., L, S)."""
    scores = matmul(query, matrix_transpose(key))
    backend = scores.backend
    if is_causal:
        rows, columns = scores.array.shape[-2:]
        later = backend.xp.arange(columns) > backend.xp.arange(rows)[:, None]
        return softmax(masked_fill(scores, wrap(later, backend), float("-inf")), -1)
    if mask is None:
        return softmax(scores, -1)
    check_broadcast(OP, scores, mask)
    if mask.array.dtype.kind == "b":
        scores = where(mask, scores, float("-inf"))
    else:
        scores = scores + to_dtype(mask, scores.array.dtype)
    return masked_softmax(scores)


def masked_softmax(scores: Tensor) -> Tensor:
    """``softmax`` along the last dim, 0 where a row is -inf throughout."""
    blind = all(eq(scores.detach(), float("-inf")), -1, keepdim=True)
    if scores.backend.device.type == "cpu" and not blind.array.any():
        return softmax(scores, -1)
    return where(blind, 0, softmax(where(blind, 0, scores), -1))
