"""Helpers around training: ``utils.data`` feeds it."""

from lucidlite.utils import data

__all__ = ["data"]
