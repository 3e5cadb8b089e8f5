"""A profile as a Chrome trace: a timeline for Perfetto (ui.perfetto.dev) or chrome://tracing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from lucidlite.files import atomic_write
from lucidlite.profiler.events import Event


def write(path: str | os.PathLike[str], events: Iterable[Event], thread: int) -> None:
    """The whole trace as JSON, whole or not at all."""
    text = json.dumps(document(events, os.getpid(), thread), allow_nan=False, indent=None)
    with atomic_write(path, "export_chrome_trace") as file:
        file.write(text.encode())


def document(events: Iterable[Event], process: int, thread: int) -> dict[str, Any]:
    """What the file holds: a complete event ("X") for each span, times in microseconds.

    Spans of a track must nest. Steps end where the user says, in a label or around it, so they
    have a track of their own, as if it were a thread.
    """
    python, steps = {"pid": process, "tid": thread}, {"pid": process, "tid": thread + 1}
    # Those that begin together: the longer one is around the other.
    ordered = sorted(events, key=lambda event: (event.start, -event.end, _depth(event)))
    names = [("process_name", python, "lucidlite"), ("thread_name", python, "Python")]
    if any(event.kind == "step" for event in ordered):
        names.append(("thread_name", steps, "steps"))
    named = [
        {"name": what, "ph": "M", **where, "args": {"name": name}} for what, where, name in names
    ]
    spans = [
        {
            "name": _title(event),
            "cat": event.kind,
            "ph": "X",
            "ts": event.start / 1000,
            "dur": (event.end - event.start) / 1000,
            **(steps if event.kind == "step" else python),
            "args": _details(event),
        }
        for event in ordered
    ]
    return {"displayTimeUnit": "ms", "traceEvents": [*named, *spans]}


def _depth(event: Event) -> int:
    depth = 0
    while event.parent is not None:
        event, depth = event.parent, depth + 1
    return depth


def _title(event: Event) -> str:
    if event.kind == "module" and event.module:
        return f"{event.module}: {event.name}"
    return event.name


def _details(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {"self ms": round(event.self_seconds * 1e3, 6)}
    if event.shapes:
        found["input shapes"] = [list(shape) for shape in event.shapes]
    if event.module and event.kind != "module":
        found["module"] = event.module
    for key, value in (
        ("output bytes", event.output_bytes),
        ("saved bytes", event.saved_bytes),
    ):
        if value:
            found[key] = value
    if event.node is not None:
        found["node"] = event.node
    site = event.site
    if site is not None:
        found["line"] = str(site)
    return found
