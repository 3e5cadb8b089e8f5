"""Streams that use one array without an order between them: found where ``machine.races`` is set.

A clock in each stream counts what was issued there; an event carries what its stream knows of all
clocks, waiting for it hands that on. Memory remembers who wrote it last and who read it since.
"""

from __future__ import annotations

from typing import Any

from fakecupy.errors import StandInError
from fakecupy.machine import machine

_ticks: dict[int, int] = {}
_known: dict[int, dict[int, int]] = {}  # by stream: the clocks it has waited for
_host: dict[int, int] = {}  # those the host has waited for: whatever it issues comes later
_blocking: dict[int, bool] = {0: True}


def reset() -> None:
    _ticks.clear()
    _known.clear()
    _host.clear()


def snapshot(stream: int) -> dict[int, int]:
    """What an event recorded in a stream carries."""
    return {**_known.get(stream, {}), stream: _ticks.get(stream, 0)}


def waits(stream: int | None, clocks: dict[int, int]) -> None:
    """A stream, or None for the host, waits for an event."""
    known = _host if stream is None else _known.setdefault(stream, {})
    for other, tick in clocks.items():
        known[other] = max(known.get(other, 0), tick)


def used(memory: Any, stream: Any, writes: bool) -> None:
    """The stream uses the memory from now on; StandInError if another may still be at it."""
    if not machine.races or stream._capture is not None:
        return
    block = getattr(memory, "_block", memory)
    if not block.ptr:
        return
    _blocking[stream.ptr] = not stream.is_non_blocking
    others = [("written", block.writer)] if block.writer else []
    if writes:
        others += [("read", each) for each in block.readers.items()]
    for did, (other, tick) in others:
        if not _ordered(stream.ptr, other, tick):
            doing = "writes" if writes else "reads"
            raise StandInError(
                f"stream {stream.ptr:#x} {doing} an array that stream {other:#x} has {did}, "
                "without having waited for it: record an event there, wait_event here"
            )
    now = _ticks[stream.ptr] = _ticks.get(stream.ptr, 0) + 1
    if writes:
        block.writer, block.readers = (stream.ptr, now), {}
    else:
        block.readers[stream.ptr] = now


def _ordered(stream: int, other: int, tick: int) -> bool:
    if stream == other or (_blocking.get(stream) and _blocking.get(other) and 0 in (stream, other)):
        return True
    return max(_known.get(stream, {}).get(other, 0), _host.get(other, 0)) >= tick
