"""Which operations can be written down, and by what."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

from lucidlite.onnx.graph import Call, Graph

# From a call to the names of its results, in their order.
Emitter = Callable[[Graph, Call], Any]
Fits = Callable[[dict[str, Any]], bool]


class Entry(NamedTuple):
    """``emit`` writes down calls of the operation ``name`` whose arguments ``fits`` accepts.

    Of other calls what happens inside is looked at.
    """

    name: str
    emit: Emitter
    fits: Fits | None


TABLE: dict[CodeType, Entry] = {}
WRITERS: dict[CodeType, Entry] = {}  # of functions that write into their ``target``


def emits(*functions: Any, fits: Fits | None = None) -> Callable[[Emitter], Emitter]:
    """Declare what writes down calls of these functions."""

    def declared(emit: Emitter) -> Emitter:
        for function in functions:
            TABLE[function.__code__] = Entry(function.__name__, emit, fits)
        return emit

    return declared


def writes(function: Any) -> Callable[[Emitter], Emitter]:
    """Declare what tells the new value of the tensor that a function writes into."""

    def declared(emit: Emitter) -> Emitter:
        WRITERS[function.__code__] = Entry(function.__name__, emit, None)
        return emit

    return declared


class Unsupported(Exception):
    """Raised by an emitter: these arguments can't be written down, for the reason it says."""
