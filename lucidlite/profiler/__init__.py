"""Where the time of a training step goes: ``profile`` and ``record_function``, as torch.profiler.

>>> import lucidlite
>>> model = lucidlite.nn.Linear(4, 2)
>>> with lucidlite.profiler.profile() as p:
...     model(lucidlite.ones(3, 4)).sum().backward()
>>> print(p)  # doctest: +ELLIPSIS
name ...
"""

from __future__ import annotations

from typing import Any

from lucidlite.callsite import error
from lucidlite.profiler.events import Event, Row
from lucidlite.profiler.session import Averages, ProfilerActivity, profile, record_function

__all__ = ["Averages", "Event", "ProfilerActivity", "Row", "profile", "record_function"]

_INSTEAD = {
    "schedule": "put the block around the steps to record",
    "tensorboard_trace_handler": "profile.export_chrome_trace(path) writes a timeline",
    "ExecutionTraceObserver": "profile.export_chrome_trace(path) writes a timeline",
    "ProfilerAction": "put the block around the steps to record",
    "supported_activities": "ProfilerActivity has them",
    "itt": "record_function(name) marks a part of a profile",
}


def __getattr__(name: str) -> Any:
    text = f"module 'lucidlite.profiler' has no attribute '{name}'"
    if name.startswith("__"):
        raise AttributeError(text)
    if name in _INSTEAD:
        text += f": {_INSTEAD[name]}"
    raise error(AttributeError, text)
