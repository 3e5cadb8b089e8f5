"""A stand-in for the module ``cupy`` where there is no GPU: its refusals, on NumPy's arithmetic.

Device arrays are opaque (see device_array.py): a function given a NumPy array, a keyword that CuPy
doesn't have, a name it lacks, all fail as they would on a GPU. Results are in C order whatever the
strides of what went in, reductions give 0-dim arrays, ``empty`` holds NaN. ``RawModule`` runs the
real CUDA sources (see raw.py). ``counts``, ``counted()`` and ``no_sync()`` tell what was asked of
the device, ``machine`` what there is; ``reset()`` puts both back.
"""

from __future__ import annotations

from fakecupy import memory as _memory
from fakecupy import streams as _streams
from fakecupy.functions import NAMES
from fakecupy.machine import counts as _counts
from fakecupy.machine import machine as _machine

__version__ = "14.2.0+fake"

globals().update(NAMES)


def reset() -> None:
    """As after starting."""
    _machine.reset()
    _streams.reset()
    _memory.reset()
    _counts.update(dict.fromkeys(_counts, 0))
