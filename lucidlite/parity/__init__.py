"""Parity with PyTorch: one model in both libraries, and the first place where they differ.

``compare`` copies the weights both ways, runs forward, backward and steps of an optimizer in both
and compares every layer's output, every gradient, the loss, buffers and weights after each step.
It is what ``lucidlite parity`` runs. PyTorch has to be installed (the extra ``parity``).
"""

from lucidlite.parity.report import Report
from lucidlite.parity.run import compare
from lucidlite.parity.sides import Problem
from lucidlite.parity.step import Finding

__all__ = ["Finding", "Problem", "Report", "compare"]
