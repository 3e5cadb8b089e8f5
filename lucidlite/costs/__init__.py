"""What a model costs: ``lucidlite.summary`` and what its tables are made of."""

from lucidlite.costs.layers import Layer, Summary
from lucidlite.costs.model import summary

__all__ = ["Layer", "Summary", "summary"]
