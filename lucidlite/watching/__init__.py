"""The parts of ``lucidlite.watch``: what a run is seen doing, and the rules it is held to.

``run`` remembers what happened so far, ``graph`` reads a loss's tape, ``step`` measures an
optimizer's step. Each rule is one class in ``loop``, ``modes``, ``losses``, ``data``,
``activations`` or ``gradients`` and one entry of ``table``: a new rule needs nothing else.
"""

from lucidlite.watching.run import Finding, TrainingWarning
from lucidlite.watching.table import RULES
from lucidlite.watching.watcher import Watch, watch

__all__ = ["RULES", "Finding", "TrainingWarning", "Watch", "watch"]
