"""Philox4x64-10 on the host (Salmon et al., 2011): draws as a function of a key and a counter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASK64 = (1 << 64) - 1


def kept_bits(dtype: Any) -> int:
    """How many of a draw's bits a number in [0, 1) takes: as many as its dtype holds."""
    kind = np.dtype(dtype)
    return 53 if kind == np.float64 else 11 if kind == np.float16 else 24


def unit_interval(bits: NDArray[np.uint64], dtype: Any) -> NDArray[Any]:
    """Draws as numbers in [0, 1): the top 53 bits for float64, 24 for float32, 11 for float16."""
    kind, keep = np.dtype(dtype), kept_bits(dtype)
    out: NDArray[Any] = bits >> np.uint64(64 - keep)
    out = out.astype(kind if keep != 11 else np.float32)
    out *= out.dtype.type(2.0**-keep)
    return out.astype(kind, copy=False)


def philox(seed: int, block: int, n: int, keys: Sequence[int] = ()) -> NDArray[np.uint64]:
    """Draws 0 to n - 1 from ``block`` on, of a main stream or of the fork with these ``keys``.

    They are Philox of the counters block + 1, block + 2, ... under the seed, by NumPy's C code.
    """
    counter = block
    for word, key in enumerate(keys, 1):
        counter += key << 64 * word
    return np.random.Philox(counter=counter, key=seed | len(keys) << 64).random_raw(n)


def philox_of_each(
    seed: int, block: int, blocks: int, keys: Sequence[Any], count: int
) -> NDArray[np.uint64]:
    """``philox(seed, block, 4 * blocks, k)`` for the keys k of ``count`` forks, one a row.

    ``keys`` are given column by column, as in ``Forks``. Counters are worked on side by side, one
    NumPy call a step; a 64-bit product is put together from 32-bit halves.
    """
    words = np.zeros((4, count, blocks), np.uint64)
    words[0] = np.arange(1, blocks + 1, dtype=np.uint64) + np.uint64(block)
    for word, column in zip(words[1:], keys, strict=False):
        column = [column] if isinstance(column, int) else column
        word[...] = np.array([int(key) & MASK64 for key in column], np.uint64)[:, None]
    even, odd = words[::2].reshape(2, -1), words[1::2].reshape(2, -1)
    halves = np.empty((2, *even.shape), np.uint64)
    products = np.empty((2, *halves.shape), np.uint64)
    (low_low, low_high), (high_low, high_high) = products
    crossed = high_high[::-1]
    for round_key in np.array([[seed], [len(keys)]], np.uint64) + _WEYL_STEPS:
        np.bitwise_and(even, _LOW, halves[0])
        np.right_shift(even, _HALF, halves[1])
        np.multiply(_MULTIPLIER_HALVES, halves, products)
        low = even * _MULTIPLIERS
        # Carries travel up until high_high is the product's upper word.
        low_low >>= _HALF
        high_low += low_low
        np.bitwise_and(high_low, _LOW, low_low)
        low_high += low_low
        high_low >>= _HALF
        low_high >>= _HALF
        high_high += high_low
        high_high += low_high
        np.bitwise_xor(crossed, odd, even)
        even ^= round_key
        odd = low[::-1]
    drawn = np.stack([even[0], odd[0], even[1], odd[1]], axis=-1)
    return drawn.reshape(count, 4 * blocks)


def words_of(number: int, count: int) -> tuple[int, ...]:
    """The ``count`` lowest 64-bit words, the lowest first."""
    return tuple([number >> 64 * n & MASK64 for n in range(count)])


_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_MULTIPLIERS = np.array([[0xD2E7470EE14C6C93], [0xCA5A826395121157]], np.uint64)
# By half of the multiplier, half of the counter's word, which of the two words, counter.
_MULTIPLIER_HALVES = np.stack([_MULTIPLIERS & _LOW, _MULTIPLIERS >> _HALF])[:, None]
_WEYL_STEPS = np.arange(10, dtype=np.uint64)[:, None, None] * np.array(
    [[0x9E3779B97F4A7C15], [0xBB67AE8584CAA73B]], np.uint64
)
