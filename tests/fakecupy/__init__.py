"""A stand-in for the module ``cupy`` where there is no GPU: its refusals, on NumPy's arithmetic.

Device arrays are opaque (see device_array.py): a function given a NumPy array, a keyword that CuPy
doesn't have, a name it lacks, all fail as they would on a GPU. Results are in C order whatever the
strides of what went in, reductions give 0-dim arrays, ``empty`` holds NaN.
"""

from __future__ import annotations

from fakecupy.functions import NAMES

__version__ = "14.2.0+fake"

globals().update(NAMES)
