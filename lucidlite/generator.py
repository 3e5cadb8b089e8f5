"""The one source of random numbers: Philox4x64-10 (Salmon et al., 2011), a counter-based generator.

Draw number d is a pure function of (seed, d), so the same numbers come out on every device and
whatever the order of evaluation: the key is the seed, the counter counts blocks of four 64-bit
draws, and element i of an array in logical C order takes draw i. A request starts a new block.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MASK64 = (1 << 64) - 1


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
        kind = str(getattr(device, "type", device)).partition(":")[0]
        if kind not in ("cpu", "cuda"):
            raise error(RuntimeError, f"Generator: device must be cpu or cuda, got device={device!r}")
        self.device = device
        self._seed = 0
        self._offset = 0
        self._lock = threading.Lock()
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Set the seed (any 64-bit integer, negative ones wrap) and start over."""
        seed = int(seed)
        if not -(1 << 63) <= seed <= _MASK64:
            raise error(RuntimeError, f"manual_seed: seed must fit in 64 bits, got seed={seed}")
        self._seed, self._offset = seed & _MASK64, 0
        return self

    def seed(self) -> int:
        """Take a seed from the operating system; returns it."""
        self._seed, self._offset = int.from_bytes(os.urandom(8), "little"), 0
        return self._seed

    def initial_seed(self) -> int:
        """The seed last set."""
        return self._seed

    def get_state(self) -> dict[str, int]:
        """Seed and position, to be given to ``set_state`` (plain integers: any file can hold it)."""
        return {"seed": self._seed, "offset": self._offset}

    def set_state(self, state: dict[str, int]) -> Generator:
        """Go to a position that ``get_state`` returned."""
        try:
            seed, offset = int(state["seed"]), int(state["offset"])
        except (TypeError, KeyError, ValueError):
            raise error(TypeError, f"set_state: state must come from get_state(), got {state!r}") from None
        self._seed, self._offset = seed & _MASK64, offset
        return self

    def clone_state(self) -> Generator:
        """A second generator at the same position."""
        return Generator(self.device).set_state(self.get_state())

    def fork(self, *keys: int) -> Generator:
        """An independent generator that depends on this one's seed and ``keys`` alone."""
        words = np.random.SeedSequence([self._seed, *(int(k) & _MASK64 for k in keys)])
        return Generator(self.device).manual_seed(int(words.generate_state(1, np.uint64)[0]))

    def reserve(self, n: int) -> int:
        """Take ``n`` draws out of the stream; returns the number of their first block."""
        with self._lock:
            block = self._offset
            self._offset += (n + 3) // 4
        return block

    def raw(self, n: int) -> NDArray[np.uint64]:
        """The next ``n`` 64-bit draws."""
        return philox(self._seed, self.reserve(n), n)

    def uniform(self, shape: Sequence[int], dtype: Any = np.float32) -> NDArray[Any]:
        """Uniform on [0, 1): the top 24 bits of a draw for float32 and float16, 53 for float64."""
        bits = self.raw(prod(shape))
        kind = np.dtype(dtype)
        keep = 53 if kind == np.float64 else 11 if kind == np.float16 else 24
        out = (bits >> np.uint64(64 - keep)).astype(kind if keep != 11 else np.float32)
        out *= out.dtype.type(2.0**-keep)
        return out.astype(kind, copy=False).reshape(shape)

    def normal(self, shape: Sequence[int], dtype: Any = np.float32) -> NDArray[Any]:
        """Standard normal by Box and Muller's transform, in float64: one draw (two halves) each."""
        bits = self.raw(prod(shape))
        radius = ((bits >> np.uint64(32)).astype(np.float64) + 1.0) * 2.0**-32  # in (0, 1]
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
        span = int(high) - int(low)
        if span <= 0:
            raise error(RuntimeError, f"integers: low must be below high, got low={low}, high={high}")
        values = self.raw(prod(shape)) % np.uint64(span)
        return (values.astype(np.int64) + np.int64(low)).reshape(shape)

    def permutation(self, n: int) -> NDArray[np.int64]:
        """0 to n - 1 in random order: the order that sorts n draws."""
        return np.argsort(self.raw(n), kind="stable").astype(np.int64, copy=False)

    def __repr__(self) -> str:
        return f"<lucidlite.Generator seed={self._seed} offset={self._offset}>"


def philox(seed: int, block: int, n: int) -> NDArray[np.uint64]:
    """Draws 0 to n - 1 from ``block`` on: Philox of counters block + 1, block + 2, ... under key seed."""
    return np.random.Philox(counter=block, key=seed).random_raw(n)


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
