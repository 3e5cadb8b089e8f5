"""The switch that asks for deterministic algorithms. Every algorithm here is one.

Two runs with one seed, one device and one number of threads give the same bits.
"""

from __future__ import annotations


class _Switch:
    on = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accept PyTorch's switch: there is nothing here to turn off, or to warn of."""
    del warn_only
    _Switch.on = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was last told."""
    return _Switch.on
