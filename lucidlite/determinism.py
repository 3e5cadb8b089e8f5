"""The switch that asks for deterministic algorithms. Every algorithm of our own is one.

Two runs with one seed, one device and one number of threads give the same bits, on a CPU always.
On a GPU the fastest convolutions of cuDNN may not: with the switch on they are left out.
"""

from __future__ import annotations

import threading


class _Exact(threading.local):
    on = False


# In a thread where it is on, convolutions sum products directly, as the definition says: an
# element that isn't finite then reaches the outputs whose window holds it, and no others.
exact_here = _Exact()


class _Switch:
    on = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Leave out cuDNN's algorithms that may give other bits each time; no others are here.

    ``warn_only`` has nothing to warn of.
    """
    del warn_only
    _Switch.on = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was last told."""
    return _Switch.on
