"""The one source of random numbers: Philox4x64-10 (Salmon et al., 2011), a counter-based generator.

Draw number d is a pure function of (seed, d), so the same numbers come out on every device and
whatever the order of evaluation: the key is the seed, the counter counts blocks of four 64-bit
draws, and element i of an array in logical C order takes draw i. A request starts a new block.

Philox has room for more: a key of two words, a counter of four. The block is the counter's first
word; the other three number the forks of a generator, and the key's second word says how many of
them do (none in a main stream). So a fork costs nothing to make, and the same block of many forks
can be worked out at once: ``Forks`` gives every image of a batch the draws it would get alone.
"""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.device import Device
from lucidlite.philox import MASK64, philox, philox_of_each, unit_interval, words_of
from lucidlite.threads import Part, cut, parallel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORK_KEYS = 3  # the counter's words beside the block
_AT_ONCE = 1 << 15  # blocks whose draws stay in the cache until they are used
_DRAW_COST = 12  # of a draw, as in threads.cut

# One for all: it is held for two additions, and a generator without one can be copied.
_lock = threading.Lock()


class Generator:
    """A stream of random numbers with a seed and a position, as ``torch.Generator``.

    The numbers are not PyTorch's (a different algorithm). Draws happen on the host.

    >>> import lucidlite
    >>> g = lucidlite.Generator().manual_seed(7)
    >>> state = g.get_state()
    >>> first = lucidlite.rand(3, generator=g)
    >>> _ = g.set_state(state)
    >>> bool((lucidlite.rand(3, generator=g) == first).all())
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = Device(device)
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Set the seed (any 64-bit integer, negative ones wrap) and start over."""
        try:
            seed = int(seed)
        except (TypeError, ValueError) as problem:
            raise error(
                type(problem), f"manual_seed: seed must be an integer, got seed={seed!r}"
            ) from None
        if not -(1 << 63) <= seed <= MASK64:
            raise error(ValueError, f"manual_seed: seed must fit in 64 bits, got seed={seed}")
        self._place(seed & MASK64, (), 0)
        return self

    def seed(self) -> int:
        """Take a seed from the operating system; returns it."""
        self._place(int.from_bytes(os.urandom(8), "little"), (), 0)
        return self._seed

    def initial_seed(self) -> int:
        """The seed last set; a fork has that of the generator it comes from."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """Seed and position, for ``set_state``; plain integers, so that any file can hold it."""
        state: dict[str, Any] = {"seed": self._seed, "offset": self._offset}
        return {**state, "fork": list(self._keys)} if self._keys else state

    def set_state(self, state: dict[str, Any]) -> Generator:
        """Go to a position that ``get_state`` returned."""
        try:
            seed, offset = operator.index(state["seed"]), operator.index(state["offset"])
            keys = tuple([operator.index(key) for key in state.get("fork", ())])
            fits = all(0 <= word <= MASK64 for word in (seed, offset, *keys))
        except (TypeError, KeyError, IndexError, AttributeError):
            fits = False
        if not fits or len(keys) > _FORK_KEYS:
            raise error(TypeError, f"set_state: state must come from get_state(), got {state!r}")
        self._place(seed, keys, offset)
        return self

    def _place(self, seed: int, keys: tuple[int, ...], offset: int) -> None:
        self._seed, self._keys, self._offset = seed, keys, offset

    def clone_state(self) -> Generator:
        """A second generator at the same position."""
        return Generator(self.device).set_state(self.get_state())

    def fork(self, *keys: int) -> Generator:
        """The independent generator that this one's seed and one to three ``keys`` stand for.

        It starts at its beginning, whatever this one's position. Keys count modulo 2**64.
        """
        if not 1 <= len(keys) <= _FORK_KEYS:
            raise error(TypeError, f"fork: takes one to three keys, got keys={keys}")
        # The words of the counter are taken in a fork: its own forks get a key from its very end.
        seed = int(philox(self._seed, MASK64 - 1, 1, self._keys)[0]) if self._keys else self._seed
        child = Generator.__new__(Generator)
        child.device = self.device
        child._place(seed, tuple([operator.index(key) & MASK64 for key in keys]), 0)
        return child

    def reserve(self, n: int) -> int:
        """Take ``n`` draws out of the stream; returns the number of their first block."""
        with _lock:
            block = self._offset
            self._offset += (n + 3) // 4
        return block

    def raw(self, n: int) -> NDArray[np.uint64]:
        """The next ``n`` 64-bit draws."""
        return philox(self._seed, self.reserve(n), n, self._keys)

    def each(self, count: int, n: int) -> NDArray[np.uint64]:
        """``n`` draws for each of ``count`` images, as (count, n)."""
        return self.raw(count * n).reshape(count, n)

    def uniform(self, shape: Sequence[int], dtype: Any = np.float32) -> NDArray[Any]:
        """Uniform on [0, 1), with as many of a draw's top bits as ``dtype`` holds."""
        out: NDArray[Any] = np.empty(prod(shape), dtype)

        def take(span: slice, bits: NDArray[np.uint64]) -> None:
            out[span] = unit_interval(bits, dtype)

        self._in_parts(out.size, take)
        return out.reshape(shape)

    def chances(self, shape: Sequence[int], p: float) -> NDArray[np.bool_]:
        """``uniform(shape) >= p``: True with probability ``1 - p``."""
        out: NDArray[np.bool_] = np.empty(prod(shape), np.bool_)
        least = self.least_kept(p) << 40

        def take(span: slice, bits: NDArray[np.uint64]) -> None:
            np.greater_equal(bits, np.uint64(least), out=out[span])

        if 0 < least <= MASK64:
            self._in_parts(out.size, take)
        else:
            self.reserve(out.size)
            out.fill(least <= 0)
        return out.reshape(shape)

    @staticmethod
    def least_kept(p: float) -> int:
        """What a draw's top 24 bits are at least where ``uniform`` gives ``p`` or more."""
        # uniform has these bits; p is rounded to its dtype, as in a comparison with it.
        return math.ceil(float(np.float32(p)) * 2**24)

    def words(self, block: int) -> tuple[int, ...]:
        """Where ``block`` is in Philox's terms: a key of two 64-bit words, a counter of four."""
        key = self._seed | len(self._keys) << 64
        counter = block + sum(word << 64 * n for n, word in enumerate(self._keys, 1))
        return (*words_of(key, 2), *words_of(counter, 4))

    def _in_parts(self, n: int, take: Callable[[slice, NDArray[np.uint64]], None]) -> None:
        """The next ``n`` draws, a few at a time and on all threads: ``take(which, draws)``."""
        if n <= 4 * _AT_ONCE:
            take(slice(0, n), self.raw(n))
            return
        seed, keys, block = self._seed, self._keys, self.reserve(n)

        def work(part: Part) -> None:
            for first in range(part[0], part[1], _AT_ONCE):
                span = slice(4 * first, min(4 * min(first + _AT_ONCE, part[1]), n))
                take(span, philox(seed, block + first, span.stop - span.start, keys))

        parallel(work, cut(-(-n // 4), 4 * _DRAW_COST))

    def normal(self, shape: Sequence[int], dtype: Any = np.float32) -> NDArray[Any]:
        """Standard normal by Box and Muller's transform, in float64: one draw (two halves) each."""
        bits = self.raw(prod(shape))
        radius: NDArray[Any] = (bits >> np.uint64(32)).astype(np.float64)
        radius += 1.0
        radius *= 2.0**-32  # in (0, 1]
        angle = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64)
        angle *= 2.0 * np.pi * 2.0**-32
        np.log(radius, out=radius)
        radius *= -2.0
        np.sqrt(radius, out=radius)
        np.cos(angle, out=angle)
        radius *= angle
        return radius.astype(dtype, copy=False).reshape(shape)

    def integers(self, low: int, high: int, shape: Sequence[int]) -> NDArray[np.int64]:
        """Integers in [low, high): a draw modulo the range (bias below range / 2**64)."""
        if not -(1 << 63) <= low < high < 1 << 63:
            raise error(
                RuntimeError,
                "integers: low must be below high, and both must fit in int64, "
                f"got low={low}, high={high}",
            )
        draws = self.raw(prod(shape)) % np.uint64(int(high) - int(low))
        values: NDArray[np.int64] = draws.astype(np.int64)
        values += np.int64(low)
        return values.reshape(shape)

    def permutation(self, n: int) -> NDArray[np.int64]:
        """0 to n - 1 in random order: the order that sorts n draws."""
        return np.argsort(self.raw(n), kind="stable").astype(np.int64, copy=False)

    def __repr__(self) -> str:
        fork = f" fork={self._keys}" if self._keys else ""
        return f"<lucidlite.Generator seed={self._seed}{fork} offset={self._offset}>"


class Forks(Generator):
    """``root.fork(*shared)``, but ``each(count, n)`` draws from ``count`` other forks of ``root``.

    ``keys()`` returns the keys of these forks column by column, for each key a number that all
    share or a sequence of ``count``; it is called when something is drawn. ``each`` for another
    count is not about the images that the forks belong to, and takes draws of the generator's own.
    """

    def __init__(
        self, root: Generator, shared: Sequence[int], count: int, keys: Callable[[], Sequence[Any]]
    ) -> None:
        own = root.fork(*shared)
        self.device = own.device
        self._place(own._seed, own._keys, 0)
        self._count, self._columns, self._block = count, keys, 0
        self._words = np.empty((count, 0), np.uint64)  # worked out and not drawn yet

    def each(self, count: int, n: int) -> NDArray[np.uint64]:
        """The next ``n`` draws of each fork, as (count, n)."""
        if count != self._count:
            return super().each(count, n)
        blocks = (n + 3) // 4
        if self._words.shape[1] < 4 * blocks:
            # Two blocks cost little more than one, and cropping and flipping take two.
            ahead = max(blocks, 2)
            words = philox_of_each(self._seed, self._block, ahead, self._columns(), count)
            self._words = np.concatenate([self._words, words], axis=1)
            self._block += ahead
        draws, self._words = self._words[:, :n], self._words[:, 4 * blocks :]
        return draws


default_generator = Generator()


class _Current(threading.local):
    generator: Generator | None = None


_current = _Current()


def current_generator() -> Generator:
    """The generator random transforms draw from: the one in use, else the default one."""
    return _current.generator or default_generator


@contextmanager
def use_generator(generator: Generator) -> Iterator[Generator]:
    """Make ``generator`` the current one in this thread for the length of a ``with`` block."""
    before = _current.generator
    _current.generator = generator
    try:
        yield generator
    finally:
        _current.generator = before
